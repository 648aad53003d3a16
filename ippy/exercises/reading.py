"""Read what a reader gives for a letter or a number: of many types, and sometimes as a text."""

from __future__ import annotations

import json
import math
import numbers
import re
from decimal import Decimal
from functools import cache
from typing import Any

from ippy.base.paths import course_root
from ippy.exercises.core import Unanswered, Unusable, Wrong

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
NOT_FINITE = re.compile(r"[+-]?(inf|infinity|nan)", re.IGNORECASE)


@cache
def messages() -> dict[str, str]:
    """Return the words that all exercises share, from ``book/exercises/messages.json``."""
    path = course_root() / "book" / "exercises" / "messages.json"
    return json.loads(path.read_text(encoding="utf-8"))


def type_name(value: Any) -> str:
    """Return the name of a value's type, with its package where it is not Python's own."""
    cls = type(value)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"


def as_letter(answer: Any, letters: list[str]) -> str:
    """Return an answer as one of the letters: ``"b"``, ``"B"`` and ``"(b)"`` are one answer.

    Raises:
        Unanswered: It is the stub.
        Unusable: It is none of the letters.
    """
    if answer is Ellipsis or answer is None:
        raise Unanswered
    letter = answer.strip(" ().").lower() if isinstance(answer, str) else ""
    if letter not in letters:
        text = messages()["letter"].format(letters=", ".join(letters))
        quotes = (
            "" if isinstance(answer, str) else ' In Python it stands in quotes: `answer = "a"`.'
        )
        raise Unusable(f"{text}{quotes}")
    return letter


def as_number(answer: Any, unit: str = "") -> float:
    """Return an answer as a float: a number of Python's, NumPy's or PyTorch's, or one in a text.

    Args:
        answer: The answer.
        unit: What it is measured in; a text may end with it.

    Raises:
        Unanswered: It is the stub, or an empty text.
        Unusable: It is no number, or one with a comma, a percent sign or another unit.
        Wrong: It is not finite.
    """
    if answer is Ellipsis or answer is None:
        raise Unanswered
    if isinstance(answer, str):
        if not answer.strip():
            raise Unanswered
        return _finite(_number_in(answer, unit))
    if isinstance(answer, tuple) and 1 <= len(answer) <= 2:
        raise Unusable(_about_a_comma(answer))
    if hasattr(answer, "item") and math.prod(getattr(answer, "shape", ())) == 1:
        try:
            answer = answer.item()
        except (RuntimeError, NotImplementedError):
            raise Unusable("This is a tensor that holds no number; expected a number.") from None
    if isinstance(answer, bool) or not isinstance(answer, numbers.Real | Decimal):
        in_unit = f" (in {unit})" if unit else ""
        raise Unusable(f"This is of type `{type_name(answer)}`; expected one number{in_unit}.")
    return _finite(answer)


def as_returned_number(result: Any) -> float:
    """Return what a function returned as a float.

    Raises:
        Unanswered: It is the stub.
        Unusable: It is no number.
        Wrong: It is a text or several things, or it is not finite.
    """
    if isinstance(result, str):
        raise Wrong("The function returns a text; expected a number.")
    if isinstance(result, tuple):
        raise Wrong(
            f"The function returns {len(result)} things; expected one number. (A decimal is "
            "written with a point.)"
        )
    return as_number(result)


def _finite(number: float | Decimal) -> float:
    try:
        value = float(number)
    except OverflowError:  # a whole number or fraction beyond all floats
        value = math.inf
    if not math.isfinite(value):
        raise Wrong(messages()["finite"].format(value=value))
    return value


def _number_in(text: str, unit: str) -> str:
    """Return the number that a text holds, and nothing else, as ``float`` reads it."""
    text = text.strip().replace("−", "-")
    number = NUMBER.match(text)
    if "," in text and any(character.isdecimal() for character in text):
        raise Unusable(messages()["comma"])
    if NOT_FINITE.fullmatch(text):
        return text
    if number is None:
        raise Unusable(messages()["text"])
    rest = text[number.end() :].strip()
    if rest == "%":
        raise Unusable(messages()["percent"])
    if rest and rest.lower() != unit.lower():
        words = messages()["unit_of" if unit else "unit"]
        raise Unusable(words.format(rest=rest, unit=unit))
    return number[0]


def _about_a_comma(numbers: tuple[Any, ...]) -> str:
    if len(numbers) == 1:
        return "There is a comma at its end, which makes a tuple of it in Python. Leave it out."
    left, right = numbers
    text = f"There is a comma in it: Python reads `{left}, {right}` as two numbers."
    if isinstance(left, int) and isinstance(right, int) and right >= 0:
        return f"{text} Write a decimal point, `{left}.{right}`."
    return f"{text} Expected one; decimals are written with a point."
