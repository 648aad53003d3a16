// What runs beside the page, so that it never freezes: the runtime and the models.
//
// The build packs this file; models.js starts it as a worker, after onnxruntime-web's own script,
// which defines `ort`, and start.js's unpack. A message asks for one thing; its answer has its id.

"use strict";

const GRID = 8; // pixels: models are given sides that are multiples of it, as ippy's restore gives
const sessions = {};
const tasks = { start, open, run };
let last = Promise.resolve();

onmessage = ({ data: { id, task, ...details } }) => {
  last = last.then(async () => {
    try {
      postMessage({ id, answer: await tasks[task](details) });
    } catch (error) {
      postMessage({ id, error: String(error?.message ?? error) });
    }
  });
};

/** Give the runtime its WebAssembly and the loader of it as bytes: it may fetch neither. */
async function start({ loader, wasm }) {
  const script = new Blob([await unpack(loader)], { type: "text/javascript" });
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(script) };
  ort.env.wasm.wasmBinary = await unpack(wasm);
}

async function open({ name, text }) {
  const options = { executionProviders: ["wasm"] };
  sessions[name] ??= await ort.InferenceSession.create(await unpack(text), options);
}

/** Restore a measurement as ippy's restore does: continue it by reflection, and cut that off. */
async function run({ name, pixels, width, height }) {
  const W = width + (-width & (GRID - 1)), H = height + (-height & (GRID - 1));
  const reflected = (i, side) => (i < side ? i : 2 * side - 2 - i);
  const padded = new Float32Array(W * H);
  for (let row = 0; row < H; row++) {
    const from = reflected(row, height) * width;
    for (let column = 0; column < W; column++) {
      padded[row * W + column] = pixels[from + reflected(column, width)];
    }
  }
  const begun = performance.now();
  const y = new ort.Tensor("float32", padded, [1, 1, H, W]);
  const { x_hat: restored } = await sessions[name].run({ y });
  const image = new Float32Array(width * height);
  for (let row = 0; row < height; row++) {
    image.set(restored.data.subarray(row * W, row * W + width), row * width);
  }
  return { pixels: image, width, height, seconds: (performance.now() - begun) / 1000 };
}
