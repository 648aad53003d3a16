"""A formula that a reader writes as a text, in a notebook or on a page: ``"2 / norm**2"``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from ippy.exercises.core import Unanswered, Unusable
from ippy.exercises.expressions import FUNCTIONS, evaluate
from ippy.exercises.reading import messages

LONGEST = 200  # characters
SIGNS = {"−": "-", "·": "*", "×": "*", "÷": "/", "^": "**", "²": "**2", "³": "**3"}
TOKEN = re.compile(
    r"(?P<number>(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)|(?P<name>[a-z_]\w*)|\*\*|[-+*/()]",
    re.ASCII | re.IGNORECASE,
)


def as_function(text: str, names: Sequence[str]) -> Callable[..., float]:
    """Return a formula as a function of floats, given by name.

    The function raises ArithmeticError where the formula, or a part of it, has no finite value.

    Args:
        text: The formula, as Python writes it; ``^`` and ``²`` are read as powers, ``·`` as times.
        names: What it may be made of, beside numbers and ``sqrt()``, ``abs()`` and ``log10()``.

    Raises:
        Unanswered: The text is empty.
        Unusable: It is no formula, or there is something else in it.
    """
    if not text.strip():
        raise Unanswered
    if re.search("[0-9] *, *[0-9]", text):
        raise Unusable(messages()["comma"])
    if len(text) > LONGEST:
        raise Unusable(messages()["formula_text"])
    tokens = _tokens(text, names)
    for left, right in pairwise(tokens):
        if _is_product(left, right):
            raise Unusable(messages()["formula_times"].format(left=left, right=right))
    # 1.0 in place of 1: no endless integers
    expression = " ".join(repr(float(t)) if _is_number(t) else t for t in tokens)

    def function(**point: float) -> float:
        return float(evaluate(expression, **{name: float(value) for name, value in point.items()}))

    try:
        function(**dict.fromkeys(names, 1.0))
    except ArithmeticError:
        pass  # it may have values elsewhere
    except (SyntaxError, ValueError):
        raise Unusable(messages()["formula_text"]) from None
    return function


def _tokens(text: str, names: Sequence[str]) -> list[str]:
    for sign, plain in SIGNS.items():
        text = text.replace(sign, plain)
    tokens, place = [], 0
    while place < len(text):
        token = TOKEN.match(text, place)
        if token is None and text[place].isspace():
            place += 1
            continue
        if token is None or (token["name"] and token["name"] not in (*names, *FUNCTIONS)):
            raise Unusable(_about(token[0] if token else text[place], names))
        tokens.append(token[0])
        place = token.end()
    return tokens


def _about(rest: str, names: Sequence[str]) -> str:
    """Say what is wrong with a part that is no name: ``ab`` may be a product."""
    if len(rest) > 1 and all(letter in names for letter in rest):
        return messages()["formula_times"].format(left=rest[0], right=rest[1])
    listed = ", ".join(f"`{name}`" for name in names)
    return messages()["formula_part"].format(rest=rest, names=listed)


def _is_number(token: str) -> bool:
    return token[0].isdigit() or token[0] == "."


def _is_product(left: str, right: str) -> bool:
    """Whether two neighbours are meant to be multiplied: ``2a``, ``p(1 - p)``, ``(a)(b)``."""
    if _is_number(left) and _is_number(right):
        return False
    ends = left == ")" or (_is_operand(left) and left not in FUNCTIONS)
    return ends and (right == "(" or _is_operand(right))


def _is_operand(token: str) -> bool:
    return token[0].isalnum() or token[0] in "._"
