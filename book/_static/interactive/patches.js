// The patch size: the grid, one patch, what its token can keep, and what a slice costs.

liveFigures.view("patches", (figure) => {
  "use strict";
  const { sizes, side, costs } = figure.facts;
  const copies = figure.array("copies"), truth = figure.array("truth");
  let [row, column] = figure.facts.place; // a pixel of the marked patch
  const inside = (value) => Math.max(0, Math.min(side - 1, value));
  const number = (value) => value.toLocaleString("en");
  const quality = (psnr) => (psnr === null ? "exact" : `${psnr.toFixed(1)} dB`);
  const { x_range: across, y_range: up } = figure.find("patch");

  function mark(x, y) {
    [row, column] = [inside(Math.floor(y)), inside(Math.floor(x))];
    figure.set({});
  }
  figure.onTap("slice", (x, y) => mark(x, side - y));
  figure.onArrows("slice", "Arrow keys move the marked patch.", (right, down) => {
    const P = sizes[figure.values().size];
    mark(column + P * right, row + P * down);
  });

  return ({ size }) => {
    const P = sizes[size], cost = costs[size];
    const top = P * Math.floor(row / P), left = P * Math.floor(column / P);
    const lines = { x0: [], y0: [], x1: [], y1: [] };
    const add = (...ends) => Object.values(lines).forEach((list, i) => list.push(ends[i]));
    for (let at = P; at < side; at += P) {
      add(at, 0, at, side);
      add(0, at, side, at);
    }
    figure.put("grid", lines);
    figure.put("token", { x: [left + P / 2], y: [side - top - P / 2], w: [P], h: [P] });
    across.setv({ start: left, end: left + P });
    up.setv({ start: side - top - P, end: side - top });
    figure.fill("copied", copies.subarray(size * side * side, (size + 1) * side * side));

    const bars = figure.find("bars");
    figure.put("bars", {
      P: bars.get_column("P"), attention: bars.get_column("attention"),
      other: bars.get_column("other"), alpha: sizes.map((_, i) => (i === size ? 1 : 0.35)),
    });
    figure.title("patch", `One token covers ${P} × ${P} = ${P * P} pixels.`);

    figure.table([
      ["P", "tokens", "weights in A", "multiplications", "best copy"],
      ...sizes.map((P, i) => [
        String(P), number(costs[i].tokens), number(costs[i].weights),
        `${(costs[i].attention + costs[i].other).toFixed(1)} billion`, quality(costs[i].copy)]),
    ], size + 1);
    let squares = 0;
    for (let i = 0; i < P * P; i++) {
      const pixel = (top + Math.floor(i / P)) * side + left + (i % P);
      squares += (copies[size * side * side + pixel] - truth[pixel]) ** 2;
    }
    const share = Math.round((100 * cost.attention) / (cost.attention + cost.other));
    return `P = ${P}: ${number(cost.tokens)} tokens, ${number(cost.weights)} attention weights in ` +
      `each block; attention is ${share} % of the multiplications. The best linear copy through ` +
      `128 numbers: ${quality(cost.copy)} on all slices; in this patch it is off by ` +
      `${(Math.sqrt(squares) / P).toFixed(1)} grey levels of 255.`;
  };
});
