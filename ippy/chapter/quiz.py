"""Quick questions in a chapter, with feedback on every option."""

from __future__ import annotations

import json
import random

from ippy.base.paths import course_root

COLOURS = {
    "--jq-multiple-choice-bg": "#1d4f91",
    "--jq-many-choice-bg": "#1d4f91",
    "--jq-incorrect-color": "#b3261e",
    "--jq-correct-color": "#146c43",
    "--jq-text-color": "#ffffff",
}


def quiz(name: str) -> None:
    """Show the questions of ``book/quizzes/<name>.json`` below the cell.

    The answers are in the page, so no kernel is needed to check them. The same questions always
    give the same output.

    Args:
        name: The file's name without its ending.

    Raises:
        FileNotFoundError: There is no such file.
    """
    from IPython.display import HTML, Javascript, display
    from IPython.utils.capture import capture_output
    from jupyterquiz import display_quiz

    folder = course_root() / "book" / "quizzes"
    path = folder / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.json")))
        raise FileNotFoundError(f"no questions named {name!r} in {folder}; there are: {known}")
    questions = json.loads(path.read_text(encoding="utf-8"))

    state = random.getstate()
    random.seed(name)  # the library draws the id of its box
    try:
        with capture_output() as captured:
            display_quiz(questions, max_width=720, border_radius=6, colors=COLOURS)
    finally:
        random.setstate(state)
    box, script = captured.outputs
    display(HTML(box.data["text/html"] + "</div>"))  # the library leaves its box open
    display(Javascript(script.data["application/javascript"]))
