"""The files of letters, numbers and formulas: their format, and what is said to each answer."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from string import Formatter
from typing import Any

import jsonschema
import nbformat
import pytest

from ippy.exercises import EXERCISES, judge
from ippy.exercises.expressions import evaluate
from ippy.exercises.questions import questions
from ippy.exercises.reading import messages

BOOK = Path(__file__).resolve().parent.parent / "book"
FOLDER = BOOK / "exercises"
SCHEMA = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
FILES = sorted(path for path in FOLDER.glob("*.json") if (BOOK / f"{path.stem}.ipynb").exists())
ENTRIES = {e["name"]: e for path in FILES for e in json.loads(path.read_text(encoding="utf-8"))}

by_kind = {
    kind: [pytest.param(e, id=name) for name, e in ENTRIES.items() if e["kind"] == kind]
    for kind in ("choice", "number", "formula")
}


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """The questions, by the exercises' names."""
    cells = nbformat.read(BOOK / "exercises.ipynb", as_version=4).cells
    return {c.id.removesuffix("-question"): c.source for c in cells if c.id.endswith("-question")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_keeps_to_the_schema(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), SCHEMA)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.update(kind="essay"),
        lambda e: e.update(hints=[]),
        lambda e: e.update(remark="?"),
        lambda e: e.pop("why"),
        lambda e: e["options"][0].update(correct=True),
        lambda e: e["options"][0].pop("feedback"),
        lambda e: e["options"].clear(),
    ],
)
def test_the_schema_refuses(change: Any) -> None:
    entry = json.loads(json.dumps(ENTRIES["residual-start"]))
    jsonschema.validate([entry], SCHEMA)
    change(entry)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([entry], SCHEMA)


def test_each_exercise_without_code_is_in_one_file() -> None:
    assert {n for n, e in EXERCISES.items() if e.kind != "code"} == set(ENTRIES)
    assert [len(by_kind[kind]) for kind in ("choice", "number", "formula")] == [8, 5, 5]
    assert sum(len(questions(path.stem)) for path in FILES) == len(ENTRIES)
    for name, entry in ENTRIES.items():
        assert EXERCISES[name].hints == tuple(entry["hints"])
        assert EXERCISES[name].why == entry["why"]


@pytest.mark.parametrize("entry", by_kind["choice"])
def test_options_are_those_of_the_question(entry: dict[str, Any], texts: dict[str, str]) -> None:
    shown = re.findall(r"^- \*\*(\w)\*\* · (.*)$", texts[entry["name"]], re.MULTILINE)
    assert shown == [(option["letter"], option["answer"]) for option in entry["options"]]
    for option in entry["options"]:
        feedback = judge(entry["name"], option["letter"])
        assert feedback.verdict == ("right" if option["correct"] else "wrong")
        assert feedback.text == option.get("feedback", entry["why"])


@pytest.mark.parametrize("entry", by_kind["number"])
def test_each_wrong_number_is_told_what_the_file_says(entry: dict[str, Any]) -> None:
    right, tolerance = evaluate(entry["value"]), entry["tolerance"]
    assert judge(entry["name"], right).verdict == "right"
    assert judge(entry["name"], right + 0.99 * tolerance).verdict == "right"
    for sign in (-1.01, 1.01):
        assert judge(entry["name"], right + sign * tolerance).verdict == "wrong"
    for mistake in entry["mistakes"]:
        value = evaluate(mistake["value"])
        assert abs(value - right) > mistake["tolerance"] + tolerance
        assert judge(entry["name"], value).text == mistake["feedback"]
        assert judge(entry["name"], f"{value:.4g}").text == mistake["feedback"]
    assert judge(entry["name"], right + 2000).text.endswith("is too large.")


@pytest.mark.parametrize("entry", by_kind["formula"])
def test_each_wrong_formula_is_told_what_the_file_says(entry: dict[str, Any]) -> None:
    names = [argument["name"] for argument in entry["arguments"]]
    assert list(entry["example"]) == names
    for argument in entry["arguments"]:
        assert argument["from"] <= entry["example"][argument["name"]] <= argument["to"]

    def function(expression: str, factor: float = 1) -> Any:
        return lambda *values: (
            factor * evaluate(expression, **dict(zip(names, values, strict=True)))
        )

    def with_names(answer: Any) -> Any:
        scope: dict[str, Any] = {"answer": answer}
        exec(f"def named({', '.join(names)}): return answer({', '.join(names)})", scope)
        return scope["named"]

    for _ in range(3):
        assert judge(entry["name"], with_names(function(entry["value"]))).verdict == "right"
        for mistake in entry["mistakes"]:
            feedback = judge(entry["name"], with_names(function(mistake["value"])))
            assert (feedback.verdict, feedback.text) == ("wrong", mistake["feedback"])
        larger = judge(entry["name"], with_names(function(entry["value"], factor=1.1))).text
        assert larger.startswith(f"At {names[0]} = ") and larger.endswith("which is too large.")


def test_a_formula_that_is_right_at_one_point_is_not_right() -> None:
    assert "not everywhere" in judge("step-size", lambda norm: 2 / 9).text
    assert judge("step-size", lambda norm: 2 / norm**2 if norm < 4 else 0).verdict == "wrong"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (3, 3),
        ("0.5", 0.5),
        ("2 * 3 + 4", 10),
        ("2 - 3 / 4", 1.25),
        ("2 * (1 + a)**2", 18),
        ("sqrt(a + 2) * abs(1 - a) - log10(100)", 0),
    ],
)
def test_expressions(expression: str | float, value: float) -> None:
    assert math.isclose(evaluate(expression, a=2), value)


@pytest.mark.parametrize(
    "expression",
    ["b", "a.real", "a if a else 1", "__import__('os')", "'x'", "a[0]", "exp(a)", "a // 2"],
)
def test_nothing_but_arithmetic_is_evaluated(expression: str) -> None:
    with pytest.raises(ValueError, match="is not arithmetic on a"):
        evaluate(expression, a=2)


def test_expressions_mean_the_same_in_javascript() -> None:
    """Where both have a sign, they agree but for `-a ** b`, which is an error there."""
    for entry in ENTRIES.values():
        for place in (entry, *entry.get("mistakes", ())):
            text = str(place.get("value", ""))
            assert not re.search(r"//|%|-\s*\w+\s*\*\*|[\[\]{}'\"]", text.replace(" - ", " + ")), (
                text
            )


def test_messages_have_the_fields_that_they_are_given() -> None:
    fields = {
        name: {field for _, field, _, _ in Formatter().parse(text) if field}
        for name, text in messages().items()
    }
    assert fields.pop("hint") == {"number", "count", "hint"}
    assert fields.pop("letter") == {"letters"}
    assert fields.pop("unit_of") == {"rest", "unit"} and fields.pop("unit") == {"rest"}
    assert fields.pop("formula_near") == fields.pop("formula_undefined") == {"point"}
    assert fields.pop("formula_part") == {"rest", "names"}
    assert fields.pop("formula_times") == {"left", "right"}
    assert fields.pop("formula_large") == fields.pop("formula_small") == {"point", "value"}
    assert fields.pop("large") == fields.pop("small") == fields.pop("finite") == {"value"}
    assert not any(fields.values())
