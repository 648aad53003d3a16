// Remembers, in this browser alone, which quick questions and exercises are solved, and says so in a
// quiet line: below the questions of a chapter, and on the page of exercises.
//
// The page holds <div class="course-progress" data-questions="loss_design:3" data-exercises="a b">:
// three questions are counted, and two exercises. data-here names the questions of this page; a line
// with data-short leaves out where it is kept.

var courseProgress = (() => {
  "use strict";

  const KEY = "vision-transformers-course";
  const listeners = [];
  let kept = true; // whether the browser lets us remember
  let solved = read();

  function read() {
    try {
      const stored = JSON.parse(localStorage.getItem(KEY) ?? "[]");
      return new Set(Array.isArray(stored) ? stored : []);
    } catch (error) {
      kept = error instanceof SyntaxError; // what is there is not ours and will be replaced
      return new Set();
    }
  }

  function change(next) {
    solved = next;
    try {
      if (solved.size) localStorage.setItem(KEY, JSON.stringify([...solved]));
      else localStorage.removeItem(KEY);
    } catch {
      kept = false; // it lasts as long as the page does
    }
    tell();
  }

  function tell() {
    for (const listener of listeners) listener();
  }

  addEventListener("storage", (event) => {
    if (event.key !== KEY && event.key !== null) return;
    solved = read();
    tell();
  });

  // --- the lines

  // "loss_design:3" -> the keys of three questions
  const questionKeys = (words) =>
    words.flatMap((word) => {
      const [name, count] = word.split(":");
      return Array.from({ length: Number(count) }, (_, i) => `question/${name}/${i}`);
    });

  function makeLine(box) {
    const { questions = "", exercises = "", here, short } = box.dataset;
    const words = (text) => text.split(" ").filter(Boolean);
    const groups = [
      { keys: questionKeys(words(questions)), what: "quick questions" },
      { keys: words(exercises).map((name) => `exercise/${name}`), what: linked(here) },
    ].filter(({ keys }) => keys.length);
    const text = document.createElement("span");
    const forget = document.createElement("button");
    forget.type = "button";
    forget.textContent = "Forget it";
    forget.addEventListener("click", () => change(new Set()));
    box.append(text, " ", forget);
    listeners.push(() => {
      const counts = groups.flatMap(({ keys, what }, i) => {
        const count = keys.filter((key) => solved.has(key)).length;
        return [`${i ? ", " : "Solved: "}${count} of ${keys.length} `, what];
      });
      const where = kept ? " Kept in this browser only." : " This browser does not remember it.";
      text.replaceChildren(...counts, ".", short === undefined ? where : "");
      forget.hidden = short !== undefined || !kept || !solved.size;
    });
  }

  function linked(chapter) {
    const what = "exercises that answer online";
    if (!chapter) return what;
    const link = document.createElement("a");
    link.href = `exercises.html#${chapter.replaceAll("_", "-")}`;
    link.textContent = what;
    return link;
  }

  // --- the quick questions, which are another library's

  function watchQuestions() {
    const name = document.querySelector(".course-progress[data-here]")?.dataset.here;
    if (!name) return;
    document.querySelectorAll(".Quiz").forEach((quiz, i) => {
      const key = `question/${name}/${i}`;
      const mark = solvedMark();
      quiz.append(mark);
      listeners.push(() => (mark.hidden = !solved.has(key)));
      quiz.addEventListener("change", (event) => {
        const right = event.target.closest("label")?.dataset.correct === "true";
        if (right) change(new Set([...solved, key]));
      });
    });
  }

  function solvedMark() {
    const mark = document.createElement("p");
    mark.className = "course-solved";
    mark.textContent = "✓ Solved";
    return mark;
  }

  document.querySelectorAll(".course-progress").forEach(makeLine);
  watchQuestions();
  tell();

  return {
    has: (key) => solved.has(key),
    add: (key) => change(new Set([...solved, key])),
    onChange(listener) {
      listeners.push(listener);
      listener();
    },
    solvedMark,
  };
})();
