"""The page for teachers says of times and wrong answers what the course says now."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

from ippy.exercises import EXERCISES, judge

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "INSTRUCTOR.md").read_text(encoding="utf-8")
made = runpy.run_path(str(ROOT / "book" / "instructor.py"))


def test_the_page_fits_the_course() -> None:
    assert made["page"]() == PAGE, "run `python book/instructor.py` again"


def test_a_changed_reply_or_time_changes_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator reads the files that check() and the questions are made from."""
    read = json.loads
    monkeypatch.setattr(json, "loads", lambda text: read(text.replace("half a step", "HALF")))
    assert "You take the largest possible error, HALF, for every pixel." in made["page"]()
    assert "HALF" not in PAGE


def test_every_chapter_has_its_minutes_and_its_wrong_answers() -> None:
    quizzes = sorted((ROOT / "book" / "quizzes").glob("*.json"))
    for path in quizzes:
        assert re.search(rf"\(book/{path.stem}\.ipynb\) \| \d+ min \| \d+ s \| \d", PAGE)
        part = re.search(rf"<!-- {path.stem}: .*?<!-- end -->", PAGE, re.DOTALL)[0]
        for question in json.loads(path.read_text(encoding="utf-8")):
            for answer in question["answers"]:
                assert (answer["feedback"] in part) != answer["correct"]
    assert PAGE.count("<details>") == PAGE.count("</details>") == len(quizzes)


def test_every_exercise_says_what_goes_wrong_and_never_what_is_right() -> None:
    blocks = dict(re.findall(r"\*\*Exercise: (.*?)\*\*\n\n((?:- .*\n)*)", PAGE))
    assert len(blocks) == len(EXERCISES) == 34
    assert all(text.count("\n") >= 3 for text in blocks.values()), "three mistakes or more"
    assert "You divide by d_k; expected its square root." in blocks["Scaled dot-product attention"]
    assert "The parameters are moved twice, or by the gradient" in blocks["One training step"]
    assert "thrown away" in blocks["Patch size 16 and 32, from a trained model"]
    assert (
        judge("psnr", lambda x_hat, x, data_range: (x_hat - x).square().mean(dim=(1, 2, 3))).text
        in (blocks["PSNR"])
    ), "as check() says it"
    assert not [name for name, exercise in EXERCISES.items() if exercise.why in PAGE]


def test_its_commands_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in re.findall(r"(?:^|`)make ([a-z]+)", PAGE, re.MULTILINE):
        assert f"\n{command}:" in makefile
    for script in re.findall(r"python (book/\w+\.py)", PAGE):
        assert (ROOT / script).is_file()
    for command in set(re.findall(r"python -m ippy ([a-z-]+)", PAGE)):
        sources = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "ippy").rglob("*.py"))
        assert f'"{command}"' in sources, command
