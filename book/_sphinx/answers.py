"""Sphinx extension: exercises that answer on the page, and a line that says what is solved.

The notebooks stay as they are. A cell with ``check("NAME", ...)`` on the page of exercises gets the
form of that exercise in front, or, where the answer is a program, links to where it can run. A cell
with ``quiz("NAME")`` gets the line of its chapter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from answer_data import SCRIPT, collect, packed
from docutils import nodes
from repository_links import address, branch
from sphinx.application import Sphinx

EXERCISES = "book/exercises"
FIRST_LINES = "how_long.html#in-the-browser-with-nothing-installed"
CALL = re.compile(r"^(?P<function>check|quiz)\(\"(?P<name>[\w-]+)\"", re.MULTILINE)
SCRIPTS = "judge.js", "data.js", "progress.js", "forms.js"


def complete(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put forms, links and lines into a page."""
    calls = list(_calls(doctree))
    content = app.env.ippy_answers
    for cell, function, name in calls:
        if function == "quiz" and name in content["questions"]:
            _insert_after(cell, _line([name], content, here=name))
        elif function == "check" and docname == EXERCISES:
            _complete_exercise(cell, name, content)
    if docname == EXERCISES:
        _add_lines(doctree, [call for call in calls if call[1] == "check"], content)


def _calls(doctree: nodes.document) -> Iterator[tuple[nodes.container, str, str]]:
    """Yield the cells that call ``check`` or ``quiz``, with the function and the name."""
    for cell in list(doctree.findall(nodes.container)):
        if "cell" in cell["classes"]:
            code = next(iter(cell.findall(nodes.literal_block)), None)
            if code is not None and (found := CALL.search(code.astext())):
                yield cell, found["function"], found["name"]


def _complete_exercise(check: nodes.container, name: str, content: dict[str, Any]) -> None:
    """Fold the two cells of an exercise that the page can judge; say where the others run."""
    if name not in content["chapter_of"]:
        _insert_after(check, _html(f'<p class="answer-elsewhere">{_places()}</p>'))
        return
    parent, place = check.parent, check.parent.index(check)
    form = f'<div class="answer-form" data-exercise="{name}"></div>'
    fold = '<details class="answer-cells"><summary>Answer in the notebook</summary>'
    parent.insert(place - 1, _html(form + fold))  # before the cell with the stub
    _insert_after(check, _html("</details>"))


def _places() -> str:
    """Return where the notebook of exercises can run, in HTML."""
    if not (repository := address()):
        return "This one is a program: run it with <code>jupyter lab book/exercises.ipynb</code>."
    name, there = repository.removeprefix("https://github.com/"), quote(branch(), safe="")
    binder = f"https://mybinder.org/v2/gh/{name}/{there}?urlpath=lab/tree/{EXERCISES}.ipynb"
    colab = f"https://colab.research.google.com/github/{name}/blob/{branch()}/{EXERCISES}.ipynb"
    return (
        f'This one is a program: open the notebook on <a href="{binder}">Binder</a>, on '
        f'<a href="{colab}">Colab</a> (<a href="{FIRST_LINES}">with these lines first</a>), or '
        "with <code>jupyter lab book/exercises.ipynb</code>."
    )


def _add_lines(doctree: nodes.document, checks: list, content: dict[str, Any]) -> None:
    """Put a line below the heading of each chapter, and one for all of them at the top."""
    done = set()
    for cell, _, name in checks:
        chapter = content["chapter_of"].get(name)
        if chapter and chapter not in done:
            done.add(chapter)
            section = cell.parent.parent
            place = section.first_child_matching_class(nodes.section)
            section.insert(place, _line([chapter], content))
    top = next(doctree.findall(nodes.section))
    place = top.first_child_matching_class(nodes.paragraph) + 1
    top.insert(place, _line(list(content["questions"]), content, everything=True))


def _line(
    chapters: list[str], content: dict[str, Any], *, here: str = "", everything: bool = False
) -> nodes.raw:
    """Return the place of a line that counts the questions and exercises of chapters."""
    questions = " ".join(f"{name}:{content['questions'][name]}" for name in chapters)
    names = [name for name, chapter in content["chapter_of"].items() if chapter in chapters]
    attributes = f'data-questions="{questions}" data-exercises="{" ".join(names)}"'
    attributes += f' data-here="{here}"' if here else ""
    attributes += "" if here or everything else " data-short"
    return _html(f'<div class="course-progress" {attributes}></div>')


def _html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def _insert_after(node: nodes.Node, new: nodes.Node) -> None:
    node.parent.insert(node.parent.index(node) + 1, new)


def prepare(app: Sphinx) -> None:
    """Read what the pages need, once, and write the script that they load."""
    book = Path(app.srcdir, "book")
    content = collect(book)
    if app.builder.format == "html":
        path = Path(app.outdir, SCRIPT)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(packed(content), encoding="utf-8", newline="\n")
    content["chapter_of"] = {
        entry["name"]: chapter
        for chapter, entries in content["chapters"].items()
        for entry in entries
    }
    content["questions"] = {
        path.stem: len(json.loads(path.read_text(encoding="utf-8")))
        for path in sorted(book.glob("quizzes/*.json"))
    }
    app.env.ippy_answers = content


def add_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Load the scripts on the pages that use them."""
    if 'class="course-progress"' in context.get("body", ""):
        app.add_css_file("answers/answers.css")
        for script in SCRIPTS if page == EXERCISES else ("progress.js",):
            app.add_js_file(f"answers/{script}", loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect everything to Sphinx."""
    app.connect("builder-inited", prepare)
    app.connect("doctree-resolved", complete)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
