// What the first bytes of a file say: which kind of picture it is, how large, and what is special.
//
// The name of a file says nothing certain, and a browser that is given a huge or a damaged picture
// may come to a stop or show a part of it. So this is asked before the browser is.

yourPicture.headers = (() => {
  "use strict";

  class Refused extends Error {} // its message is a sentence for the reader

  const text = (bytes, start, length) =>
    String.fromCharCode(...bytes.subarray(start, start + length));

  const CUT_SHORT = "The file is damaged or cut short: its end is missing.";

  // [what it begins with, where, what is said of it]
  const OTHERS = [
    ["%PDF", 0, "This is a PDF document, not a picture. Take a screenshot of the page instead."],
    ["BM", 0, "This is a BMP file, which is not read here. Save it as PNG."],
    ["II*\0", 0, "This is a TIFF file, which is not read here. Save it as PNG."],
    ["MM\0*", 0, "This is a TIFF file, which is not read here. Save it as PNG."],
    ["ftypavi", 4, "This is an AVIF file, which is not read here. Save it as PNG or JPEG."],
    ["ftyp", 4, "This is a HEIC picture or a film, which is not read here. Save it as JPEG."],
    ["PK", 0, "This is an archive or a document, not a picture."],
  ];

  /**
   * Return {kind, width, height, animated, transparent, bits, cmyk} of a file's bytes.
   * Throws Refused where they are no picture, or one that is not whole.
   */
  function read(bytes) {
    if (bytes.length === 0) throw new Refused("The file is empty.");
    if (text(bytes, 1, 3) === "PNG") return png(bytes);
    if (bytes[0] === 0xff && bytes[1] === 0xd8) return jpeg(bytes);
    if (text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 4) === "WEBP") return webp(bytes);
    if (/^GIF8[79]a/.test(text(bytes, 0, 6))) return gif(bytes);
    for (const [begins, at, words] of OTHERS) {
      if (text(bytes, at, begins.length) === begins) throw new Refused(words);
    }
    if (/<svg|<!doctype|<html|<\?xml/i.test(text(bytes, 0, 1000))) {
      throw new Refused("This is a drawing or a page in text form (SVG, HTML). It has no pixels: " +
        "take a screenshot of it instead.");
    }
    throw new Refused("This is not a picture that can be read here. Choose PNG, JPEG or WebP.");
  }

  const PLAIN = { animated: false, transparent: false, bits: 8, cmyk: false };

  const table = Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n;
  });

  function checksum(bytes) {
    let sum = ~0;
    for (const byte of bytes) sum = table[(sum ^ byte) & 255] ^ (sum >>> 8);
    return ~sum >>> 0;
  }

  /** A PNG file is a row of chunks: length, name, content, checksum. The last is IEND. */
  function png(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const found = { ...PLAIN, kind: "png" };
    for (let at = 8; at + 12 <= bytes.length; ) {
      const length = view.getUint32(at), name = text(bytes, at + 4, 4), end = at + 8 + length;
      if (end + 4 > bytes.length) break;
      if (checksum(bytes.subarray(at + 4, end)) !== view.getUint32(end)) {
        throw new Refused("The file is damaged: a checksum in it is wrong.");
      }
      if (name === "IHDR") {
        found.width = view.getUint32(at + 8);
        found.height = view.getUint32(at + 12);
        found.bits = bytes[at + 16];
        found.transparent = (bytes[at + 17] & 4) > 0;
      }
      if (name === "tRNS") found.transparent = true;
      if (name === "acTL") found.animated = true;
      if (name === "IEND" && found.width) return found;
      at = end + 4;
    }
    throw new Refused(CUT_SHORT);
  }

  /** A JPEG file is a row of segments; the frame, SOF, has the size, and FF D9 is the end. */
  function jpeg(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 2;
    while (at + 9 < bytes.length && bytes[at] === 0xff) {
      const marker = bytes[at + 1];
      if (marker === 0xff) {
        at += 1; // padding
      } else if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
        if (!ends(bytes, at)) throw new Refused(CUT_SHORT);
        return {
          ...PLAIN, kind: "jpeg", bits: bytes[at + 4], height: view.getUint16(at + 5),
          width: view.getUint16(at + 7), cmyk: bytes[at + 9] === 4,
        };
      } else {
        at += 2 + view.getUint16(at + 2);
      }
    }
    throw new Refused(CUT_SHORT);
  }

  /** Say whether a JPEG's end, FF D9, comes after a place; cameras write more behind it. */
  function ends(bytes, after) {
    for (let i = bytes.length - 2; i > after; i--) {
      if (bytes[i] === 0xff && bytes[i + 1] === 0xd9) return true;
    }
    return false;
  }

  /** A WebP file is one chunk, VP8 or VP8L, or begins with VP8X, which says what follows. */
  function webp(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (bytes.length < 30 || view.getUint32(4, true) + 8 > bytes.length) throw new Refused(CUT_SHORT);
    const name = text(bytes, 12, 4), found = { ...PLAIN, kind: "webp" };
    if (name === "VP8X") {
      const flags = bytes[20], side = (at) => 1 + view.getUint16(at, true) + (bytes[at + 2] << 16);
      return {
        ...found, width: side(24), height: side(27),
        animated: (flags & 2) > 0, transparent: (flags & 16) > 0,
      };
    }
    if (name === "VP8L") {
      const packed = view.getUint32(21, true);
      return {
        ...found, width: 1 + (packed & 0x3fff), height: 1 + ((packed >>> 14) & 0x3fff),
        transparent: ((packed >>> 28) & 1) > 0,
      };
    }
    const side = (at) => view.getUint16(at, true) & 0x3fff;
    return { ...found, width: side(26), height: side(28) };
  }

  /** A GIF file is a row of blocks, one or more of them pictures; 3B is the end. */
  function gif(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (bytes.length < 14) throw new Refused(CUT_SHORT);
    const found = { ...PLAIN, kind: "gif", width: view.getUint16(6, true), height: view.getUint16(8, true) };
    const colours = (flags) => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
    const skip = (at) => { // a row of parts, each with its length before it
      while (at < bytes.length && bytes[at]) at += bytes[at] + 1;
      return at + 1;
    };
    let at = 13 + colours(bytes[10]), pictures = 0;
    while (at < bytes.length) {
      if (bytes[at] === 0x3b && pictures) return { ...found, animated: pictures > 1 };
      if (bytes[at] === 0x2c && at + 10 < bytes.length) {
        pictures += 1;
        at = skip(at + 11 + colours(bytes[at + 9]));
      } else if (bytes[at] === 0x21) {
        if (bytes[at + 1] === 0xf9 && bytes[at + 3] & 1) found.transparent = true;
        at = skip(at + 2);
      } else {
        break;
      }
    }
    throw new Refused(CUT_SHORT);
  }

  return { read, Refused };
})();
