"""The exercise on the standard error of a paired comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ippy.exercises.core import Exercise
from ippy.exercises.inputs import fresh
from ippy.exercises.judging import Code


def scores() -> Iterator[dict[str, Any]]:
    """Draw scores of two models in dB: slices differ more than models, and gains have both signs.

    The gains are not symmetric about zero.
    """
    for n in (12, 7):
        gains = torch.linspace(-2.5, 4, n) + 0.5 * fresh(n)
        b = 30 + 8 * fresh(n)
        yield {"a": b + gains[torch.argsort(fresh(n))], "b": b}


def of_gain(formula: Callable[[Tensor, float], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a formula of the gains, (n,), and the root of their number."""
    return lambda a, b: formula(a - b, math.sqrt(len(a)))


STANDARD_ERROR = Code(
    right=of_gain(lambda gain, root: gain.std() / root),
    inputs=scores,
    examples=lambda: ({"a": torch.tensor([30.0, 32, 36]), "b": torch.tensor([31.0, 30, 31])},),
    mistakes={
        "This treats the two models as scored on different slices. They saw the same ones: what "
        "one slice gains is what varies, and that is much less.": (
            lambda a, b: ((a.var() + b.var()) / len(a)).sqrt(),
            lambda a, b: ((a.var(correction=0) + b.var(correction=0)) / len(a)).sqrt(),
        ),
        "This is the standard deviation of the gain, how much one slice varies. The *mean* of n "
        "slices varies less.": of_gain(lambda gain, root: gain.std()),
        "You divide by n; a mean of n independent numbers varies by 1/√n.": (
            of_gain(lambda gain, root: gain.std() / root**2)
        ),
        "You divide the squares by n; since the mean is estimated as well, it is n − 1.": (
            of_gain(lambda gain, root: gain.std(correction=0) / root)
        ),
        "You divide by √(n − 1). The n − 1 belongs into the standard deviation, and the mean of n "
        "numbers is divided by √n.": (
            of_gain(lambda gain, root: gain.std() / math.sqrt(root**2 - 1))
        ),
        "This is the variance of the gain over √n; expected its standard deviation over √n.": (
            of_gain(lambda gain, root: gain.var() / root)
        ),
        "This is the standard deviation of the gain, and with n in place of n − 1. The *mean* of n "
        "slices varies less.": of_gain(lambda gain, root: gain.std(correction=0)),
        "The absolute values of the gains are taken: a slice that loses 1 dB then counts like one "
        "that gains 1 dB, and the scatter comes out too small.": (
            of_gain(lambda gain, root: gain.abs().std() / root)
        ),
        "The squares of the gains are averaged without taking off their mean: the standard "
        "deviation is the scatter about the mean.": (
            of_gain(lambda gain, root: gain.square().mean().sqrt() / root)
        ),
        "This is the variance of the mean; its root is asked for.": (
            of_gain(lambda gain, root: gain.var() / root**2)
        ),
        "This is the mean gain; its standard error is asked for.": (
            of_gain(lambda gain, root: gain.mean()),
            of_gain(lambda gain, root: -gain.mean()),
        ),
        "These are the gains, slice by slice. One number is asked for.": (
            of_gain(lambda gain, root: gain)
        ),
        "You subtract two standard deviations. Subtract the scores first, slice by slice.": (
            lambda a, b: ((a.std() - b.std()) / math.sqrt(len(a))).abs(),
            lambda a, b: (a.std() - b.std()) / math.sqrt(len(a)),
        ),
    },
    number=True,
)

EXERCISES = (
    Exercise(
        name="standard-error",
        kind="code",
        hints=(
            "Both models saw the same slices. Which number do you have for each slice, before any "
            "averaging?",
            "Subtract slice by slice first, then look at how these differences scatter.",
            "The standard error of a mean of n independent numbers is their standard deviation "
            "(with n - 1) divided by √n.",
        ),
        why="Slices differ by several dB, the gains on them by less. Pairing removes what both "
        "models share, so the same slices tell far more.",
        judge=STANDARD_ERROR,
    ),
)
