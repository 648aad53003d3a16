// The metric playground: one image, four distortions, the same PSNR, and two other opinions.

liveFigures.view("metrics", (figure) => {
  "use strict";
  const { names, side, scores, strengths } = figure.facts;
  const size = side * side;
  const images = figure.array("images"), truth = figure.array("true image");
  const levels = images.length / (names.length * size);

  return ({ distortion, level, truth: showTruth }) => {
    const start = (distortion * levels + level) * size;
    figure.fill("pixels", showTruth ? truth : images.subarray(start, start + size));
    figure.title("image", showTruth ? "The truth." : `The image after ${names[distortion]}.`);

    for (const metric of ["ssim", "lpips"]) {
      const source = figure.find(`${metric} now`);
      figure.put(`${metric} now`, {
        x: scores.map((score) => score.psnr[level]),
        y: scores.map((score) => score[metric][level]),
        size: names.map((_, i) => (i === distortion ? 15 : 7)),
        colour: source.get_column("colour"),
      });
    }

    const row = (score) => [
      score.psnr[level].toFixed(1), score.ssim[level].toFixed(3), score.lpips[level].toFixed(3)];
    figure.table(
      [["", "PSNR (dB)", "SSIM", "LPIPS"], ...names.map((name, i) => [name, ...row(scores[i])])],
      distortion + 1);
    const [psnr, ssim, lpips] = row(scores[distortion]);
    const name = names[distortion][0].toUpperCase() + names[distortion].slice(1);
    return `${name}, ${strengths[distortion][level]}: PSNR ${psnr} dB, SSIM ${ssim}, LPIPS ${lpips}.`;
  };
});
