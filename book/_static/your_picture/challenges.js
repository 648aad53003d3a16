// The three challenges: each looks at the scores that are on the page, and says when it is met.

yourPicture.challenges = (() => {
  "use strict";

  const decibel = (score) => `${score.psnr.toFixed(1)} dB`;

  /** Return the best of the models' scores, or null where one has not answered yet. */
  function best(scores, models) {
    const found = models.map(({ label }) => ({ label, ...scores[label] }));
    if (found.some(({ psnr }) => psnr === undefined)) return null;
    return found.reduce((a, b) => (b.psnr > a.psnr ? b : a));
  }

  const rules = {
    vit({ scores, settings, task }) {
      const vit = scores.ViT, other = scores["UNet++"];
      const usual = ["length", "angle", "noise"].every((key) => settings[key] === task[key]);
      if (!usual || !(vit?.psnr > other?.psnr)) return "";
      return `On this picture the ViT has ${decibel(vit)} and the UNet++ ${decibel(other)}.`;
    },
    tikhonov({ scores, settings, models }) {
      const rival = best(scores, models), { Tikhonov, Measurement } = scores;
      if (!rival || !(Tikhonov.psnr > rival.psnr && Tikhonov.psnr > Measurement.psnr)) return "";
      return `At ${settings.angle}° and ${settings.noise * 100} % noise Tikhonov has ${decibel(Tikhonov)}, ` +
        `the best model, ${rival.label}, ${decibel(rival)}.`;
    },
    residual({ scores, settings, models }) {
      const fooled = models.map(({ label }) => ({ label, ...scores[label] }))
        .find(({ ssim, residual }) => ssim > 0.9 && residual > 3 * settings.noise);
      if (!fooled) return "";
      return `${fooled.label}: SSIM ${fooled.ssim.toFixed(3)}, residual ${(100 * fooled.residual).toFixed(1)} %, ` +
        `${(fooled.residual / settings.noise).toFixed(0)} times the noise.`;
    },
  };

  /** Look at the page's state; what was met once stays met. */
  function look(state) {
    for (const box of document.querySelectorAll("[data-challenge]")) {
      const words = rules[box.dataset.challenge](state);
      if (words && !box.textContent) box.textContent = `✓ Found. ${words}`;
    }
  }

  return { look };
})();
