// The trained models, from the page's side: they are loaded when they are wanted, and run in a worker.

yourPicture.models = (() => {
  "use strict";

  let worker = null, begun = null; // and the promise that it is ready
  let opened = new Map(); // model -> promise that this worker has it
  let waiting = new Map(); // message -> its promise's ends
  let count = 0; // of messages
  let generation = 0; // of workers

  class Stopped extends Error {}

  function ask(task, details) {
    return new Promise((resolve, reject) => {
      waiting.set((count += 1), { resolve, reject });
      worker.postMessage({ id: count, task, ...details });
    });
  }

  function hear({ data: { id, answer, error } }) {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(error));
    else resolve(answer);
  }

  /** Start the worker, with its scripts in one text: a page from a disk may name no other file. */
  async function begin() {
    const mine = generation;
    const names = ["ort", "worker", "loader", "wasm"];
    const [ort, own, loader, wasm] = await Promise.all(names.map(yourPicture.load));
    const parts = [await yourPicture.unpack(ort), `\n${yourPicture.unpack}\n`, await yourPicture.unpack(own)];
    if (mine !== generation) throw new Stopped();
    const address = URL.createObjectURL(new Blob(parts, { type: "text/javascript" }));
    worker = new Worker(address);
    URL.revokeObjectURL(address);
    worker.onmessage = hear;
    worker.onerror = (event) => {
      event.preventDefault();
      fail(new Error(event.message || "the worker could not be started"));
    };
    await ask("start", { loader, wasm });
  }

  async function open(name) {
    const mine = generation, text = await yourPicture.load(name);
    if (mine !== generation) throw new Stopped();
    await ask("open", { name, text });
  }

  /** Restore y with a model: {pixels, width, height, seconds}. `say` is told what is being done. */
  async function run(name, y, say) {
    const mine = generation;
    say("loading");
    try {
      await (begun ??= begin());
      if (!opened.has(name)) opened.set(name, open(name));
      await opened.get(name);
      if (mine !== generation) throw new Stopped();
      say("running");
      return await ask("run", { name, ...y });
    } catch (error) {
      if (mine === generation) fail(error); // a worker that failed once is not asked again
      throw error;
    }
  }

  /** End the worker: what it was asked for fails, and the next question starts another. */
  function fail(error) {
    worker?.terminate();
    const left = waiting;
    generation += 1;
    worker = begun = null;
    opened = new Map();
    waiting = new Map();
    for (const { reject } of left.values()) reject(error);
  }

  return {
    run,
    Stopped,
    /** Stop whatever is running; a run can't be stopped in any other way. */
    stop: () => fail(new Stopped()),
  };
})();
