// The page's controls and its state: a picture, the settings of its measurement, the answers.

document.addEventListener("DOMContentLoaded", () => {
  "use strict";

  const { element, facts, measure, metrics, models, pictures, tikhonov } = yourPicture;
  const place = document.getElementById("your-picture");
  const CAN = typeof WebAssembly === "object" && typeof DecompressionStream === "function" &&
    typeof createImageBitmap === "function";
  if (!CAN) {
    place.replaceChildren(element("p", { className: "picture-refused" },
      "This browser can't run the models: it lacks WebAssembly, or is older than 2023. Open the page " +
      "in a current Firefox, Chrome, Edge or Safari. Some browsers switch WebAssembly off in their " +
      "strictest mode of security; there, allow it for this page."));
    return;
  }

  const LENGTHS = [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21];
  const NOISES = [0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1];
  const FITS = {
    "Shrink to 256 pixels": { way: "shrink", side: 256 },
    "Shrink to 512 pixels (slow)": { way: "shrink", side: 512 },
    "Cut out 256 × 256 pixels": { way: "cut", side: 256 },
    "Cut out 512 × 512 pixels (slow)": { way: "cut", side: 512 },
  };
  const PAUSE = 400; // milliseconds after the last change before the models run again
  const percent = (share, digits = 1) => `${Number((100 * share).toFixed(digits))} %`;

  const settings = { ...facts.task, seed: 0 };
  let source = null; // the file that is shown, and what it is called
  let x = null, y = null, taps = []; // truth, measurement, blur
  let images = {}, scores = {}; // by label, of the picture and settings on the page
  let wanted = false; // the models have been asked for
  let turn = 0; // counts the changes: an answer to an older question is dropped
  let running = false;

  // --- what the reader sees

  const file = element("input", { type: "file", id: "picture-file", accept: "image/*,.dcm,.ima" });
  const drop = element("div", { className: "picture-drop" },
    element("label", { htmlFor: "picture-file" }, "Drop a picture here, paste one, or choose a file"), file,
    element("p", { className: "picture-legend" },
      "PNG, JPEG, WebP, GIF, or a CT slice in DICOM. It stays on this computer."));
  const slices = element("div", { className: "picture-slices", role: "group", "aria-label": "A slice of the course" },
    element("span", {}, "Or take a slice of the course:"),
    ...facts.slices.map(({ name, label }) =>
      element("button", { type: "button", onclick: () => takeSlice(name, label) }, label)));
  const fit = element("select", { id: "picture-fit", onchange: () => source && take(...source) },
    ...Object.keys(FITS).map((words) => element("option", {}, words)));
  const about = element("p", { className: "picture-about", role: "status" });
  const length = slider("length", "Blur length", LENGTHS, (pixels) => `${pixels} px`);
  const angle = slider("angle", "Blur angle", Array.from({ length: 181 }, (_, i) => i), (degrees) => `${degrees}°`);
  const noise = slider("noise", "Noise", NOISES, (share) => percent(share));
  const kernel = element("canvas", { className: "picture-kernel", role: "img" });
  const again = element("button", { type: "button", onclick: () => change({ seed: settings.seed + 1 }) },
    "Draw the noise again");
  const reset = element("button", { type: "button", onclick: () => change({ ...facts.task }) },
    "Back to the course's blur");
  const go = element("button", { type: "button", className: "live-start", onclick: toggle });
  const bar = element("progress", { max: facts.models.length, value: 0, "aria-label": "Models that have answered" });
  const progress = element("p", { className: "picture-progress", role: "status" });
  const comparison = element("div", { className: "picture-comparison" });
  const caption = element("p", { className: "picture-legend" });
  const table = element("div", { className: "live-table", role: "region", "aria-label": "Scores", tabIndex: 0 });
  const measured = element("div", { className: "picture-measured", hidden: true },
    element("div", { className: "live-controls", role: "group", "aria-label": "The measurement" },
      length.box, angle.box, noise.box),
    element("div", { className: "picture-buttons" }, kernel, again, reset),
    go, bar, progress, comparison,
    element("p", { className: "picture-legend" },
      `The brightest pixel of the truth is drawn white, and errors from 0 (black) to ${yourPicture.view.ERROR_SCALE} ` +
      "(pale). Move the line with the pointer or its slider. In an enlarged picture, a click brings a place to the middle."),
    caption, table);
  place.replaceChildren(drop, slices,
    element("div", { className: "live-controls" },
      element("div", { className: "live-control" },
        element("label", { htmlFor: "picture-fit" }, "If it is larger"), fit)),
    about, measured);
  place.className = "live picture";
  const view = yourPicture.view.build(comparison, facts.magma);

  function slider(key, label, values, words) {
    const id = `picture-${key}`;
    const shown = element("span", { className: "live-value", "aria-hidden": "true" });
    const input = element("input", { type: "range", id, min: 0, max: values.length - 1, step: 1 });
    const show = () => {
      input.value = values.indexOf(settings[key]);
      shown.textContent = words(settings[key]);
      input.setAttribute("aria-valuetext", words(settings[key]));
    };
    input.addEventListener("input", () => change({ [key]: values[input.value] }));
    show();
    const box = element("div", { className: "live-control" },
      element("label", { htmlFor: id }, `${label} `, shown), input);
    return { box, show };
  }

  // --- a picture

  let reading = 0;

  /** Take a file as the picture; a second one takes the place of the first at once. */
  async function take(taken, name = taken.name || "The pasted picture") {
    const mine = (reading += 1);
    about.classList.remove("picture-refused");
    about.textContent = "Reading …";
    let image;
    try {
      image = await pictures.read(taken, FITS[fit.value]);
    } catch (error) {
      if (mine === reading) {
        refuse(error instanceof pictures.Refused ? error.message
          : `The picture could not be read (${error.message}).`);
      }
      return;
    }
    if (mine !== reading) return;
    stop();
    source = [taken, name];
    x = image;
    about.textContent = [`${name}: ${x.width} × ${x.height} pixels, in grey.`, ...x.notes].join(" ");
    measured.hidden = false;
    renew();
  }

  function refuse(words) {
    about.classList.add("picture-refused");
    about.textContent = words;
  }

  async function takeSlice(name, label) {
    const mine = (reading += 1);
    about.textContent = "Loading …";
    try {
      const bytes = await yourPicture.unpack(await yourPicture.load(name));
      if (mine === reading) await take(new Blob([bytes]), label);
    } catch (error) {
      refuse(`${error.message}. Try again.`);
    }
  }

  file.addEventListener("change", () => file.files[0] && take(file.files[0]));
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("picture-over");
  });
  for (const name of ["dragleave", "drop"]) {
    drop.addEventListener(name, () => drop.classList.remove("picture-over"));
  }
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
    else refuse("That was no file. Save the picture first, then drop it from its folder.");
  });
  document.addEventListener("paste", (event) => {
    const pasted = event.clipboardData.files[0];
    if (pasted) take(pasted);
  });

  // --- its measurement

  function change(changes) {
    Object.assign(settings, changes);
    for (const control of [length, angle, noise]) control.show();
    renew();
  }

  /** Measure the picture, score what needs no model, and let the models run again after a pause. */
  function renew() {
    const mine = (turn += 1);
    taps = measure.motionTaps(settings.length, settings.angle);
    y = measure.measure(x, settings);
    images = {};
    scores = {};
    enter("Truth", x);
    enter("Measurement", y);
    enter("Tikhonov", tikhonov.restore(y, taps, facts.weight));
    progress.textContent = wanted ? "The models run again in a moment …" : "The models are loaded when you press " +
      `the button, once: ${facts.megabytes} MB in all.`;
    showKernel();
    show();
    if (wanted) setTimeout(() => mine === turn && restore(), PAUSE);
  }

  function showKernel() {
    const side = Math.max(settings.length, facts.task.length);
    yourPicture.view.drawKernel(kernel, taps, side);
    kernel.setAttribute("aria-label", `The blur's kernel: ${taps.length} pixels of ${side} × ${side}`);
  }

  // It is drawn in the theme's colours.
  new MutationObserver(showKernel).observe(document.documentElement, { attributeFilter: ["data-theme"] });

  function enter(label, image, seconds) {
    const shown = metrics.clamped(image);
    images[label] = shown;
    scores[label] = {
      psnr: metrics.psnr(shown, x), ssim: metrics.ssim(shown, x),
      residual: metrics.residual(shown, y, taps), seconds,
    };
  }

  // --- the models' answers

  /** Let every model answer, one after the other, as long as the question stays the same. */
  async function restore() {
    const mine = turn, first = !wanted;
    wanted = running = true;
    show();
    for (const { name, label, megabytes } of facts.models) {
      const say = (what) => {
        if (mine !== turn) return;
        progress.textContent = what === "loading" ? `Loading ${label} (${megabytes} MB) …` : `${label} is at work …`;
      };
      try {
        const answer = await models.run(name, y, say);
        if (mine !== turn) return;
        enter(label, answer, answer.seconds);
        show();
        if (first) view.follow(label);
      } catch (error) {
        if (error instanceof models.Stopped || mine !== turn) return;
        running = false;
        progress.textContent = `${label} could not run: ${error.message}. Try again, or choose a smaller picture.`;
        show();
        return;
      }
    }
    running = false;
    progress.textContent = `All ${facts.models.length} models have answered.`;
    show();
  }

  function stop() {
    if (running) models.stop();
    running = false;
  }

  function toggle() {
    if (!running) {
      restore();
      return;
    }
    turn += 1;
    wanted = false;
    stop();
    progress.textContent = "Cancelled. What has been restored stays.";
    show();
  }

  function show() {
    const answered = facts.models.filter(({ label }) => label in images).length;
    bar.value = answered;
    bar.hidden = !running;
    go.textContent = running ? "Cancel" : `▶ Restore it with the ${facts.models.length} models`;
    view.show(images);
    showTable();
    yourPicture.challenges.look({ scores, settings, models: facts.models, task: facts.task });
  }

  function showTable() {
    const head = ["Picture", "PSNR (dB)", "SSIM", "Residual", "Time"];
    const labels = ["Truth", "Measurement", "Tikhonov", ...facts.models.map(({ label }) => label)];
    const rows = labels.map((label) => {
      const score = scores[label];
      const name = score
        ? element("button", { type: "button", title: `Show ${label} right of the line`, onclick: () => view.choose(label) }, label)
        : label;
      const cells = score ? cellsOf(score) : ["…", "", "", ""];
      const misfit = score && score.residual > 3 * settings.noise;
      return element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((text, i) =>
        element("td", { className: misfit && i === 2 ? "picture-misfit" : "" }, text)));
    });
    const kept = table.contains(document.activeElement) ? document.activeElement.textContent : null;
    caption.textContent = `The noise is ${percent(settings.noise)} of the measurement. A residual of more ` +
      "than three times that is marked ✗: the picture does not explain the measurement.";
    table.replaceChildren(element("table", {},
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...rows)));
    for (const button of table.querySelectorAll("button")) if (button.textContent === kept) button.focus();
  }

  function cellsOf({ psnr, ssim, residual, seconds }) {
    const misfit = residual > 3 * settings.noise ? "✗ " : "";
    return [
      psnr === Infinity ? "∞" : psnr.toFixed(2), ssim.toFixed(4),
      `${misfit}${(100 * residual).toFixed(2)} %`, seconds === undefined ? "" : `${seconds.toFixed(1)} s`,
    ];
  }

  /** What is on the page, for whoever wants to look at its numbers. */
  yourPicture.state = () => ({ x, y, taps, images, scores, settings, running, models: facts.models });
});
