// Exercises that ask for a letter, a number or a formula are answered on the page.
//
// The page holds <div class="answer-form" data-exercise="NAME"> below the question. courseAnswers,
// from data.js, is what book/exercises says of all of them, in base64: nobody reads an answer by accident.

(() => {
  "use strict";

  const bytes = Uint8Array.from(atob(courseAnswers), (character) => character.charCodeAt(0));
  const { messages, chapters } = JSON.parse(new TextDecoder().decode(bytes));
  const entries = Object.fromEntries(
    Object.values(chapters).flat().map((entry) => [entry.name, entry]),
  );

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // `code` in backticks
  const marked = (text) =>
    text.split("`").map((part, i) => (i % 2 ? element("code", { textContent: part }) : part));

  // --- what a reader answers with; each returns {box, answer()}

  function letters(entry, place) {
    const list = place.previousElementSibling; // the options, as the question says them
    const options = [...list.children].map((item, i) => {
      const { letter } = entry.options[i];
      const input = element("input", { type: "radio", name: entry.name, value: letter });
      const content = item.querySelector("p") ?? item;
      return element("label", { className: "answer-option" }, input, element("span", {}, ...content.childNodes));
    });
    list.remove();
    const legend = element("legend", { className: "answer-unseen", textContent: "Your answer" });
    const box = element("fieldset", {}, legend, ...options);
    return { box, answer: () => box.querySelector("input:checked")?.value ?? "" };
  }

  function line(entry) {
    const id = `answer-${entry.name}`;
    const input = element("input", { type: "text", id, autocomplete: "off", spellcheck: false });
    input.setAttribute("autocapitalize", "off");
    const label = element("label", { htmlFor: id });
    const box = element("div", { className: `answer-line answer-${entry.kind}` }, label, input);
    if (entry.kind === "number") {
      input.inputMode = "decimal";
      label.textContent = "Your answer";
      if (entry.unit) box.append(element("span", { textContent: entry.unit }));
    } else {
      const names = entry.arguments.map((argument) => `\`${argument.name}\``).join(", ");
      label.append(...marked(`Your formula, with ${names}`));
      const help = element("small", { id: `${id}-help` });
      help.append(...marked("Write `*` for times, `/` for a fraction, `^` or `**` for a power; `sqrt()`, `abs()` and `log10()` are there, too."));
      input.setAttribute("aria-describedby", help.id);
      box.append(help);
    }
    return { box, answer: () => input.value };
  }

  // --- one form

  function makeForm(place) {
    const entry = entries[place.dataset.exercise];
    const { box, answer } = entry.kind === "choice" ? letters(entry, place) : line(entry);
    const key = `exercise/${entry.name}`;
    const solved = courseProgress.solvedMark();
    const button = element("button", { type: "submit", textContent: "Check" });
    const feedback = element("div", { className: "answer-feedback" });
    feedback.setAttribute("role", "status");
    const form = element(
      "form", {}, box, element("div", { className: "answer-row" }, button, solved), feedback,
    );
    form.setAttribute("aria-labelledby", headingOf(place));
    let tries = 0;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const said = courseJudge.judge(entry, answer(), tries, messages);
      if (said.verdict === "wrong") tries += 1;
      if (said.verdict === "right") courseProgress.add(key);
      show(feedback, said);
    });
    courseProgress.onChange(() => (solved.hidden = !courseProgress.has(key)));
    place.append(form);
  }

  function headingOf(place) {
    const heading = place.closest("section").querySelector("h1, h2, h3, h4");
    heading.id ||= `${place.closest("section").id}-heading`;
    return heading.id;
  }

  function show(feedback, { verdict, lead, text, hint }) {
    const first = element("p", {}, element("strong", { textContent: lead }), " ", ...marked(text));
    feedback.className = `answer-feedback answer-${verdict}`;
    feedback.replaceChildren(first, ...(hint ? [element("p", {}, ...marked(hint))] : []));
  }

  document.querySelectorAll(".answer-form").forEach(makeForm);
})();
