"""Judge a function by what it returns: values, shape, precision, gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ippy.exercises.calling import call, said
from ippy.exercises.core import Unusable, Wrong
from ippy.exercises.diagnosis import (
    FEW,
    GENERAL,
    Mistakes,
    Observation,
    Trial,
    cause,
    furthest_off,
    given,
    same,
    shown,
    shown_difference,
)
from ippy.exercises.reading import as_returned_number, type_name


@dataclass(frozen=True)
class Code:
    """Compares a reader's function with one that is right.

    Attributes:
        right: A right function.
        inputs: Draws inputs, by the names that the question uses.
        examples: Makes small inputs, the same ones every time, to be shown if a cause is not known.
        mistakes: What to say -> a function that makes a typical mistake.
        also_right: Other functions whose results are right.
        observations: What else can be seen in wrong results.
        tolerance: Largest difference that passes, relative to the largest entry.
        scale: What it is relative to where all entries are smaller than that.
        aside: Functions of PyTorch that the question leaves aside.
        number: The result is a number or one for each image; more precision than the inputs have
            is welcome. One number may come in a tensor of one entry and, if it needs no gradient,
            as a Python or NumPy number.
        gradient: The inputs that gradients must reach.
        differentiable: A right function with gradients, where ``right`` has none.
        ties: Says where, in the first of these, every subgradient is right.
    """

    right: Callable[..., Tensor]
    inputs: Callable[[], Iterable[dict[str, Any]]]
    examples: Callable[[], tuple[dict[str, Any], ...]]
    mistakes: Mistakes
    also_right: tuple[Callable[..., Tensor], ...] = ()
    observations: tuple[Observation, ...] = ()
    tolerance: float = 1e-4
    scale: float = 1e-12
    aside: tuple[Callable[..., Any], ...] = ()
    number: bool = False
    gradient: tuple[str, ...] = ()
    differentiable: Callable[..., Tensor] | None = None
    ties: Callable[..., Tensor] | None = None

    def __call__(self, answer: Callable[..., Any]) -> None:
        """Judge an answer.

        Raises:
            Unanswered: It is still the stub.
            Unusable: It is no function that takes these inputs.
            Wrong: It is not right; the message says how.
        """
        if used := [other.__name__ for other in self.aside if uses(answer, other)]:
            raise Unusable(f"The question leaves `{used[0]}` aside: write its steps yourself.")
        drawn = [self.trial(answer, inputs) for inputs in self.inputs()]
        examples = []
        for inputs in self.examples():
            try:
                examples.append(self.trial(answer, inputs))
            except Wrong:
                if all(trial.passes for trial in drawn):
                    raise
        if not all(trial.passes for trial in (*drawn, *examples)):
            every = [*drawn, *examples]
            known = cause(every, self.mistakes, (*self.observations, *GENERAL))
            raise Wrong(known or shown_difference(every, examples))
        self._check_precision(drawn[0])
        for inputs in (*self.examples(), drawn[0].inputs) if self.gradient else ():
            right = self.differentiable or self.right
            check_gradient(answer, right, inputs, self.gradient, self.ties)

    def trial(self, answer: Callable[..., Any], inputs: dict[str, Any]) -> Trial:
        """Call an answer, and return what it did."""
        right = tuple(function(**inputs) for function in (self.right, *self.also_right))
        result = call(answer, **inputs)
        one_number = self.number and right[0].ndim == 0
        if one_number and not self.gradient and getattr(result, "ndim", 0) == 0:
            result = torch.tensor(as_returned_number(result), dtype=torch.float64)
        if one_number:
            right += (right[0][None],)
        return Trial(inputs, as_tensor(result, right[0]), right, self.tolerance, self.scale)

    def _check_precision(self, trial: Trial) -> None:
        dtype, expected = trial.result.dtype, trial.right[0].dtype
        if dtype != expected and not (self.number and dtype == torch.float64):
            raise Wrong(
                f"The numbers are right, but they come as {dtype} for inputs of {expected}. Keep "
                "the inputs' precision."
            )


def uses(answer: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether a function is another one, or names it in its code.

    A function of the reader's own may have the same name.
    """
    if answer is other or type(answer) is other:
        return True
    code, name = getattr(answer, "__code__", None), other.__name__
    return bool(code) and name in code.co_names and answer.__globals__.get(name, other) is other


