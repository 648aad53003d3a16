"""The exercises that need no program: a letter, a number, a formula, from ``book/exercises``.

The files hold all there is to say about an answer, so that a page without Python can say the same;
``schema.json`` beside them tells what is in them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, NoReturn

import torch

from ippy.base.paths import course_root
from ippy.exercises.calling import call
from ippy.exercises.core import Exercise, Judge, Wrong
from ippy.exercises.expressions import evaluate
from ippy.exercises.inputs import fresh, fresh_integer
from ippy.exercises.reading import as_letter, as_number, as_returned_number, messages
from ippy.exercises.written import as_function

POINTS = 20  # at which a formula is tried, beside its example


def questions(chapter: str) -> tuple[Exercise, ...]:
    """Return the exercises of ``book/exercises/<chapter>.json``.

    Args:
        chapter: The name of the chapter's notebook, without its ending.

    Raises:
        FileNotFoundError: There is no such file.
    """
    path = course_root() / "book" / "exercises" / f"{chapter}.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    judges = {"choice": choice, "number": number, "formula": formula}
    return tuple(
        Exercise(
            name=entry["name"],
            kind=entry["kind"],
            hints=tuple(entry["hints"]),
            why=entry["why"],
            judge=judges[entry["kind"]](entry),
        )
        for entry in entries
    )


def choice(entry: dict[str, Any]) -> Judge:
    """Ask for one letter."""
    options = {option["letter"]: option for option in entry["options"]}

    def judge(answer: Any) -> None:
        option = options[as_letter(answer, sorted(options))]
        if not option["correct"]:
            raise Wrong(option["feedback"])

    return judge


def number(entry: dict[str, Any]) -> Judge:
    """Ask for one number."""
    right, tolerance = evaluate(entry["value"]), entry["tolerance"]

    def judge(answer: Any) -> None:
        value = as_number(answer, entry.get("unit", ""))
        if abs(value - right) <= tolerance:
            return
        for mistake in entry["mistakes"]:
            if abs(value - evaluate(mistake["value"])) <= mistake["tolerance"]:
                raise Wrong(mistake["feedback"])
        if abs(value - right) <= 10 * tolerance * (1 + 1e-9):  # 1.1 is near 1.05
            raise Wrong(messages()["near"])
        if abs(value + right) <= tolerance:
            raise Wrong(messages()["sign"])
        raise Wrong(messages()["large" if value > right else "small"].format(value=f"{value:g}"))

    return judge


def formula(entry: dict[str, Any]) -> Judge:
    """Ask for a formula, written as a function of numbers, or as a text."""

    def judge(answer: Callable[..., Any] | str) -> None:
        points = [entry["example"], *(_point(entry["arguments"]) for _ in range(POINTS))]
        if isinstance(answer, str):
            function = as_function(answer, [argument["name"] for argument in entry["arguments"]])
            values = [_value(function, point) for point in points]
        else:
            values = [as_returned_number(call(answer, **point)) for point in points]
        if not _agrees(entry["value"], points, values):
            _explain(entry, points, values)

    return judge


def _explain(entry: dict[str, Any], points: list[dict], values: list[float]) -> NoReturn:
    for mistake in entry["mistakes"]:
        if _agrees(mistake["value"], points, values):
            raise Wrong(mistake["feedback"])
    where = _spoken(points[0])
    if _agrees(entry["value"], points[:1], values[:1]):
        raise Wrong(messages()["formula_near"].format(point=where))
    size = "large" if values[0] > evaluate(entry["value"], **points[0]) else "small"
    raise Wrong(messages()[f"formula_{size}"].format(point=where, value=f"{values[0]:.6g}"))


def _value(function: Callable[..., float], point: dict[str, float]) -> float:
    try:
        return function(**point)
    except ArithmeticError:
        raise Wrong(messages()["formula_undefined"].format(point=_spoken(point))) from None


def _spoken(point: dict[str, float]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in point.items())


def _point(arguments: list[dict[str, Any]]) -> dict[str, float]:
    """Draw the arguments of a formula, each from its range."""
    point = {}
    for argument in arguments:
        name, low, high = argument["name"], argument["from"], argument["to"]
        if step := argument.get("step"):
            point[name] = low + step * fresh_integer(0, (high - low) // step)
        else:
            point[name] = low + (high - low) * fresh(dtype=torch.float64).item()
    return point


def _agrees(expression: str, points: list[dict], values: list[float]) -> bool:
    expected = (evaluate(expression, **point) for point in points)
    return all(
        math.isclose(value, other, rel_tol=1e-6, abs_tol=1e-9)
        for value, other in zip(values, expected, strict=True)
    )
