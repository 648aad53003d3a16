"""The ways to look at an answer: a letter, a number, a formula, a tensor and its gradient."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ippy.exercises.calling import call, type_name
from ippy.exercises.core import Judge, Unanswered, Unusable, Wrong

_random = torch.Generator()
_random.seed()  # other inputs in every session; the feedback never depends on them


def fresh(*shape: int) -> Tensor:
    """Draw numbers evenly from [0, 1], float32, others at every call."""
    return torch.rand(shape, generator=_random)


def fresh_integer(low: int, high: int) -> int:
    """Draw an integer from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=_random))


def choice(right: str, wrong: Mapping[str, str]) -> Judge:
    """Ask for one letter.

    Args:
        right: The letter.
        wrong: What to say to each of the other letters.
    """
    letters = ", ".join(sorted([right, *wrong]))

    def judge(answer: object) -> None:
        if answer is Ellipsis or answer is None:
            raise Unanswered
        letter = answer.strip(" ().").lower() if isinstance(answer, str) else ""
        if letter != right and letter not in wrong:
            raise Unusable(f'Choose one of the letters {letters}, in quotes: `answer = "a"`.')
        if letter != right:
            raise Wrong(wrong[letter])

    return judge


def number(
    right: float, *, tolerance: float, mistakes: Mapping[str, float], unit: str = ""
) -> Judge:
    """Ask for one number.

    Args:
        right: The number.
        tolerance: Largest difference that passes.
        mistakes: What to say -> the number that a typical mistake leads to.
        unit: What it is measured in, for the reader who gives none or another.
    """

    def judge(answer: object) -> None:
        value = as_number(answer, unit)
        if abs(value - right) <= tolerance:
            return
        for text, mistake in mistakes.items():
            if abs(value - mistake) <= max(tolerance, 0.005 * abs(mistake)):
                raise Wrong(text)
        if abs(value - right) <= 10 * tolerance:
            raise Wrong("Very close, but outside the tolerance. Keep more digits on the way.")
        if right * value < 0:
            raise Wrong("The sign is the wrong one.")
        raise Wrong(f"{value:g} is too {'large' if value > right else 'small'}.")

    return judge


def as_number(answer: object, unit: str = "") -> float:
    """Return an answer as a float: a Python, NumPy or PyTorch number."""
    if answer is Ellipsis or answer is None:
        raise Unanswered
    if hasattr(answer, "item") and math.prod(getattr(answer, "shape", ())) == 1:
        answer = answer.item()
    if isinstance(answer, bool) or not isinstance(answer, numbers.Real):
        in_unit = f" (in {unit}, without writing the unit)" if unit else ""
        raise Unusable(f"This is of type `{type_name(answer)}`; expected one number{in_unit}.")
    if not math.isfinite(answer):
        raise Wrong(f"This is {float(answer)}; expected a finite number.")
    return float(answer)


def formula(
    right: Callable[..., float],
    *,
    points: Callable[[], dict[str, Any]],
    example: dict[str, Any],
    mistakes: Mapping[str, Callable[..., float]],
) -> Judge:
    """Ask for a formula, written as a function of numbers.

    Args:
        right: The formula.
        points: Draws arguments, by their names in the question.
        example: The point that is named when the formula is wrong.
        mistakes: What to say -> the formula that a typical mistake leads to.
    """

    def judge(answer: Callable[..., Any]) -> None:
        at = [example, *(points() for _ in range(20))]
        values = [as_number(call(answer, **point)) for point in at]
        if _agree(values, right, at):
            return
        for text, mistake in mistakes.items():
            if _agree(values, mistake, at):
                raise Wrong(text)
        where = ", ".join(f"{name} = {value:g}" for name, value in example.items())
        if _agree(values[:1], right, at[:1]):
            raise Wrong(f"It is right at {where}, but not everywhere.")
        size = "large" if values[0] > right(**example) else "small"
        raise Wrong(f"At {where} your formula gives {values[0]:.6g}, which is too {size}.")

    return judge


def _agree(values: list[float], candidate: Callable[..., float], at: list[dict[str, Any]]) -> bool:
    pairs = zip(values, (candidate(**point) for point in at), strict=True)
    return all(math.isclose(value, other, rel_tol=1e-6, abs_tol=1e-9) for value, other in pairs)


