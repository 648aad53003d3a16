// The scores of a restored image, as ippy computes them. `x` is the truth, `y` the measurement.

yourPicture.metrics = (() => {
  "use strict";

  const { correlate, norm } = yourPicture.measure;
  const WINDOW = 7; // side of SSIM's windows in pixels
  const C1 = 0.01 ** 2, C2 = 0.03 ** 2;

  /** Return the peak signal-to-noise ratio in dB. */
  function psnr(image, x) {
    let sum = 0;
    for (let i = 0; i < x.pixels.length; i++) sum += (image.pixels[i] - x.pixels[i]) ** 2;
    return 10 * Math.log10(x.pixels.length / sum);
  }

  /** Return the mean over all 7 x 7 windows inside the image, with sample covariances. */
  function ssim(image, x) {
    const { width, height } = x, a = image.pixels, b = x.pixels;
    const mean = (value) => windowMeans(value, width, height);
    const ma = mean((i) => a[i]), mb = mean((i) => b[i]);
    const aa = mean((i) => a[i] * a[i]), bb = mean((i) => b[i] * b[i]), ab = mean((i) => a[i] * b[i]);
    const sample = WINDOW ** 2 / (WINDOW ** 2 - 1);
    let sum = 0;
    for (let i = 0; i < ma.length; i++) {
      const va = sample * (aa[i] - ma[i] * ma[i]), vb = sample * (bb[i] - mb[i] * mb[i]);
      const cov = sample * (ab[i] - ma[i] * mb[i]);
      sum += ((2 * ma[i] * mb[i] + C1) * (2 * cov + C2)) /
        ((ma[i] ** 2 + mb[i] ** 2 + C1) * (va + vb + C2));
    }
    return sum / ma.length;
  }

  /** Average value(i) over each window inside the image: the rows first, then the columns. */
  function windowMeans(value, width, height) {
    const w = width - WINDOW + 1, h = height - WINDOW + 1;
    const rows = new Float64Array(w * height), means = new Float64Array(w * h);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < w; column++) {
        let sum = 0;
        for (let k = 0; k < WINDOW; k++) sum += value(row * width + column + k);
        rows[row * w + column] = sum;
      }
    }
    for (let i = 0; i < means.length; i++) {
      let sum = 0;
      for (let k = 0; k < WINDOW; k++) sum += rows[i + k * w];
      means[i] = sum / WINDOW ** 2;
    }
    return means;
  }

  /** Return ||K image - y|| / ||y||: how far the image is from explaining the measurement. */
  function residual(image, y, taps) {
    const difference = correlate(image, taps).pixels;
    for (let i = 0; i < difference.length; i++) difference[i] -= y.pixels[i];
    return norm(difference) / norm(y.pixels);
  }

  /** Return the image with its values kept within 0 and 1, as it is scored and shown. */
  const clamped = ({ pixels, width, height }) =>
    ({ pixels: pixels.map((grey) => Math.min(1, Math.max(0, grey))), width, height });

  return { psnr, ssim, residual, clamped };
})();
