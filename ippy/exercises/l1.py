"""The exercise on L1 in place of MSE."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.exercises.core import Exercise
from ippy.exercises.inputs import fresh
from ippy.exercises.judging import Code


def estimates() -> Iterator[dict[str, Any]]:
    """Draw images whose errors have both signs and are small, large, or zero in half the pixels."""
    for shape, size, bias in (
        ((3, 2, 7, 5), 0.5, -0.2),
        ((2, 1, 4, 6), 3.0, 0.5),
        ((1, 3, 5, 4), 1.0, 0.5),
    ):
        x = fresh(*shape)
        x_hat = x + size * fresh(*shape, low=-1) + bias
        if len(x) == 1:
            x_hat[..., ::2] = x[..., ::2]
        yield {"x_hat": x_hat, "x": x}


def of_error(formula: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a formula of the error, (B, C, H, W)."""
    return lambda x_hat, x: formula(x_hat - x)


def rooted(small: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return L1 as a root of squares, with a small number under it."""
    return of_error(lambda error: (error.square() + small).sqrt().mean())


L1 = Code(
    right=of_error(lambda error: error.abs().mean()),
    inputs=estimates,
    examples=lambda: (
        {"x_hat": torch.tensor([[[[0.1, 0.7]]]]), "x": torch.tensor([[[[0.2, 0.4]]]])},
        {"x_hat": torch.tensor([[[[3.0, 0.0, 0.5]]]]), "x": torch.tensor([[[[1.0, 3.25, 0.5]]]])},
        {"x_hat": torch.tensor([[[[1e-3, 0.0, 0.0, 0.0]]]]), "x": torch.zeros(1, 1, 1, 4)},
    ),
    mistakes={
        "This is still the MSE: the error is squared.": of_error(lambda e: e.square().mean()),
        "The root of the MSE has the unit of L1, but it still squares each error first: large ones "
        "dominate.": of_error(lambda e: e.square().mean().sqrt()),
        "You sum over the pixels. Then the size of the batch and of the crops changes the "
        "gradient, and with it the right learning rate.": of_error(lambda e: e.abs().sum()),
        "You sum within each image and average over the batch only: the size of the crops still "
        "changes the gradient.": of_error(lambda e: e.abs().sum(dim=(1, 2, 3)).mean()),
        "The absolute value is missing: errors of opposite sign cancel.": (
            of_error(lambda e: e.mean()),
            of_error(lambda e: -e.mean()),
        ),
        "The absolute value comes after the mean: errors of opposite sign have cancelled "
        "already.": (of_error(lambda e: e.mean().abs())),
        "This is one number for each image; a loss to minimise is one number.": (
            of_error(lambda e: e.abs().mean(dim=(1, 2, 3)))
        ),
        "These are the errors pixel by pixel; their mean is asked for.": of_error(torch.abs),
        "This is the smooth L1 loss (Huber's): errors below 1 are squared. The question asks for "
        "the absolute value of all of them.": (
            lambda x_hat, x: F.smooth_l1_loss(x_hat, x),
            lambda x_hat, x: F.smooth_l1_loss(x_hat, x, beta=0.1),
        ),
        "A small number under the root makes an error of each pixel that is exact. `abs()` needs "
        "none.": tuple(
            rooted(digit * 10.0**-power) for power in range(2, 15) for digit in (1, 2, 5)
        ),
        "You sum over the channels and average over the rest.": (
            of_error(lambda e: e.abs().sum(dim=1).mean())
        ),
        "This is the square of the mean absolute error.": (
            of_error(lambda e: e.abs().mean().square())
        ),
        "This is the median of the absolute errors; their mean is asked for.": (
            of_error(lambda e: e.abs().median()),
            of_error(lambda e: e.abs().flatten().quantile(0.5)),
        ),
        "This is the largest absolute error; their mean is asked for.": (
            of_error(lambda e: e.abs().max())
        ),
        "Only errors of one sign count; the others are set to zero.": (
            of_error(lambda e: e.clamp(min=0).mean()),
            of_error(lambda e: (-e).clamp(min=0).mean()),
        ),
    },
    aside=(nn.L1Loss, F.l1_loss),
    number=True,
    gradient=("x_hat",),
    ties=lambda x_hat, x: x_hat == x,
)

EXERCISES = (
    Exercise(
        name="l1",
        kind="code",
        hints=(
            "Two changes from the MSE: what is done with each error, and in which order is it done "
            "with the mean?",
            "Try it by hand: two pixels with the errors 0.1 and −0.3. The loss must be 0.2.",
            "If values are right and the gradient is not: keep to tensor operations, and to "
            "`abs()` in place of a square root of a square.",
        ),
        why="Its gradient has the same size for small and large errors. That keeps training when "
        "errors are small, and it is robust: an outlier pulls no harder than any other pixel.",
        judge=L1,
    ),
)
