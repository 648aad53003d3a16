"""Say what is wrong with a function's results: a cause only if it was tried, else what is there.

A *mistake* is a function that makes it. It is named if it returns what the reader's function
returns, on every input. An *observation* looks at the results alone, and says what it has seen in
all of them. Where neither holds, the smallest input is shown, with its result and the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ippy.operators import Blurring

BORDER = 5  # pixels
FEW = 24  # numbers that can be taken in

Mistakes = Mapping[str, Callable[..., Tensor] | tuple[Callable[..., Tensor], ...]]
"""What to say -> the function of somebody who makes this mistake, or several of them."""


@dataclass(frozen=True, eq=False)
class Trial:
    """What a function did once.

    Attributes:
        inputs: What it was given, by name.
        result: What it returned.
        right: What it should have returned; several answers can be right, the first is shown.
        tolerance: Largest difference, relative to the largest entry.
        scale: What it is relative to where all entries are smaller than that.
    """

    inputs: dict[str, Any]
    result: Tensor
    right: tuple[Tensor, ...]
    tolerance: float
    scale: float = 1e-12

    @property
    def passes(self) -> bool:
        """Whether the result is right."""
        return any(self.returns(right) for right in self.right)

    def returns(self, other: Tensor) -> bool:
        """Whether the result is ``other``."""
        return same(self.result, other, self.tolerance, self.scale)


Observation = Callable[[Sequence[Trial]], str]
"""Says what it sees in all the trials; an empty text if it sees nothing."""


def same(a: Tensor, b: Tensor, tolerance: float, scale: float = 1e-12) -> bool:
    """Whether two tensors agree in shape and, relative to the largest entry of ``b``, in values."""
    if a.shape != b.shape:
        return False
    a, b = a.detach().double(), b.detach().double()
    largest = b[b.isfinite()].abs().max().item() if b.isfinite().any() else 1.0
    return torch.allclose(a, b, rtol=0, atol=tolerance * max(largest, scale), equal_nan=True)


def cause(
    trials: Sequence[Trial], mistakes: Mapping[str, Any], observations: Sequence[Observation]
) -> str:
    """Name what is wrong, if it is one of the mistakes or can be observed; else say nothing.

    Args:
        trials: All calls, of which at least one went wrong.
        mistakes: Typical ones, tried in their order.
        observations: Made, in their order, if it is none of these.
    """
    for text, functions in mistakes.items():
        for function in functions if isinstance(functions, tuple) else (functions,):
            if all(trial.returns(function(**trial.inputs)) for trial in trials):
                return text
    return next((text for observe in observations if (text := observe(trials))), "")


def shown_difference(trials: Sequence[Trial], examples: Sequence[Trial]) -> str:
    """Show the smallest wrong result beside the right one, or where a large one is off."""
    wrong = next((trial for trial in examples if not trial.passes), None)
    return shown_trial(wrong) if wrong else _somewhere(trials)


def _shape(trials: Sequence[Trial]) -> str:
    for trial in trials:
        expected = [tuple(right.shape) for right in trial.right]
        if tuple(trial.result.shape) not in expected:
            return f"The result has shape {tuple(trial.result.shape)}; expected {expected[0]}."
    return ""


def _not_finite(trials: Sequence[Trial]) -> str:
    if any(not t.result.isfinite().all() and t.right[0].isfinite().all() for t in trials):
        return "The result holds NaN or infinite numbers where it should not."
    return ""


def _order(trials: Sequence[Trial]) -> str:
    if all(
        t.right[0].numel() > 1
        and same(t.result.flatten().sort().values, t.right[0].flatten().sort().values, t.tolerance)
        for t in trials
    ):
        return "These are the right numbers in the wrong order."
    return ""


def _factor(trials: Sequence[Trial]) -> str:
    """One factor for all trials: divided out, the results must be right."""
    results, rights = _flat(trials)
    factor = ((results * rights).sum() / rights.square().sum()).item()
    if len(rights) < 3 or not abs(factor) > 1e-6:
        return ""
    if not all(same(t.result, factor * t.right[0], t.tolerance) for t in trials):
        return ""
    if not _explains((factor - 1) * rights, results - rights):
        return ""
    if abs(factor + 1) < 1e-3:
        return "The result has the wrong sign."
    return f"The result is right up to a constant factor, {factor:.6g}; divided by it, it is right."


def _explains(part: Tensor, off: Tensor) -> bool:
    """Whether hardly anything is left of an error without one part of it."""
    return bool((off - part).abs().max() <= 0.1 * off.abs().max())


def _shift(trials: Sequence[Trial]) -> str:
    results, rights = _flat(trials)
    shift = (results - rights).mean().item()
    if len(rights) < 3 or not _explains(torch.full_like(rights, shift), results - rights):
        return ""
    if all(
        same(t.result.double() - shift, t.right[0], t.tolerance)
        for t in trials
        if t.right[0].numel()
    ):
        return f"The result is right up to a constant that is added everywhere, {shift:.4g}."
    return ""


def _first_image(trials: Sequence[Trial]) -> str:
    batches = [t for t in trials if t.right[0].ndim and len(t.right[0]) > 1]
    if not batches or any(not t.passes for t in trials if t not in batches):
        return ""
    images = [
        [same(a, b, t.tolerance) for a, b in zip(t.result, t.right[0], strict=True)]
        for t in batches
    ]
    if all(right[0] for right in images) and not any(all(right) for right in images):
        return "The result is right for the first image of the batch, and wrong for another."
    return ""


def _border(trials: Sequence[Trial]) -> str:
    large = [t for t in trials if t.right[0].ndim == 4 and min(t.right[0].shape[2:]) > 3 * BORDER]
    inside = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    if large and all(
        not t.passes and same(t.result[inside], t.right[0][inside], t.tolerance) for t in large
    ):
        return f"The result is right inside and wrong near the border, at most {BORDER} pixels in."
    return ""


GENERAL: tuple[Observation, ...] = (
    _shape,
    _not_finite,
    _order,
    _factor,
    _shift,
    _first_image,
    _border,
)


def _flat(trials: Sequence[Trial]) -> tuple[Tensor, Tensor]:
    """All finite numbers of all trials, the results' and the right ones'."""
    results = torch.cat([t.result.detach().double().flatten() for t in trials])
    rights = torch.cat([t.right[0].detach().double().flatten() for t in trials])
    finite = rights.isfinite() & results.isfinite()
    return results[finite], rights[finite]


def shown_trial(trial: Trial) -> str:
    """Say what was given, what came back and what was expected."""
    digits = 4 if shown(trial.result) != shown(trial.right[0]) else 7
    return (
        f"For {given(trial.inputs)} the result is {shown(trial.result, digits)}; expected "
        f"{shown(trial.right[0], digits)}."
    )


def _somewhere(trials: Sequence[Trial]) -> str:
    """Name the place in a larger input where a result is furthest off."""
    trial = next(trial for trial in trials if not trial.passes)
    place = furthest_off(trial.result, trial.right[0])
    at = f"entry {list(place)} of the result" if place else "the result"
    return (
        f"Small inputs come out right. For {given(trial.inputs)} {at} is "
        f"{trial.result[place].item():.6g}; expected {trial.right[0][place].item():.6g}."
    )


def furthest_off(a: Tensor, b: Tensor) -> tuple[int, ...]:
    """Return the indices of the entry at which two tensors of one shape differ most."""
    off = (a.detach().double() - b.detach().double()).abs()
    return tuple(int(i) for i in torch.unravel_index(off.argmax(), off.shape)) if off.ndim else ()


def given(inputs: Mapping[str, Any]) -> str:
    """List inputs by name, with their values where these are few."""
    words = [f"`{name}` = {shown(value)}" for name, value in inputs.items()]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def shown(value: Any, digits: int = 4) -> str:
    """Return a value in a few words: the numbers of a small tensor, the shape of a large one."""
    if isinstance(value, Blurring):
        return f"Blurring(kernel={shown(value.kernel)})"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if not isinstance(value, Tensor):
        return str(value)
    if value.numel() <= FEW:
        return _nested(value.tolist(), digits)
    shape = tuple(value.shape)
    if (value == value.flatten()[0]).all():
        return f"a {shape} tensor of {value.flatten()[0].item():.{digits}g} everywhere"
    if value.ndim == 4 and value.shape[-1] <= FEW and (value == value[:1, :1, :1]).all():
        return f"a {shape} tensor with the rows {_nested(value[0, 0, 0].tolist(), digits)}"
    return f"a tensor of shape {shape}"


def _nested(value: Any, digits: int) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_nested(part, digits) for part in value)}]"
    return f"{value:.{digits}g}"
