"""What an exercise is, what can come of an answer, and how the feedback looks."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


class Unanswered(Exception):
    """The stub is still there."""


class Unusable(Exception):
    """The answer is not of the kind that was asked for. It is explained and costs no hint."""


class Wrong(Exception):
    """The answer is wrong; the message says what is off."""


Judge = Callable[[Any], None]
"""Returns for a right answer, raises one of the three above for any other."""


@dataclass(frozen=True)
class Exercise:
    """One exercise. Its question, with the formulas, is in ``book/exercises.ipynb``.

    Attributes:
        name: What ``check`` calls it by, and what its labels in the book end in.
        kind: A letter, a number, a formula written as a function, or code.
        hints: Given one after the other, a wrong answer each; none of them is the solution.
        why: Shown with a right answer: why the thing matters.
        judge: Looks at an answer.
    """

    name: str
    kind: Literal["choice", "number", "formula", "code"]
    hints: tuple[str, ...]
    why: str
    judge: Judge


COLOURS = {"open": "107, 107, 107", "unusable": "86, 180, 233", "wrong": "230, 159, 0"}
COLOURS["right"] = "0, 158, 115"


@dataclass(frozen=True)
class Feedback:
    """What is said about an answer: text in a terminal, a coloured box in a notebook.

    Attributes:
        verdict: ``"open"`` (not answered), ``"unusable"``, ``"wrong"`` or ``"right"``.
        lead: A few words, shown bold.
        text: What there is to say. Words in backticks are code.
        hint: The next hint, where the answer was wrong.
    """

    verdict: Literal["open", "unusable", "wrong", "right"]
    lead: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        first = f"{self.lead} {self.text}"
        return f"{first}\n{self.hint}" if self.hint else first

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the box; its colours are translucent, so that it fits a light and a dark page."""
        colour = COLOURS[self.verdict]
        style = f"border-left: 4px solid rgb({colour}); background: rgba({colour}, 0.12); "
        style += "padding: 0.5em 0.9em; margin: 0.2em 0;"
        lines = [f"<strong>{_marked(self.lead)}</strong> {_marked(self.text)}"]
        lines += [_marked(self.hint)] if self.hint else []
        body = "".join(f'<p style="margin: 0.2em 0;">{line}</p>' for line in lines)
        return f'<div class="ippy-check" style="{style}">{body}</div>'


def _marked(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
