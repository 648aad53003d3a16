"""The exercises answer as they should: right, wrong in a known way, broken, or not at all."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import matplotlib
import nbformat
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy import exercises
from ippy.exercises import EXERCISES, Feedback, calling, check, judge
from ippy.exercises.diagnosis import FEW
from ippy.models.vit import patchify
from ippy.operators import LinearOperator

BOOK = Path(__file__).resolve().parent.parent / "book"


@pytest.fixture(autouse=True)
def _no_tries_yet() -> Iterator[None]:
    exercises._wrong_tries.clear()
    yield


def answers(notebook: str) -> dict[str, Any]:
    """Run the cells of a notebook that answer and check, and return what was handed to `check`."""
    cells = nbformat.read(BOOK / f"{notebook}.ipynb", as_version=4).cells
    handed: dict[str, Any] = {}
    scope: dict[str, Any] = {}
    matplotlib.use("Agg")
    for cell in cells:
        if cell.cell_type == "code" and "mystnb" not in cell.metadata and "-after" not in cell.id:
            exec(cell.source, scope)
            scope["check"] = handed.__setitem__
    return handed


@pytest.fixture(scope="module")
def solutions() -> dict[str, Any]:
    return answers("solutions")


@pytest.fixture(scope="module")
def stubs() -> dict[str, Any]:
    return answers("exercises")


def test_both_notebooks_hold_every_exercise(solutions: dict, stubs: dict) -> None:
    assert list(stubs) == list(solutions)
    assert set(stubs) == set(EXERCISES)
    assert len(stubs) >= 20


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_is_right(solutions: dict, name: str) -> None:
    for _ in range(3):  # other inputs each time
        feedback = judge(name, solutions[name])
        assert feedback.verdict == "right", str(feedback)
    assert EXERCISES[name].why in str(feedback)


@pytest.mark.parametrize("name", EXERCISES)
def test_the_stub_is_not_answered(stubs: dict, name: str) -> None:
    for stub in (stubs[name], ..., None):
        feedback = judge(name, stub)
        assert feedback.verdict == "open"
        assert "Not answered yet" in str(feedback) and "\n" not in str(feedback)


@pytest.mark.parametrize("name", [n for n, e in EXERCISES.items() if e.kind == "choice"])
def test_every_option_has_an_answer_of_its_own(name: str) -> None:
    verdicts = {letter: judge(name, letter) for letter in "abcd"}
    assert sorted(f.verdict for f in verdicts.values()) == ["right", "wrong", "wrong", "wrong"]
    assert len({f.text for f in verdicts.values()}) == 4
    assert judge(name, "e").verdict == judge(name, 3).verdict == "unusable"


def column_by_column(x: Tensor, P: int) -> Tensor:
    return patchify(x.transpose(-2, -1), P)


def test_hints_come_one_after_the_other_and_end() -> None:
    hints = EXERCISES["patchify"].hints
    given = [judge("patchify", column_by_column).hint for _ in range(len(hints) + 2)]
    assert [hint.split(": ", 1)[1] for hint in given] == [*hints, hints[-1], hints[-1]]
    assert judge("key-bias", "a").hint.startswith("Hint 1")  # each counts its own


@pytest.mark.parametrize("name", [n for n, e in EXERCISES.items() if e.kind == "number"])
def test_no_hint_gives_the_number_away(solutions: dict, name: str) -> None:
    hints = " ".join(EXERCISES[name].hints)
    assert f"{solutions[name]:.4g}" not in re.findall(r"[\d.]*\d", hints)


# Answers that are not wrong in their thought but in what they do.


def in_place(x: Tensor, P: int) -> Tensor:
    patches = patchify(x, P)
    x.zero_()
    return patches


def endless(x: Tensor, P: int) -> Tensor:
    while True:
        try:
            x = x + 1
        except Exception:  # a student who catches everything
            continue


def stops(x: Tensor, P: int) -> Tensor:
    return x.reshape(7, P)


def forgets(x: Tensor, P: int) -> None:
    patchify(x, P)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (in_place, "changes its input `x` in place"),
        (stops, "`return x.reshape(7, P)`, with RuntimeError"),
        (forgets, "`return` missing"),
        (lambda x, P: patchify(x, P).detach(), "no gradient flows back"),
        (lambda x, P: torch.from_numpy(patchify(x, P).detach().numpy()), "no gradient flows back"),
        (lambda x, P: patchify(x, P).double(), "torch.float64"),
        (lambda x, P: patchify(x, P).numpy(), "type `numpy.ndarray`"),
        (lambda x, P: (patchify(x, P), P), "type `tuple`"),
        (lambda x, P: patchify(x, P) * math.nan, "NaN"),
        (lambda x, P: patchify(x, P) * 1j, "complex"),
        (lambda x, P: patchify(x, P)[0], "has shape (9, 16); expected (2, 9, 16)"),
        (lambda x, P: patchify(x, P).flip(1), "wrong order"),
        (lambda x, P: 3 * patchify(x, P), "constant factor"),
        (lambda x, P: -patchify(x, P), "wrong sign"),
        (lambda x, P: patchify(x, P) + 1, "added everywhere"),
        (lambda x, P: patchify(x[:1].expand_as(x), P), "right for the first image"),
        (lambda x, P: patchify(x.square(), P), "result is [[[0, 1, 16, 25], [4, 9, 36, 49]"),
        (lambda x, P: patchify(x, P).to("meta"), "device `meta`"),
    ],
)
def test_what_goes_wrong_is_explained(answer: Callable, words: str) -> None:
    feedback = judge("patchify", answer)
    assert feedback.verdict == "wrong"
    assert words in feedback.text


def leaves(a: Tensor, b: Tensor) -> Tensor:
    raise SystemExit


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("step-size", lambda norm: (2, 0), "returns 2 things; expected one number"),
        ("step-size", lambda norm: str(2 / norm**2), "returns a text; expected a number"),
        ("standard-error", lambda a, b: (a.mean(), b.mean()), "returns 2 things"),
        ("standard-error", lambda a, b: f"{(a - b).mean()}", "returns a text"),
        ("l1", leaves, "with SystemExit"),
        ("l1", lambda a, b: np.abs(a - b).mean(), "NumPy keeps no gradients"),
        ("l1", nn.Module(), "missing the required"),
        ("patchify", lambda x, P: x.long().softmax(-1), "NotImplementedError"),
        ("crossover", 511, "too small"),
        ("many-tests", 1.1, "Very close"),
    ],
)
def test_what_is_said_of_other_results(name: str, answer: Any, words: str) -> None:
    feedback = judge(name, answer)
    assert feedback.verdict == "wrong"
    assert words in feedback.text


def test_a_large_gradient_is_shown_at_one_entry() -> None:
    def halved_backward(x: Tensor, P: int) -> Tensor:
        patches = patchify(x, P)
        keep = (patches.numel() > FEW) / 2
        return patches - keep * patches + keep * patches.detach()

    text = judge("patchify", halved_backward).text
    assert "with respect to entry [" in text
    assert "tensor of shape" not in text.partition("entry [")[2]


def test_a_wrong_border_is_seen() -> None:
    def rolled(x: Tensor, y: Tensor, K: LinearOperator, t: float) -> Tensor:
        """Like the right step, but as if the images went on periodically."""
        size = x.shape[2:]
        inside = (..., slice(size[0], -size[0]), slice(size[1], -size[1]))
        residual = K(x.tile(3, 3))[inside] - y
        return x - t * K.T(residual.tile(3, 3))[inside]

    assert "wrong near the border" in judge("data-step", rolled).text


def test_a_wrong_number_from_code_is_not_right() -> None:
    assert judge("l1", lambda a, b: (a - b).abs().max()).verdict == "wrong"


def test_an_endless_loop_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "TIME_LIMIT", 0.3)
    assert "never ends" in judge("patchify", endless).text
    time.sleep(0.4)  # nothing is raised here later
    assert judge("patchify", patchify).verdict == "right"


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("patchify", lambda x: x, "takes `(x)`; it is called with `(x, patch_size)`"),
        ("patchify", torch.zeros(2, 9, 16), "a tensor; expected a function"),
        ("crossover", True, "type `bool`"),
        ("crossover", [512], "type `list`"),
        ("crossover", 512 + 0j, "type `complex`"),
        ("crossover", torch.ones(2), "type `torch.Tensor`"),
        ("crossover", torch.zeros(1, device="meta"), "holds no number"),
        ("crossover", "2d + m", "`d + m` after the number"),
        ("crossover", "many", "not a number"),
        ("crossover", (512,), "comma at its end"),
        ("rounding", (58, 9), "two numbers. Write a decimal point, `58.9`"),
        ("rounding", (58.9, 1), "decimals are written with a point"),
        ("rounding", "58,9", "a comma in it"),
        ("rounding", "58,9 dB", "a comma in it"),
        ("rounding", "58.9 %", "percent"),
        ("rounding", "58.9 decibel", "the number alone, in dB"),
        ("rounding", {58.9}, "one number (in dB)"),
        ("attention", F.scaled_dot_product_attention, "`scaled_dot_product_attention` aside"),
        ("l1", nn.L1Loss(), "`L1Loss` aside"),
        ("l1", lambda a, b: F.l1_loss(a, b), "`l1_loss` aside"),
        ("ambiguity", "p(1-p)*(a-b)^2", "A `*` is missing between `p` and `(`"),
        ("ambiguity", "2ab", "A `*` is missing between `a` and `b`"),
        ("ambiguity", "max(a,b)", "There is `max` in it"),
        ("key-bias", "maybe", "letters a, b, c, d"),
        ("key-bias", ("b",), "letters a, b, c, d"),
    ],
)
def test_another_kind_of_answer_costs_no_hint(name: str, answer: Any, words: str) -> None:
    feedback = judge(name, answer)
    assert feedback.verdict == "unusable"
    assert words in feedback.text
    assert not feedback.hint and not exercises._wrong_tries[name]


def not_yet(x: Tensor, P: int) -> Tensor:
    raise NotImplementedError


def only_a_docstring(x: Tensor, P: int) -> Tensor:
    """Cut."""


@pytest.mark.parametrize("stub", [not_yet, only_a_docstring, lambda x, P: ...])
def test_other_stubs_are_known(stub: Callable) -> None:
    assert judge("patchify", stub).verdict == "open"


@pytest.mark.parametrize(
    "number",
    [
        512.0,
        np.float32(512),
        np.array(512),
        np.array([[512.0]]),
        torch.tensor([512]),
        torch.tensor(512.0, requires_grad=True),
        Fraction(1024, 2),
        Decimal("512.0"),
        "512",
        " +5.12e2 ",
    ],
)
def test_numbers_come_in_many_types(number: Any) -> None:
    assert judge("crossover", number).verdict == "right"


@pytest.mark.parametrize("text", ["58.92", "58.92 dB", "58.92dB", "58.92 db"])
def test_a_number_in_a_text_may_have_its_unit(text: str) -> None:
    assert judge("rounding", text).verdict == "right"


@pytest.mark.parametrize("number", [math.nan, math.inf, "-inf", "nan", 10**400, np.float32("inf")])
def test_what_is_not_finite_is_wrong(number: Any) -> None:
    assert "expected a finite number" in judge("crossover", number).text


def test_a_wrong_sign_is_named_only_if_nothing_else_is_wrong() -> None:
    assert "sign" in judge("crossover", "−512").text
    assert judge("crossover", -3).text == "-3 is too small."


def test_letters_come_in_many_forms() -> None:
    assert {judge("key-bias", form).verdict for form in ("b", "B", "(b)", " b. ")} == {"right"}


def test_an_unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(ValueError, match="did you mean patchify"):
        judge("patchfy", ...)
    with pytest.raises(TypeError, match="name is a function; expected a str"):
        judge(patchify, "patchify")


def test_check_prints_where_there_is_no_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("key-bias", "b") is None
    assert capsys.readouterr().out == f"Right. {EXERCISES['key-bias'].why}\n"


def test_the_box_shows_code_and_escapes_the_rest() -> None:
    box = Feedback("wrong", "Not yet.", "`a < b` & <script>", "Hint 1 of 1: x")._repr_html_()
    assert "<code>a &lt; b</code> &amp; &lt;script&gt;" in box
    assert "Hint 1 of 1: x" in box
