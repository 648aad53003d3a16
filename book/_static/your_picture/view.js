// Two images on either side of a line that follows the pointer, and their errors beside them.

yourPicture.view = (() => {
  "use strict";

  const { element } = yourPicture;
  const ERROR_SCALE = 0.1; // the absolute error that is drawn brightest
  const ZOOMS = [1, 2, 3, 4, 6, 8];
  const LINE = "#56b4e9";

  const grey = (value) => {
    const level = Math.min(255, Math.round(255 * value));
    return (255 << 24) | (level << 16) | (level << 8) | level;
  };

  /** Return the palette as pixels: matplotlib's magma, 256 colours of six hexadecimal digits. */
  const palette = (digits) => Int32Array.from({ length: 256 }, (_, i) => {
    const [red, green, blue] = [0, 2, 4].map((k) => parseInt(digits.slice(6 * i + k, 6 * i + k + 2), 16));
    return (255 << 24) | (blue << 16) | (green << 8) | red;
  });

  /** Build the comparison inside `place`; returns show(images), images being name -> image. */
  function build(place, magma) {
    const colours = palette(magma);
    const error = (value) => colours[Math.min(255, Math.round((255 * value) / ERROR_SCALE))];
    const select = (label, id) => {
      const input = element("select", { id });
      return [input, element("div", { className: "live-control" }, element("label", { htmlFor: id }, label), input)];
    };
    const [left, leftBox] = select("Left of the line", "picture-left");
    const [right, rightBox] = select("Right of the line", "picture-right");
    const [zoom, zoomBox] = select("Enlarge", "picture-zoom");
    zoom.append(...ZOOMS.map((times) => element("option", { value: times }, `${times}×`)));
    const line = element("input", { type: "range", id: "picture-line", min: 0, max: 100, value: 50 });
    const lineBox = element("div", { className: "live-control" },
      element("label", { htmlFor: "picture-line" }, "Line"), line);
    const [pictures, errors] = [make("Pictures"), make("Errors")];
    place.replaceChildren(
      element("div", { className: "live-controls", role: "group", "aria-label": "Comparison" },
        leftBox, rightBox, lineBox, zoomBox),
      element("div", { className: "live-plots" }, pictures.box, errors.box));

    let images = {}, centre = [0.5, 0.5], white = 1;
    const chosen = new Map([[left, "Measurement"], [right, "Truth"]]); // also while it is not there
    let touched = false; // the reader has chosen

    /** The part that is shown: its first column and row and its sides, in pixels. */
    function part({ width, height }) {
      const w = width / zoom.value, h = height / zoom.value;
      const first = (middle, whole, shown) => Math.max(0, Math.min(whole - shown, middle * whole - shown / 2));
      return { x: first(centre[0], width, w), y: first(centre[1], height, h), w, h };
    }

    function draw() {
      const truth = images.Truth;
      if (!truth) return;
      const halves = [images[left.value] ?? truth, images[right.value] ?? truth], shown = part(truth);
      paint(pictures, truth, halves, shown, (image, i) => grey(image.pixels[i] / white));
      paint(errors, truth, halves, shown, (image, i) => error(Math.abs(image.pixels[i] - truth.pixels[i])));
      pictures.title(left.value, right.value);
      errors.title(`error of ${left.value}`, `of ${right.value}`);
      line.setAttribute("aria-valuetext", `${line.value} % ${left.value}`);
    }

    function paint({ canvas }, { width, height }, halves, shown, colour) {
      const whole = element("canvas", { width, height });
      const drawing = whole.getContext("2d"), data = drawing.createImageData(width, height);
      const dots = new Int32Array(data.data.buffer);
      const border = shown.x + (shown.w * line.value) / 100;
      for (let i = 0; i < dots.length; i++) dots[i] = colour(halves[(i % width) + 0.5 < border ? 0 : 1], i);
      drawing.putImageData(data, 0, 0);
      // A canvas of whole screen pixels: sharp squares, however large a pixel is drawn.
      const scale = Math.max(1, Math.ceil(768 / width));
      Object.assign(canvas, { width: width * scale, height: height * scale });
      const target = canvas.getContext("2d");
      target.imageSmoothingEnabled = false;
      target.drawImage(whole, shown.x, shown.y, shown.w, shown.h, 0, 0, canvas.width, canvas.height);
      const x = (canvas.width * line.value) / 100;
      for (const [colour, thick] of [["black", 5], [LINE, 2.5]]) {
        target.fillStyle = colour;
        target.fillRect(x - thick / 2, 0, thick, canvas.height);
      }
    }

    const place01 = (event) => {
      const box = event.target.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    for (const { canvas } of [pictures, errors]) {
      canvas.addEventListener("pointermove", (event) => {
        line.value = 100 * place01(event)[0];
        draw();
      });
      canvas.addEventListener("click", (event) => {
        const truth = images.Truth;
        if (!truth || zoom.value === "1") return;
        const [across, down] = place01(event), shown = part(truth);
        centre = [(shown.x + across * shown.w) / truth.width, (shown.y + down * shown.h) / truth.height];
        line.value = 50;
        draw();
      });
    }
    for (const input of [zoom, line]) input.addEventListener("input", draw);
    for (const input of chosen.keys()) {
      input.addEventListener("input", () => {
        chosen.set(input, input.value);
        touched = true;
        draw();
      });
    }

    /** Offer the images that there are; in place of one that is not there yet, the measurement. */
    function offer() {
      const names = Object.keys(images);
      for (const [input, name] of chosen) {
        if (names.join() !== [...input.options].map((option) => option.value).join()) {
          input.replaceChildren(...names.map((text) => element("option", { value: text }, text)));
        }
        input.value = name in images ? name : "Measurement";
      }
      draw();
    }

    return {
      /** Show images by name, the truth and the measurement among them; the truth's brightest pixel is white. */
      show(named) {
        images = named;
        white = named.Truth.pixels.reduce((a, b) => Math.max(a, b), 0);
        offer();
      },
      /** Put an image to the right of the line. */
      choose(name) {
        chosen.set(right, name);
        touched = true;
        offer();
      },
      /** Put an image there that has come in, unless the reader has chosen. */
      follow(name) {
        if (!touched) chosen.set(right, name);
        offer();
      },
    };
  }

  /** Draw a blur's kernel into a canvas, a square for each of side x side pixels. */
  function drawKernel(canvas, taps, side) {
    const square = 6, middle = (side - 1) / 2, ink = getComputedStyle(canvas);
    canvas.width = canvas.height = side * square;
    const drawing = canvas.getContext("2d");
    for (let row = 0; row < side; row++) {
      for (let column = 0; column < side; column++) {
        const lit = taps.some(([down, right]) => down === row - middle && right === column - middle);
        drawing.fillStyle = lit ? ink.color : ink.borderColor;
        drawing.fillRect(column * square, row * square, square - 1, square - 1);
      }
    }
  }

  function make(words) {
    const canvas = element("canvas", { role: "img", "aria-label": words });
    const caption = element("p", { className: "live-title" });
    return {
      canvas,
      box: element("div", { className: "live-plot" }, caption, canvas),
      title(...texts) {
        caption.replaceChildren(...texts.map((text) => element("span", {}, text)));
        canvas.setAttribute("aria-label", `${words}. ${texts.join(" | ")}`);
      },
    };
  }

  return { build, drawKernel, ERROR_SCALE };
})();
