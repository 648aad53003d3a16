// Live figures: a figure of the book whose name is live-NAME can be touched.
//
// Until then the page holds a picture and a button. The button loads, once, BokehJS, which draws,
// NAME.data.js, which the chapter wrote (see ippy/chapter/live), and NAME.js, which says what happens
// when a control moves. All by <script>: a page opened from a disk may load nothing else.
//
// NAME.js calls liveFigures.view(NAME, setUp). setUp(figure) prepares and returns draw(values), which
// is called with the value of each control, by its name, and returns a sentence for the reader.

var liveFigures = (() => {
  "use strict";

  const arrived = {}; // what data() and view() brought, by the figure's name

  /** Return a function that loads a script of a folder, once; again only after a failure. */
  function loader(folder) {
    const loaded = {}; // file -> promise
    return (file) => {
      loaded[file] ??= new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = folder + file;
        script.onload = resolve;
        script.onerror = () => {
          delete loaded[file];
          script.remove();
          reject(new Error(`${file} could not be loaded`));
        };
        document.head.append(script);
      });
      return loaded[file];
    };
  }

  const load = loader(new URL(".", document.currentScript.src).href);

  /** Make an element; a property that it does not know becomes an attribute. */
  function element(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in made) made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  // --- controls: the browser's own, so that keyboard, touch and screen readers know them

  function makeControl(spec, prefix, changed) {
    const id = `${prefix}-${spec.name}`;
    const label = element("label", { htmlFor: id, textContent: spec.label });
    if (spec.kind === "switch") {
      const input = element("input", { type: "checkbox", id, onchange: changed });
      return {
        box: element("div", { className: "live-control live-switch" }, input, label),
        get: () => input.checked,
        set: (value) => (input.checked = value),
      };
    }
    if (spec.kind === "choice") {
      const options = spec.values.map((text, i) => element("option", { value: i, textContent: text }));
      const input = element("select", { id, onchange: changed }, ...options);
      input.value = spec.start;
      return {
        box: element("div", { className: "live-control" }, label, input),
        get: () => Number(input.value),
        set: (value) => (input.value = value),
      };
    }
    const last = spec.values.length - 1;
    const input = element("input", { type: "range", id, min: 0, max: last, step: 1 });
    const shown = element("span", { className: "live-value", "aria-hidden": "true" }); // it is the valuetext
    const show = () => {
      shown.textContent = spec.values[input.value];
      input.setAttribute("aria-valuetext", spec.values[input.value]);
    };
    input.value = spec.start;
    input.oninput = () => {
      show();
      changed();
    };
    show();
    label.append(" ", shown);
    return {
      box: element("div", { className: "live-control" }, label, input),
      get: () => Number(input.value),
      set: (value) => {
        input.value = Math.max(0, Math.min(last, value));
        show();
      },
    };
  }

  // --- colours: the plots' words and lines follow the page's theme

  const themed = [];

  function paint(plots) {
    const style = getComputedStyle(document.querySelector(".bd-article") ?? document.body);
    const ink = style.color;
    for (const plot of plots) {
      for (const axis of [...plot.above, ...plot.below, ...plot.left, ...plot.right]) {
        if (!axis.major_label_text_font) continue;
        axis.setv({
          axis_label_text_color: ink,
          axis_label_text_font: style.fontFamily,
          major_label_text_color: ink,
          major_label_text_font: style.fontFamily,
          axis_line_color: axis.axis_line_color == null ? null : ink,
          major_tick_line_color: axis.major_tick_line_color == null ? null : ink,
        });
      }
      for (const legend of plot.center.filter((part) => part.type === "Legend")) {
        legend.setv({ label_text_color: ink, label_text_font: style.fontFamily });
      }
    }
  }

  new MutationObserver(() => themed.forEach(paint)).observe(document.documentElement, {
    attributeFilter: ["data-theme"],
  });

  // --- one figure

  /** Leave Bokeh's own layers out of the tab order: they take the focus, but answer to no key. */
  function leaveTabOrder(root) {
    for (const inner of root.querySelectorAll("*")) {
      if (inner.tabIndex >= 0) inner.tabIndex = -1;
      if (inner.shadowRoot) leaveTabOrder(inner.shadowRoot);
    }
  }

  const PLAIN = { int8: Int8Array, uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array };

  async function build(figure, name, place) {
    const { data, setUp } = arrived[name];
    const holders = data.plots.map((plot) =>
      element("div", { className: `live-plot live-plot-${plot.name}` },
        element("p", { className: "live-title", textContent: plot.shows }),
        element("div", { className: "live-canvas", role: "img", "aria-label": plot.shows })));
    const canvases = holders.map((holder) => holder.lastChild);
    const sentence = element("p", { className: "live-words", role: "status" });
    const table = element("div", {
      className: "live-table", role: "region", "aria-label": "Numbers", tabIndex: 0, // it may scroll
    });

    let draw = () => "";
    let asked = false;
    const redraw = () => {
      asked = false;
      const words = draw(values());
      if (words !== sentence.textContent) sentence.textContent = words;
    };
    const changed = () => {
      if (!asked) requestAnimationFrame(redraw); // once a frame, however fast the hand
      asked = true;
    };
    const controls = Object.fromEntries(
      data.controls.map((spec) => [spec.name, makeControl(spec, `live-${name}`, changed)]));
    const values = () =>
      Object.fromEntries(Object.entries(controls).map(([key, control]) => [key, control.get()]));

    place.replaceChildren(
      element("div", { className: "live-controls", role: "group", "aria-label": "Controls" },
        ...Object.values(controls).map((control) => control.box)),
      element("div", { className: "live-plots" }, ...holders), sentence, table);

    const roots = data.document.roots.slice(0, canvases.length).map((root) => root.id);
    const [views] = await Bokeh.embed.embed_items({ [name]: data.document }, [{
      docid: name,
      root_ids: roots,
      roots: Object.fromEntries(roots.map((id, i) => [id, canvases[i]])),
    }]);
    canvases.forEach(leaveTabOrder);
    const model = views.roots[0].model.document;
    const find = (wanted) => model.get_model_by_name(wanted);
    const plots = data.plots.map((plot) => find(plot.name));
    themed.push(plots);
    paint(plots);

    const holder = (plot) => holders[data.plots.findIndex((known) => known.name === plot)];
    const set = (wanted) => {
      for (const [key, value] of Object.entries(wanted)) controls[key].set(value);
      changed();
    };
    draw = setUp({
      facts: data.facts,
      set,
      values,
      find,
      array(key) {
        const values = find(key).get_column("values"); // Bokeh's kind of array can't be cut
        return new PLAIN[values.dtype](values.buffer, values.byteOffset, values.length);
      },
      /** Give an image new values, one for each pixel. */
      fill(key, values) {
        const source = find(key);
        source.get_column("image")[0].set(values);
        source.change.emit();
      },
      /** Give a source new columns. */
      put(key, columns) {
        find(key).data = columns;
      },
      /** Write what stands above a plot: one text, or a left and a right one. */
      title(plot, ...texts) {
        const title = holder(plot).firstChild;
        title.replaceChildren(...texts.map((text) => element("span", { textContent: text })));
        title.nextSibling.setAttribute("aria-label", texts.join(" | "));
      },
      /** Call back with the place in the plot's units where it was clicked or tapped. */
      onTap(plot, callback) {
        holder(plot).classList.add("live-tap");
        find(plot).on_event("tap", (event) => callback(event.x, event.y));
      },
      onMove(plot, callback) {
        find(plot).on_event("mousemove", (event) => callback(event.x, event.y));
      },
      /** Let the arrow keys move something in a plot: call back with steps right and down. */
      onArrows(plot, what, callback) {
        const canvas = holder(plot).lastChild;
        canvas.tabIndex = 0;
        canvas.setAttribute("role", "application");
        canvas.setAttribute("aria-label", `${holder(plot).firstChild.textContent} ${what}`);
        const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
        canvas.addEventListener("keydown", (event) => {
          if (!(event.key in steps)) return;
          event.preventDefault();
          callback(...steps[event.key]);
        });
      },
      /** Show rows of texts under the plots; the first row is the head, row `strong` stands out. */
      table(rows, strong) {
        const made = rows.map((row, i) =>
          element("tr", { className: i === strong ? "live-strong" : "" }, ...row.map((text, j) =>
            element(i && j ? "td" : "th", { textContent: text, scope: i ? "row" : "col" }))));
        table.replaceChildren(element("table", {}, ...made));
      },
    });
    redraw();
  }

  async function start(figure, name, button, place) {
    const byKeyboard = document.activeElement === button;
    button.disabled = true;
    button.textContent = "Loading …";
    try {
      await load("bokeh.min.js");
      await load(`${name}.data.js`);
      await load(`${name}.js`);
      await build(figure, name, place);
    } catch (error) {
      button.disabled = false;
      button.textContent = `${error.message}. Try again`;
      return;
    }
    figure.classList.add("live-on");
    button.remove();
    if (byKeyboard) place.querySelector("input, select").focus();
  }

  function offer(figure) {
    const name = figure.id.replace(/^live-/, "");
    const image = figure.querySelector("img");
    image.closest("a")?.replaceWith(image); // the book links a picture to its file
    const button = element("button", { type: "button", className: "live-start" }, "▶ Try it live");
    const place = element("div", { className: "live" });
    const go = () => button.disabled || start(figure, name, button, place);
    button.onclick = go;
    image.addEventListener("click", go);
    image.after(button, place);
    figure.classList.add("live-offered");
  }

  document.addEventListener("DOMContentLoaded", () =>
    document.querySelectorAll('figure[id^="live-"]').forEach(offer));

  return {
    element,
    loader,
    data(data) {
      arrived[data.name] = { ...arrived[data.name], data };
    },
    view(name, setUp) {
      arrived[name] = { ...arrived[name], setUp };
    },
  };
})();
