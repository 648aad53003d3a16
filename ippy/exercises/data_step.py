"""The exercise on a step of gradient descent that uses the operator and its adjoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ippy.exercises.core import Exercise
from ippy.exercises.inputs import fresh
from ippy.exercises.judging import Code
from ippy.operators import Blurring, LinearOperator


def consistency_step(x: Tensor, y: Tensor, K: LinearOperator, t: float) -> Tensor:
    """One step of gradient descent on 1/2 ||K x - y||^2."""
    return x - t * K.T(K(x) - y)


def measured_images() -> Iterator[dict[str, Any]]:
    """Draw images, measurements and blurs with nothing that would hide a mistake.

    No kernel is symmetric or sums to 1, and steps leave [0, 1] on both sides, inside and near the
    border.
    """
    for B, t in ((2, 1.0), (2, 0.3), (1, 0.7)):
        kernel = fresh(5, 5)
        K = Blurring(kernel=1.3 * kernel / kernel.sum())
        x, y = fresh(B, 1, 20, 16, low=-1, high=2), fresh(B, 1, 20, 16, low=-1, high=2)
        yield {"x": x, "y": y, "K": K, "t": t}


def cut_off(low: float | None, high: float | None) -> Callable[..., Tensor]:
    """Return a step whose result is cut off."""
    return lambda x, y, K, t: consistency_step(x, y, K, t).clamp(low, high)


DATA_STEP = Code(
    right=consistency_step,
    inputs=measured_images,
    examples=lambda: (
        {
            "x": torch.tensor([[[[-1.0, 2.0, 0.5]]]]),
            "y": torch.tensor([[[[2.0, 0.0, 1.0]]]]),
            "K": Blurring(kernel=[[0.0, 0, 0], [0, 0.5, 0.5], [0, 0, 0]]),
            "t": 0.5,
        },
    ),
    mistakes={
        "The step goes uphill: the residual grows. Descent goes against the gradient, and the sign "
        "depends on how you write the residual.": lambda x, y, K, t: x + t * K.T(K(x) - y),
        "The residual is mapped back with K. It lives where the measurement lives; the gradient "
        "needs the adjoint.": lambda x, y, K, t: x - t * K(K(x) - y),
        "Both: K in place of its adjoint, and the step goes uphill.": (
            lambda x, y, K, t: x + t * K(K(x) - y)
        ),
        "The residual is not mapped back at all: the adjoint is missing.": (
            lambda x, y, K, t: x - t * (K(x) - y)
        ),
        "The factor 2 comes from ‖Kx - y‖² without the ½ of the question.": (
            lambda x, y, K, t: x - 2 * t * K.T(K(x) - y)
        ),
        "The gradient is that of the mean; the question has the sum over the pixels.": (
            lambda x, y, K, t: x - t * K.T(K(x) - y) / x.numel(),
            lambda x, y, K, t: x - t * K.T(K(x) - y) / x[0].numel(),
        ),
        "The step starts from y; it starts from x.": lambda x, y, K, t: y - t * K.T(K(x) - y),
        "The residual is not mapped back, and the step goes uphill.": (
            lambda x, y, K, t: x + t * (K(x) - y)
        ),
        "The step size is missing.": lambda x, y, K, t: x - K.T(K(x) - y),
        "This is the gradient alone; the step starts from x.": (
            lambda x, y, K, t: K.T(K(x) - y),
            lambda x, y, K, t: t * K.T(K(x) - y),
            lambda x, y, K, t: -t * K.T(K(x) - y),
        ),
        "You compare x itself with y. What a measurement is compared with is K x.": (
            lambda x, y, K, t: x - t * K.T(x - y)
        ),
        "The residual is computed from the adjoint: K and Kᵀ are exchanged.": (
            lambda x, y, K, t: x - t * K(K.T(x) - y)
        ),
        "The result is cut off to [0, 1]. One step of gradient descent may leave that range; what "
        "is cut off is no longer the step that was asked for.": cut_off(0, 1),
        "Negative numbers are set to zero. One step of gradient descent may go below zero; what is "
        "cut off is no longer the step that was asked for.": cut_off(0, None),
        "The gradient lost its negative entries on the way: it must be free to go both ways.": (
            lambda x, y, K, t: x - t * K.T(K(x) - y).clamp(min=0)
        ),
        "The residual lost its negative entries on the way: it must be free to go both ways.": (
            lambda x, y, K, t: x - t * K.T((K(x) - y).clamp(min=0))
        ),
    },
)

EXERCISES = (
    Exercise(
        name="data-step",
        kind="code",
        hints=(
            "Write f(x) = ½‖Kx − y‖² and take the gradient: the chain rule puts one operator in "
            "front of the residual.",
            "The residual lives in the space of the measurement. Which of K and K.T leads back to "
            "images?",
            "Descent subtracts: x minus t times the gradient, with the residual as K x − y.",
        ),
        why="This step is where physics enters a network: unrolled and plug-and-play methods "
        "alternate it with a learned denoiser. It needs the exact adjoint.",
        judge=DATA_STEP,
    ),
)
