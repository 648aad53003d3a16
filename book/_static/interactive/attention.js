// The attention explorer: softmax(Q K^T / sqrt(d_k)) for one query patch, in all blocks and heads.

liveFigures.view("attention", (figure) => {
  "use strict";
  const { grid, patch, blocks, heads, gap } = figure.facts;
  const tokens = grid * grid;
  const [queries, keys, scales] = ["queries", "keys", "scales"].map(figure.array);
  const width = scales.length / blocks; // d
  const each = width / heads; // d_k
  const pitch = grid + gap;
  const side = heads * pitch - gap;
  const clamp = (value) => Math.max(0, Math.min(grid - 1, value));

  /** The weights of one query in one head: they are positive and sum to 1. */
  function attention(query, block, head) {
    const q = new Float32Array(each);
    for (let c = 0; c < each; c++) {
      const channel = head * each + c;
      q[c] = queries[(block * tokens + query) * width + channel] * scales[block * width + channel];
    }
    const weights = new Float32Array(tokens);
    let largest = -Infinity;
    for (let j = 0; j < tokens; j++) {
      const start = (block * tokens + j) * width + head * each;
      let score = 0;
      for (let c = 0; c < each; c++) score += q[c] * keys[start + c];
      weights[j] = score;
      largest = Math.max(largest, score);
    }
    let sum = 0;
    for (let j = 0; j < tokens; j++) sum += weights[j] = Math.exp(weights[j] - largest);
    return weights.map((weight) => weight / sum);
  }

  figure.onTap("slice", (x, y) =>
    figure.set({ column: clamp(Math.floor(x)), row: clamp(Math.floor(grid - y)) }));
  figure.onTap("maps", (x, y) =>
    figure.set({ head: Math.floor(x / pitch), block: Math.floor((side - y) / pitch) }));
  figure.onArrows("slice", "Arrow keys move the marked patch.", (right, down) => {
    const { row, column } = figure.values();
    figure.set({ row: clamp(row + down), column: clamp(column + right) });
  });

  return ({ block, head, row, column }) => {
    const query = row * grid + column;
    const small = new Float32Array(side * side).fill(NaN);
    const frames = { x: [], y: [], w: [], h: [] };
    let chosen;
    for (let b = 0; b < blocks; b++) {
      for (let m = 0; m < heads; m++) {
        const weights = attention(query, b, m);
        const largest = Math.max(...weights);
        if (b === block && m === head) chosen = weights;
        for (let j = 0; j < tokens; j++) {
          const r = b * pitch + Math.floor(j / grid), c = m * pitch + (j % grid);
          small[r * side + c] = weights[j] / largest;
        }
        frames.x.push(m * pitch + column + 0.5);
        frames.y.push(side - (b * pitch + row + 0.5));
        frames.w.push(1);
        frames.h.push(1);
      }
    }
    figure.fill("weights", small);
    figure.put("queries in maps", frames);
    figure.put("chosen", {
      x: [head * pitch + grid / 2], y: [side - block * pitch - grid / 2], w: [grid], h: [grid],
    });

    const largest = Math.max(...chosen);
    figure.fill("overlay", Uint32Array.from(chosen, (weight) => {
      const alpha = Math.round(230 * Math.sqrt(weight / largest));
      return ((alpha << 24) | (0x00 << 16) | (0x9f << 8) | 0xe6) >>> 0; // orange
    }));
    figure.put("query", { x: [column + 0.5], y: [grid - row - 0.5], w: [1], h: [1] });

    const sorted = [...chosen].sort((a, b) => b - a);
    let half = 0;
    for (let sum = 0; sum < 0.5; half++) sum += sorted[half];
    let distance = 0;
    chosen.forEach((weight, j) => {
      distance += weight * Math.hypot(Math.floor(j / grid) - row, (j % grid) - column) * patch;
    });
    return (
      `Block ${block + 1}, head ${head + 1}, patch at (${row}, ${column}): half of its attention ` +
      `goes to ${half} of ${tokens} patches, at a mean distance of ${distance.toFixed(0)} pixels. ` +
      `${(100 * chosen[query]).toFixed(2)} % stays with the patch itself; ` +
      `equal weights would give ${(100 / tokens).toFixed(2)} % to each.`
    );
  };
});