def as_tensor(result: Any, right: Tensor) -> Tensor:
    """Return a result, if it is a tensor of real numbers."""
    if not isinstance(result, Tensor):
        raise Wrong(
            f"The function returns a value of type `{type_name(result)}`; expected a tensor of "
            f"shape {tuple(right.shape)}, computed with PyTorch all the way."
        )
    if result.is_complex():
        raise Wrong(
            "The result holds complex numbers; expected real ones. Is an absolute value missing, "
            "or `.real`?"
        )
    if result.is_meta:
        raise Wrong("The result is on the device `meta`, where tensors hold no numbers.")
    return result.to(right.device)


def check_gradient(
    answer: Callable[..., Any],
    right: Callable[..., Tensor],
    inputs: dict[str, Any],
    names: tuple[str, ...],
    ties: Callable[..., Tensor] | None = None,
) -> None:
    """Check that gradients flow through a function whose values are right.

    Args:
        answer: The reader's function.
        right: A right one.
        inputs: What both are given.
        names: The inputs that gradients must reach.
        ties: Says where, in the first of these, every subgradient is right: everything from minus
            to plus the largest gradient.

    Raises:
        Wrong: The gradient is cut, not finite, or another one.
    """
    leaves = {name: inputs[name].detach().clone().requires_grad_() for name in names}
    try:
        result = call(answer, **inputs | leaves)
    except Wrong as error:
        if "numpy() on Tensor that requires grad" not in str(error):
            raise
        raise Wrong(
            "The values are right, but NumPy keeps no gradients, so nothing could be trained with "
            "it. Stay with PyTorch's functions."
        ) from None
    if not result.requires_grad:
        raise Wrong(
            "The values are right, but no gradient flows back through the function, so nothing "
            "could be trained with it. `.detach()`, `.item()`, `.numpy()`, `torch.tensor(...)` and "
            "`torch.no_grad()` cut it."
        )
    expected = right(**inputs | leaves)
    weights = torch.linspace(1, 2, expected.numel()).reshape(expected.shape)  # one for each entry
    total = (result.reshape(expected.shape) * weights.to(result.device)).sum()
    try:
        gradients = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    except RuntimeError as error:
        raise Wrong(f"The values are right, but they have no gradient: {said(error)}.") from None
    wanted = torch.autograd.grad((expected * weights).sum(), list(leaves.values()))
    for name, gradient, other in zip(names, gradients, wanted, strict=True):
        if gradient is None:
            raise Wrong(f"The values are right, but no gradient reaches `{name}`.")
        if not gradient.isfinite().all():
            raise Wrong(
                f"The values are right, but the gradient with respect to `{name}` holds NaN or "
                f"infinite numbers, for {given(inputs)}. A square root, for one, has no derivative "
                "at 0."
            )
        free = ties(**inputs) if ties and name == names[0] else torch.zeros_like(other).bool()
        bound = other.abs().max()
        valid = torch.where(free & (gradient.abs() <= 1.001 * bound), other, gradient)
        if not same(valid, other, 1e-3):
            weighted = ", its entries weighted from 1 to 2," if expected.ndim else ""
            place = furthest_off(valid, other) if other.numel() > FEW else ()
            leaf = f"entry {list(place)} of `{name}`" if place else f"`{name}`"
            raise Wrong(
                f"The values are right, but the gradient is not. For {given(inputs)} the gradient "
                f"of the result{weighted} with respect to {leaf} is {shown(gradient[place])}; "
                f"expected {shown(other[place])}."
            )
