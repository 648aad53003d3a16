// The forward model y = K x + e: blur by motion and add noise, number for number as ippy does.

yourPicture.measure = (() => {
  "use strict";

  /** Return the taps of a motion kernel, [down, right, weight], as ippy's motion_kernel draws it. */
  function motionTaps(length, angle) {
    const theta = angle * (Math.PI / 180), centre = Math.floor(length / 2);
    const places = new Map();
    for (let i = 0; i < length; i++) {
      const row = Math.floor(centre + (i - centre) * Math.sin(theta));
      const column = Math.floor(centre + (i - centre) * Math.cos(theta));
      if (row >= 0 && row < length && column >= 0 && column < length) {
        places.set(row * length + column, [row - centre, column - centre]);
      }
    }
    const weight = Math.fround(1 / places.size);
    return [...places.values()].map(([down, right]) => [down, right, weight]);
  }

  /** Correlate an image with taps; beyond its border is zero. */
  function correlate({ pixels, width, height }, taps) {
    const sum = new Float32Array(pixels.length);
    for (const [down, right, weight] of taps) {
      const firstRow = Math.max(0, -down), lastRow = Math.min(height, height - down);
      const firstColumn = Math.max(0, -right), lastColumn = Math.min(width, width - right);
      for (let row = firstRow; row < lastRow; row++) {
        const to = row * width, from = (row + down) * width + right;
        for (let column = firstColumn; column < lastColumn; column++) {
          sum[to + column] += weight * pixels[from + column];
        }
      }
    }
    return { pixels: sum, width, height };
  }

  /** Return a generator of numbers in [0, 1), the same for the same seed (mulberry32). */
  function uniform(seed) {
    let state = (seed * 0x9e3779b9) >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  /** Return standard normal numbers, the same for the same seed (Box and Muller). */
  function normal(count, seed) {
    const draw = uniform(seed), numbers = new Float32Array(count);
    for (let i = 0; i < count; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(1 - draw())), angle = 2 * Math.PI * draw();
      numbers[i] = radius * Math.cos(angle);
      if (i + 1 < count) numbers[i + 1] = radius * Math.sin(angle);
    }
    return numbers;
  }

  const norm = (numbers) => {
    let sum = 0;
    for (const number of numbers) sum += number * number;
    return Math.sqrt(sum);
  };

  /** Measure x: the noise's norm is `noise` times that of the blurred image, as in ippy. */
  function measure(x, { length, angle, noise, seed }) {
    const y = correlate(x, motionTaps(length, angle));
    const e = normal(y.pixels.length, seed), scale = (noise * norm(y.pixels)) / norm(e);
    for (let i = 0; i < e.length; i++) y.pixels[i] += scale * e[i];
    return y;
  }

  return { measure, motionTaps, correlate, norm };
})();
