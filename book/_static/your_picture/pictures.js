// From a file to an image: grey values from 0 to 1, of a size that the models can restore.
//
// An image is {pixels, width, height}; pixels is a Float32Array, row by row.

yourPicture.pictures = (() => {
  "use strict";

  const { Refused } = yourPicture.headers;
  const SMALLEST = 32; // pixels
  const LARGEST_FILE = 64; // megabytes
  const LARGEST_AREA = 50; // megapixels: 200 megabytes once it is unpacked
  const LARGEST_CANVAS = 2048; // pixels, a side; a phone's browser has no larger one for sure
  const TYPES = { png: "image/png", jpeg: "image/jpeg", webp: "image/webp", gif: "image/gif" };
  const ENDINGS = { png: /png/, jpeg: /jpe?g|jfif/, webp: /webp/, gif: /gif/ };

  /**
   * Read a file, and fit it: {pixels, width, height, notes}, the notes being sentences about what
   * was done to it. `fit` is {way: "shrink" or "cut", side}. Throws Refused with a sentence.
   */
  async function read(file, fit) {
    const whole = await decode(file);
    const image = fitted(whole, fit);
    if (image.pixels.every((grey) => grey === 0)) {
      throw new Refused("The picture is black all over: there is nothing to blur.");
    }
    return { ...image, notes: [...whole.notes, ...image.notes] };
  }

  async function decode(file) {
    if (file.size > LARGEST_FILE * 1e6) {
      throw new Refused(`The file has ${Math.round(file.size / 1e6)} MB; at most ${LARGEST_FILE} are read.`);
    }
    const bytes = new Uint8Array(await file.arrayBuffer());
    if (yourPicture.dicom.starts(bytes)) return yourPicture.dicom.read(bytes);
    const header = yourPicture.headers.read(bytes);
    const { width, height, kind } = header, megapixels = (width * height) / 1e6;
    if (megapixels > LARGEST_AREA) {
      throw new Refused(`The picture has ${width} × ${height} pixels, ${Math.round(megapixels)} million; ` +
        `at most ${LARGEST_AREA} million are read. Shrink it first.`);
    }
    tooSmall(width, height);
    const notes = [];
    const ending = /\.(\w+)$/.exec(file.name ?? "")?.[1].toLowerCase();
    if (ending && !ENDINGS[kind].test(ending)) {
      notes.push(`The file is called .${ending}, but is a ${kind.toUpperCase()} picture, and was read as one.`);
    }
    if (header.animated) notes.push("It moves; its first frame was taken.");
    if (header.bits > 8) notes.push(`Of its ${header.bits} bits a pixel the browser keeps 8.`);
    if (header.cmyk) notes.push("Its printing colours (CMYK) were converted by the browser.");
    if (header.transparent) notes.push("Where it is transparent it was laid on white.");
    return { ...(await grey(new Blob([file], { type: TYPES[kind] }))), notes };
  }

  function tooSmall(width, height) {
    if (Math.min(width, height) < SMALLEST) {
      throw new Refused(`The picture has ${width} × ${height} pixels; the models need ${SMALLEST} on each side.`);
    }
  }

  /** Let the browser decode a picture, turned as its EXIF data say, and return its grey values. */
  async function grey(blob) {
    let bitmap;
    try {
      // The numbers in the file count, as in Python: no profile of a screen changes them.
      bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
    } catch {
      throw new Refused("The file is damaged: the browser can't decode the picture.");
    }
    const scale = Math.min(1, LARGEST_CANVAS / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.round(side * scale) || 1);
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height });
    const drawing = canvas.getContext("2d", { willReadFrequently: true });
    drawing.fillStyle = "white";
    drawing.fillRect(0, 0, width, height);
    drawing.imageSmoothingQuality = "high";
    drawing.drawImage(bitmap, 0, 0, width, height);
    const size = { width: bitmap.width, height: bitmap.height };
    bitmap.close();
    const colours = drawing.getImageData(0, 0, width, height).data;
    const pixels = new Float32Array(width * height);
    for (let i = 0, k = 0; i < pixels.length; i++, k += 4) pixels[i] = luma(colours, k) / 255;
    return { pixels, width, height, original: size };
  }

  /** Return the grey level of a pixel from 0 to 255 as Pillow's mode "L" has it. */
  const luma = (colours, k) =>
    (colours[k] * 19595 + colours[k + 1] * 38470 + colours[k + 2] * 7471 + 0x8000) >> 16;

  /** Shrink an image until its longer side fits, or cut out its middle; say so in `notes`. */
  function fitted(whole, { way, side }) {
    const { width, height } = whole, { width: w0, height: h0 } = whole.original ?? whole;
    const [shown, wanted] = way === "cut"
      ? ["the middle was cut out", [Math.min(width, side), Math.min(height, side)]]
      : ["it was shrunk", sidesWithin(width, height, side)];
    tooSmall(...wanted);
    const [w, h] = wanted;
    const image = way === "cut" ? cut(whole, w, h) : resize(whole, w, h);
    const before = way === "cut" && w0 !== width ? `, shrunk to ${width} × ${height}` : "";
    const notes = w === w0 && h === h0 ? [] : [`It has ${w0} × ${h0} pixels${before}; ${shown}: ${w} × ${h}.`];
    return { ...image, notes };
  }

  function sidesWithin(width, height, side) {
    const scale = Math.min(1, side / Math.max(width, height));
    return [Math.round(width * scale), Math.round(height * scale)];
  }

  function cut({ pixels, width, height }, w, h) {
    const left = Math.floor((width - w) / 2), top = Math.floor((height - h) / 2);
    const part = new Float32Array(w * h);
    for (let row = 0; row < h; row++) {
      const from = (top + row) * width + left;
      part.set(pixels.subarray(from, from + w), row * w);
    }
    return { pixels: part, width: w, height: h };
  }

  /** Shrink by antialiased bilinear interpolation, as the course's data set does. */
  function resize({ pixels, width, height }, w, h) {
    const across = weights(width, w), down = weights(height, h);
    const half = new Float32Array(w * height), small = new Float32Array(w * h);
    for (let row = 0; row < height; row++) {
      across.forEach(({ first, parts }, column) => {
        let sum = 0;
        for (let k = 0; k < parts.length; k++) sum += parts[k] * pixels[row * width + first + k];
        half[row * w + column] = sum;
      });
    }
    down.forEach(({ first, parts }, row) => {
      for (let column = 0; column < w; column++) {
        let sum = 0;
        for (let k = 0; k < parts.length; k++) sum += parts[k] * half[(first + k) * w + column];
        small[row * w + column] = sum;
      }
    });
    return { pixels: small, width: w, height: h };
  }

  /** Return which pixels of `from` make each of `to`, and their weights: a triangle's. */
  function weights(from, to) {
    const scale = from / to, reach = Math.max(scale, 1);
    return Array.from({ length: to }, (_, i) => {
      const centre = (i + 0.5) * scale;
      const first = Math.max(0, Math.floor(centre - reach + 0.5));
      const end = Math.min(from, Math.floor(centre + reach + 0.5));
      const parts = Array.from({ length: end - first }, (_, k) =>
        Math.max(0, 1 - Math.abs(first + k + 0.5 - centre) / reach));
      const sum = parts.reduce((a, b) => a + b, 0);
      return { first, parts: parts.map((part) => part / sum) };
    });
  }

  return { read, fitted, resize, Refused };
})();
