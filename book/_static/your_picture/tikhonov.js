// The classical rival: the minimiser of ||K x - y||^2 + weight ||x||^2, as ippy's Tikhonov has it.
//
// It knows the blur and has learned nothing. The image is continued periodically, so that the blur is
// one product for each Fourier coefficient.

yourPicture.tikhonov = (() => {
  "use strict";

  /** Return a function that transforms complex numbers re, im of one length in place. */
  function transformer(length) {
    return length & (length - 1) ? anyLength(length) : powerOfTwo(length);
  }

  /** The fast Fourier transform of Cooley and Tukey, 1965. */
  function powerOfTwo(n) {
    const cos = Float64Array.from({ length: n / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / n));
    const sin = Float64Array.from({ length: n / 2 }, (_, k) => -Math.sin((2 * Math.PI * k) / n));
    const bits = Math.log2(n), reversed = new Uint32Array(n);
    for (let i = 1; i < n; i++) reversed[i] = (reversed[i >> 1] >> 1) | ((i & 1) << (bits - 1));
    return (re, im) => {
      for (let i = 0; i < n; i++) {
        const j = reversed[i];
        if (j > i) [re[i], re[j], im[i], im[j]] = [re[j], re[i], im[j], im[i]];
      }
      for (let half = 1; half < n; half *= 2) {
        const step = n / (2 * half);
        for (let start = 0; start < n; start += 2 * half) {
          for (let k = 0; k < half; k++) {
            const i = start + k, j = i + half, c = cos[k * step], s = sin[k * step];
            const r = re[j] * c - im[j] * s, m = re[j] * s + im[j] * c;
            re[j] = re[i] - r;
            im[j] = im[i] - m;
            re[i] += r;
            im[i] += m;
          }
        }
      }
    };
  }

  /** Any length, as a convolution of a length that is a power of two (Bluestein, 1970). */
  function anyLength(n) {
    let m = 1;
    while (m < 2 * n) m *= 2;
    const transform = powerOfTwo(m);
    const angle = (k) => (Math.PI * ((k * k) % (2 * n))) / n;
    const cos = Float64Array.from({ length: n }, (_, k) => Math.cos(angle(k)));
    const sin = Float64Array.from({ length: n }, (_, k) => Math.sin(angle(k)));
    const br = new Float64Array(m), bi = new Float64Array(m);
    for (let k = 0; k < n; k++) {
      br[k] = br[(m - k) % m] = cos[k];
      bi[k] = bi[(m - k) % m] = sin[k];
    }
    transform(br, bi);
    const ar = new Float64Array(m), ai = new Float64Array(m);
    return (re, im) => {
      ar.fill(0);
      ai.fill(0);
      for (let k = 0; k < n; k++) {
        ar[k] = re[k] * cos[k] + im[k] * sin[k];
        ai[k] = im[k] * cos[k] - re[k] * sin[k];
      }
      transform(ar, ai);
      for (let k = 0; k < m; k++) {
        const r = ar[k] * br[k] - ai[k] * bi[k];
        ai[k] = -(ar[k] * bi[k] + ai[k] * br[k]); // conjugated: the way back is a way forth
        ar[k] = r;
      }
      transform(ar, ai);
      for (let k = 0; k < n; k++) {
        const r = ar[k] / m, i = -ai[k] / m;
        re[k] = r * cos[k] + i * sin[k];
        im[k] = i * cos[k] - r * sin[k];
      }
    };
  }

  /** Transform an image of complex numbers in place: its rows, then its columns. */
  function transform2d(re, im, width, height) {
    const along = transformer(width), down = transformer(height);
    for (let row = 0; row < height; row++) {
      const part = [row * width, (row + 1) * width];
      along(re.subarray(...part), im.subarray(...part));
    }
    const columnRe = new Float64Array(height), columnIm = new Float64Array(height);
    for (let column = 0; column < width; column++) {
      for (let row = 0; row < height; row++) {
        columnRe[row] = re[row * width + column];
        columnIm[row] = im[row * width + column];
      }
      down(columnRe, columnIm);
      for (let row = 0; row < height; row++) {
        re[row * width + column] = columnRe[row];
        im[row * width + column] = columnIm[row];
      }
    }
  }

  function restore(y, taps, weight) {
    const { width, height } = y, size = width * height;
    const kr = new Float64Array(size), ki = new Float64Array(size);
    for (const [down, right, share] of taps) {
      kr[((down + height) % height) * width + ((right + width) % width)] += share;
    }
    transform2d(kr, ki, width, height); // the conjugate of what the correlation multiplies by
    const yr = Float64Array.from(y.pixels), yi = new Float64Array(size);
    transform2d(yr, yi, width, height);
    for (let i = 0; i < size; i++) {
      const below = (kr[i] ** 2 + ki[i] ** 2 + weight) * size;
      const r = (kr[i] * yr[i] - ki[i] * yi[i]) / below;
      yi[i] = -(kr[i] * yi[i] + ki[i] * yr[i]) / below; // conjugated: the way back is a way forth
      yr[i] = r;
    }
    transform2d(yr, yi, width, height);
    return { pixels: Float32Array.from(yr), width, height };
  }

  return { restore };
})();
