"""Write what INSTRUCTOR.md says of times and of wrong answers: ``python book/instructor.py``.

The rest of the file is written by hand. Times come from the introduction and from the notebooks,
wrong answers from the quick questions and from the exercises, each with what a reader is told.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

from ippy.exercises import EXERCISES
from ippy.exercises.core import Exercise
from ippy.tools.made_parts import remade, rewrite

BOOK = Path(__file__).resolve().parent
PAGE = BOOK.parent / "INSTRUCTOR.md"
STUDY_TIME = re.compile(r"^\| \[?(?P<title>[^|\]]+)\]?(?:\((?P<chapter>\w+)\.ipynb\))?.*?"
                        r"\| (?P<time>\d+ min) \|", re.MULTILINE)  # fmt: skip


def page() -> str:
    """Return the text of INSTRUCTOR.md with its made parts made again."""
    questions = exercise_cells()

    def part(name: str) -> str:
        return times(questions) if name == "times" else wrong_answers(name, questions)

    return remade(PAGE, part)


def exercise_cells() -> dict[str, dict[str, str]]:
    """Return the text of each exercise's question, chapter by chapter."""
    chapters: dict[str, dict[str, str]] = {}
    for cell in nbformat.read(BOOK / "exercises.ipynb", as_version=4).cells:
        if cell.id.startswith("chapter-"):
            chapters[cell.id.removeprefix("chapter-")] = {}
        elif cell.id.endswith("-question"):
            chapters[[*chapters][-1]][cell.id.removesuffix("-question")] = cell.source
    return chapters


def times(questions: dict[str, dict[str, str]]) -> str:
    """Return a table of what each chapter takes."""
    introduction = nbformat.read(BOOK / "introduction.ipynb", as_version=4)
    listed = next(c.source for c in introduction.cells if "Time to study" in c.source)
    rows = ["| Chapter | To study | Its cells run in | Quick questions | Exercises |"]
    rows += ["|---|--:|--:|--:|--:|"]
    for found in STUDY_TIME.finditer(listed):
        chapter = found["chapter"] or "introduction"
        seconds = nbformat.read(BOOK / f"{chapter}.ipynb", as_version=4).metadata["ippy"]["seconds"]
        quiz = BOOK / "quizzes" / f"{chapter}.json"
        quick = len(json.loads(quiz.read_text(encoding="utf-8"))) if quiz.exists() else "–"
        asked = questions.get(chapter, {}).values()
        minutes = sum(int(re.search(r"(\d+) minutes", text)[1]) for text in asked)
        further = f"{len(asked)}, {minutes} min" if asked else "–"
        link = f"[{found['title'].strip().removesuffix(' (this page)')}](book/{chapter}.ipynb)"
        rows.append(f"| {link} | {found['time']} | {seconds} s | {quick} | {further} |")
    return "\n".join(rows)


def wrong_answers(chapter: str, questions: dict[str, dict[str, str]]) -> str:
    """Return, folded, a chapter's questions with their wrong answers and what is said to each."""
    blocks = []
    quiz = json.loads((BOOK / "quizzes" / f"{chapter}.json").read_text(encoding="utf-8"))
    for question in quiz:
        wrong = [(a["answer"], a["feedback"]) for a in question["answers"] if not a["correct"]]
        blocks.append(block(f"Quick question: {question['question']}", wrong))
    path = BOOK / "exercises" / f"{chapter}.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    entries = {entry["name"]: entry for entry in stored}
    for name, text in questions.get(chapter, {}).items():
        title = text.splitlines()[0].removeprefix("### ")
        wrong = known(entries[name]) if name in entries else list(programs(EXERCISES[name]))
        blocks.append(block(f"Exercise: {title}", wrong))
    count = sum(text.count("\n- ") for text in blocks)
    summary = f"<summary>What its questions aim at: {count} wrong answers</summary>"
    return "\n\n".join([f"<details>\n{summary}", *blocks, "</details>"])


def block(title: str, wrong: list[tuple[str, str]]) -> str:
    """Return one question with its wrong answers as Markdown."""
    lines = [f"- {f'*{answer}* → ' if answer else ''}{said}" for answer, said in wrong]
    return f"**{title}**\n\n" + "\n".join(lines)


def known(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the wrong letters, numbers or formulas of an entry in ``book/exercises``."""
    if entry["kind"] == "choice":
        wrong = [option for option in entry["options"] if not option["correct"]]
        return [(option["answer"], option["feedback"]) for option in wrong]
    return [("", f"`{mistake['value']}`: {mistake['feedback']}") for mistake in entry["mistakes"]]


def programs(exercise: Exercise) -> Iterator[tuple[str, str]]:
    """Yield what is said to programs that go wrong in a known way."""
    module = inspect.getmodule(exercise.judge)
    mistakes = getattr(exercise.judge, "mistakes", None) or getattr(module, "MISTAKES", {})
    yield from (("", text) for text in mistakes)
    if not hasattr(exercise.judge, "mistakes"):  # a judge of its own says the rest itself
        yield from (("", text) for text in _said(ast.parse(inspect.getsource(module))))


def _said(tree: ast.Module) -> Iterator[str]:
    """Yield the whole texts that a module raises ``Wrong`` with."""
    for node in ast.walk(tree):
        match node:
            case ast.Raise(
                exc=ast.Call(func=ast.Name(id="Wrong"), args=[ast.Constant(value=text)])
            ):
                yield text


if __name__ == "__main__":
    rewrite(PAGE, page())
