"""The exercise on the Fourier slice theorem: a view of an image, from one line of its spectrum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ippy.exercises.core import Exercise
from ippy.exercises.inputs import fresh
from ippy.exercises.judging import Code


def spectra() -> Iterator[dict[str, Any]]:
    """Draw spectra of images of both signs, with even and odd sides, and slopes either way."""
    for B, C, n, m in ((2, 1, 9, 1), (1, 2, 8, -2), (2, 2, 10, 3)):
        yield {"X": torch.fft.fft2(fresh(B, C, n, n, low=-1)), "m": m}


def line(X: Tensor, down: int, right: int) -> Tensor:
    """Return the coefficients (B, C, n) on a line through the middle, a step (down, right) each."""
    n = X.shape[-1]
    f = torch.arange(n)
    return X[..., down * f % n, right * f % n]


def with_line(
    down: Callable[[int], int],
    right: Callable[[int], int] = lambda m: 1,
    finish: Callable[[Tensor], Tensor] = lambda view: view.real,
) -> Callable[..., Tensor]:
    """Return a function that takes another line, or makes something else of its transform."""
    return lambda X, m: finish(torch.fft.ifft(line(X, down(m), right(m))))


VIEW = Code(
    right=with_line(lambda m: -m),
    inputs=spectra,
    examples=lambda: (
        {"X": torch.fft.fft2(torch.tensor([[[[1.0, 2.0], [5.0, 0.0]]]])), "m": 1},
        {"X": torch.fft.fft2(torch.arange(9.0).square().view(1, 1, 3, 3)), "m": 1},
    ),
    mistakes={
        "Your line of the spectrum runs along the lines of the image, mirrored. Look at the sign "
        "of m in the exponent.": with_line(lambda m: m),
        "Rows and columns are exchanged: f is the frequency along a row, the last axis.": (
            with_line(lambda m: 1, lambda m: -m),
            with_line(lambda m: 1, lambda m: m),
        ),
        "The view comes backwards: the frequency along the row runs the other way.": (
            with_line(lambda m: m, lambda m: -1)
        ),
        "This is the view of m = 0, the sums of the columns.": with_line(lambda m: 0),
        "Sums may be negative where images are: take the real part, not the absolute value.": (
            with_line(lambda m: -m, finish=Tensor.abs)
        ),
        "These are the means along the lines; expected the sums.": (
            with_line(lambda m: -m, finish=lambda view: view.real / view.shape[-1])
        ),
        "Check the scale: `fft2` has no factor, so the way back along one line has 1/n.": (
            with_line(lambda m: -m, finish=lambda view: view.real * view.shape[-1] ** 0.5),
            with_line(lambda m: -m, finish=lambda view: view.real * view.shape[-1]),
        ),
        "This is the line of the spectrum. Transform it back, to sums.": (
            lambda X, m: line(X, -m, 1).real,
            lambda X, m: line(X, -m, 1).abs(),
        ),
    },
)

EXERCISES = (
    Exercise(
        name="fourier-slice",
        kind="code",
        hints=(
            "Write down the transform of the view at the frequency f, with its definition in place "
            "of each sum. It is a sum over all pixels.",
            "A pixel in row i and column j is on the line that starts at s = j − m i. So the "
            "exponent holds f (j − m i): which coefficient of the image is this sum?",
            "Frequencies are counted in circles, as columns are. `X[..., k, f]` with two tensors "
            "of n whole numbers picks n coefficients; `torch.fft.ifft(...).real` goes back.",
        ),
        why="A view knows one line of the spectrum, and nothing else. Views from all sides fill "
        "the plane, and 60 leave gaps between their lines: what lies there no sum has measured.",
        judge=VIEW,
    ),
)