def compare(
    result: Any,
    right: Tensor,
    mistakes: Mapping[str, Tensor],
    *,
    tolerance: float = 1e-4,
    otherwise: str = "",
) -> None:
    """Compare a function's result with the right one, and look for the mistake where they differ.

    Args:
        result: What the reader's function returned.
        right: What it should have returned.
        mistakes: What to say -> what a typical mistake returns.
        tolerance: Largest difference, relative to the largest entry.
        otherwise: What to say to any other mistake; empty: what it is nearly like.

    Raises:
        Wrong: They differ; it says how.
    """
    if not isinstance(result, Tensor):
        raise Wrong(
            f"The function returns a value of type `{type_name(result)}`; expected a tensor of "
            f"shape {tuple(right.shape)}, computed with PyTorch all the way."
        )
    if result.is_complex():
        raise Wrong(
            "The result holds complex numbers; expected real ones. Is an absolute value missing?"
        )
    with torch.no_grad():
        if _same(result, right, tolerance):
            if result.dtype != right.dtype:
                raise Wrong(
                    f"The numbers are right, but they come as {result.dtype} for inputs of "
                    f"{right.dtype}. Keep the inputs' precision."
                )
            return
        for text, mistake in mistakes.items():
            if _same(result, mistake, tolerance):
                raise Wrong(text)
        if result.shape != right.shape:
            raise Wrong(
                f"The result has shape {tuple(result.shape)}; expected {tuple(right.shape)}."
            )
        if not result.isfinite().all():
            raise Wrong("The result holds NaN or infinite numbers where it should not.")
        raise Wrong(otherwise or _likeness(result.to(right.dtype), right, tolerance))


def _same(result: Tensor, other: Tensor, tolerance: float) -> bool:
    if result.shape != other.shape:
        return False
    result, other = result.detach().double(), other.detach().double()
    scale = other[other.isfinite()].abs().max().item() if other.isfinite().any() else 1.0
    return torch.allclose(result, other, rtol=0, atol=tolerance * max(scale, 1e-12))


def _likeness(result: Tensor, right: Tensor, tolerance: float) -> str:
    """Say in which way a result of the right shape is nearly right, if it is."""
    if right.numel() > 1 and _same(
        result.flatten().sort().values, right.flatten().sort().values, tolerance
    ):
        return "These are the right numbers in the wrong order."
    factor = (result * right).sum() / right.square().sum()
    if factor > 0 and _same(result, factor * right, tolerance):
        return "The result is right up to a constant factor."
    if factor < 0 and _same(result, factor * right, tolerance):
        return "The result has the wrong sign."
    if right.numel() > 2 and _same(result - result.mean(), right - right.mean(), tolerance):
        return "The result is right up to a constant that is added everywhere."
    if right.ndim == 0:
        return "One number is asked for, but not this one."
    images = [_same(a, b, tolerance) for a, b in zip(result, right, strict=True)]
    if images[0] and not all(images):
        return "The result is right for the first image of the batch, and wrong for another."
    inside = right[..., 5:-5, 5:-5] if right.ndim == 4 else right[:0]
    if inside.numel() and _same(result[..., 5:-5, 5:-5], inside, tolerance):
        return "The result is right inside and wrong near the border."
    return "The shape is right, the numbers are not."


def check_gradient(
    answer: Callable[..., Any], right: Callable[..., Tensor], **inputs: Any
) -> Tensor:
    """Check that gradients flow through a function, to every tensor that asks for one.

    Args:
        answer: The reader's function.
        right: The right one.
        inputs: What both are given; tensors with ``requires_grad`` are looked at.

    Returns:
        The result of the reader's function.

    Raises:
        Wrong: The gradient is cut, not finite, or another one.
    """
    asked = {name: v for name, v in inputs.items() if getattr(v, "requires_grad", False)}
    result = call(answer, **inputs)
    if not isinstance(result, Tensor) or not result.requires_grad:
        raise Wrong(
            "The values are right, but no gradient flows back through the function, so nothing "
            "could be trained with it. `.detach()`, `.item()`, `.numpy()`, `torch.tensor(...)` and "
            "`torch.no_grad()` cut it."
        )
    weights = fresh(*result.shape)
    found = torch.autograd.grad((result * weights).sum(), list(asked.values()), allow_unused=True)
    wanted = torch.autograd.grad((right(*inputs.values()) * weights).sum(), list(asked.values()))
    for name, gradient, other in zip(asked, found, wanted, strict=True):
        if gradient is None:
            raise Wrong(f"The values are right, but no gradient reaches `{name}`.")
        if not gradient.isfinite().all():
            raise Wrong(
                f"The values are right, but the gradient with respect to `{name}` holds NaN or "
                "infinite numbers. A square root has no derivative at 0."
            )
        if not _same(gradient, other, 1e-3):
            raise Wrong(
                f"The values are right, but the gradient with respect to `{name}` is not: part of "
                "the computation is cut off from it."
            )
    return result
