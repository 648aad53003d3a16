// What keyboards and screen readers need that the theme and the quiz library leave out.

document.addEventListener("DOMContentLoaded", () => {
  // What scrolls sideways can be scrolled with the arrow keys.
  const wide = document.querySelectorAll(
    ".cell_output .text_html, .pst-scrollable-table-container, div.math > span:last-child, pre",
  );
  const reach = () => wide.forEach((box) => {
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });
  new ResizeObserver(reach).observe(document.querySelector("article") ?? document.body);

  // Paper is white, whatever the theme.
  const root = document.documentElement;
  let theme = root.dataset.theme;
  addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    root.dataset.theme = theme;
  });

  // A question is a group of answers with a name, and its reply is read out.
  document.querySelectorAll(".Quiz").forEach((quiz) => {
    const question = quiz.firstElementChild;
    const answers = quiz.querySelector(".Answer");
    answers.setAttribute("role", "radiogroup");
    answers.setAttribute("aria-labelledby", question.id);
    quiz.querySelector(".Feedback").setAttribute("role", "status");
  });
});
