"""A formula that a reader writes as a text, in a notebook or on a page: ``"2 / norm**2"``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

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
    if "," in text:
        raise Unusable(messages()["comma"])
    if len(text) > LONGEST:
        raise Unusable(messages()["formula_text"])
    expression = " ".join(_tokens(text, names))

    def function(**point: float) -> float:
        return float(evaluate(expression, **{name: float(value) for name, value in point.items()}))

    try:
        function(**dict.fromkeys(names, 1.0))
    except ArithmeticError:
        pass  # it may have values elsewhere
    except (SyntaxError, ValueError):
        raise Unusable(messages()["formula_text"]) from None
    return function


def _tokens(text: str, names: Sequence[str]) -> Iterator[str]:
    for sign, plain in SIGNS.items():
        text = text.replace(sign, plain)
    place = 0
    while place < len(text):
        token = TOKEN.match(text, place)
        if token is None and text[place].isspace():
            place += 1
            continue
        if token is None or (token["name"] and token["name"] not in (*names, *FUNCTIONS)):
            rest = token[0] if token else text[place]
            raise Unusable(
                messages()["formula_part"].format(
                    rest=rest, names=", ".join(f"`{name}`" for name in names)
                )
            )
        yield repr(float(token[0])) if token["number"] else token[0]  # 1.0: no endless integers
        place = token.end()
