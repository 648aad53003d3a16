// The comparison: two images on either side of a line that follows the pointer, and their errors.

liveFigures.view("compare", (figure) => {
  "use strict";
  const { names, scores, side, levels, zooms, error_scale } = figure.facts;
  const size = side * side;
  const images = figure.array("images");
  let [row, column] = figure.facts.centre;

  /** The window that is shown: its first row and column, and its side, in pixels. */
  function view(zoom) {
    const shown = side / zoom;
    const first = (middle) => Math.max(0, Math.min(side - shown, middle - shown / 2));
    return { top: first(row), left: first(column), shown };
  }

  const { x_range: across, y_range: up } = figure.find("wipe");
  const lineAt = (x) => Math.round((100 * (x - across.start)) / (across.end - across.start));
  for (const plot of ["wipe", "errors"]) {
    figure.onMove(plot, (x) => figure.set({ divider: lineAt(x) }));
    figure.onTap(plot, (x, y) => {
      [row, column] = [side - y, x];
      figure.set({ divider: figure.values().zoom ? 50 : lineAt(x) });
    });
    figure.onArrows(plot, "Arrow keys left and right move the line; where the image is enlarged, " +
      "up and down move the part that is shown.", (right, down) => {
      row = Math.max(0, Math.min(side, row + 8 * down));
      figure.set({ divider: figure.values().divider + 2 * right });
    });
  }

  return (values) => {
    const { top, left, shown } = view(zooms[values.zoom]);
    across.setv({ start: left, end: left + shown });
    up.setv({ start: side - top - shown, end: side - top });
    const line = left + (shown * values.divider) / 100;
    for (const plot of ["wipe", "errors"]) figure.put(`${plot} divider`, { x: [line] });

    const grey = new Float32Array(size), error = new Float32Array(size);
    const squares = { left: 0, right: 0 };
    let counted = 0;
    for (let i = 0; i < size; i++) {
      const r = Math.floor(i / side), c = i % side;
      const which = c + 0.5 < line ? values.left : values.right;
      grey[i] = images[which * size + i] / levels;
      error[i] = Math.abs(images[which * size + i] - images[i]) / levels;
      if (r < Math.floor(top) || r >= top + shown || c < Math.floor(left) || c >= left + shown) continue;
      counted += 1;
      for (const half of ["left", "right"]) {
        squares[half] += ((images[values[half] * size + i] - images[i]) / levels) ** 2;
      }
    }
    figure.fill("grey", grey);
    figure.fill("error", error);

    figure.title("wipe", names[values.left], names[values.right]);
    figure.title("errors", `error of ${names[values.left]}`, `of ${names[values.right]}`);
    const typical = (half) => Math.sqrt(squares[half] / counted);
    const describe = (half) => {
      const { psnr, ssim } = scores[values[half]];
      const name = names[values[half]];
      if (values[half] === 0) return `${name}: no error`;
      return `${name}: ${psnr.toFixed(1)} dB and SSIM ${ssim.toFixed(3)} on the slice, ` +
        `typical error here ${typical(half).toFixed(4)}`;
    };
    return `Left, ${describe("left")}. Right, ${describe("right")}. ` +
      `Errors are drawn from 0 (black) to ${error_scale} (white).`;
  };
});
