"""The exercise on the high-pass Fourier loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ippy.exercises.core import Exercise
from ippy.exercises.inputs import fresh
from ippy.exercises.judging import Code
from ippy.quality import FourierLoss

Mask = Callable[[Tensor, Tensor, float], Tensor]


def estimates() -> Iterator[dict[str, Any]]:
    """Draw images that are not square or too bright, and cut-offs that are a frequency or none."""
    for shape, cutoff in (
        ((2, 1, 16, 16), 0.2),
        ((2, 2, 12, 18), 0.33),
        ((1, 3, 16, 8), 0.25),
        ((1, 1, 8, 32), 0.33),
    ):
        yield {"x_hat": 0.5 + fresh(*shape), "x": fresh(*shape), "cutoff": cutoff}


def frequencies(H: int, W: int) -> tuple[Tensor, Tensor]:
    """Return the frequencies down the columns, (H, 1), and along the rows, (1, W)."""
    return torch.fft.fftfreq(H)[:, None], torch.fft.fftfreq(W)[None, :]


def passing(f: Tensor, g: Tensor, cutoff: float) -> Tensor:
    """The coefficients that count, (H, W)."""
    return torch.hypot(f, g) >= cutoff


def with_mask(mask: Mask) -> Callable[..., Tensor]:
    """Return a loss that compares other coefficients."""
    return lambda x_hat, x, cutoff: spectrum(x_hat - x)[
        ..., mask(*frequencies(*x.shape[-2:]), cutoff)
    ].mean()


def with_values(formula: Callable[[Tensor], Tensor], norm: str = "ortho") -> Callable[..., Tensor]:
    """Return a loss that does something else with the moduli of the right coefficients."""
    return lambda x_hat, x, cutoff: formula(
        spectrum(x_hat - x, norm)[..., passing(*frequencies(*x.shape[-2:]), cutoff)]
    )


def spectrum(x: Tensor, norm: str = "ortho") -> Tensor:
    """The moduli of the Fourier coefficients, (B, C, H, W)."""
    return torch.fft.fft2(x, norm=norm).abs()


def real_parts(x_hat: Tensor, x: Tensor, cutoff: float) -> Tensor:
    """Average the absolute values of the real parts."""
    real = torch.fft.fft2(x_hat - x, norm="ortho").real.abs()
    return real[..., passing(*frequencies(*x.shape[-2:]), cutoff)].mean()


def zeros_included(x_hat: Tensor, x: Tensor, cutoff: float) -> Tensor:
    """Set the low frequencies to zero, and average over all."""
    return (spectrum(x_hat - x) * passing(*frequencies(*x.shape[-2:]), cutoff)).mean()


def moduli_only(x_hat: Tensor, x: Tensor, cutoff: float) -> Tensor:
    """Compare |F(x_hat)| with |F(x)|."""
    difference = (spectrum(x_hat) - spectrum(x)).abs()
    return difference[..., passing(*frequencies(*x.shape[-2:]), cutoff)].mean()


def halved(x_hat: Tensor, x: Tensor, cutoff: float) -> Tensor:
    """Use the half of the spectrum that rfft2 returns."""
    f, g = torch.fft.fftfreq(x.shape[-2])[:, None], torch.fft.rfftfreq(x.shape[-1])[None, :]
    return torch.fft.rfft2(x_hat - x, norm="ortho").abs()[..., passing(f, g, cutoff)].mean()


def along(axis: int, mask: Mask) -> Callable[..., Tensor]:
    """Return a loss that transforms along one axis only."""

    def loss(x_hat: Tensor, x: Tensor, cutoff: float) -> Tensor:
        size = torch.fft.fft(x_hat - x, dim=axis, norm="ortho").abs()
        return size[..., mask(*frequencies(*x.shape[-2:]), cutoff)].mean()

    return loss


def high_along(axis: int) -> Mask:
    """The coefficients whose frequency along one axis is high, (H, W)."""

    def mask(f: Tensor, g: Tensor, cutoff: float) -> Tensor:
        return ((f if axis == -2 else g).abs() >= cutoff).expand(f.shape[0], g.shape[1])

    return mask


HIGH_PASS = Code(
    right=lambda x_hat, x, cutoff: FourierLoss(high_pass=cutoff)(x_hat, x),
    inputs=estimates,
    examples=lambda: (
        {
            "x_hat": torch.tensor([[[[1.0, 2.0, 0.0, 0.0]]]]),
            "x": torch.zeros(1, 1, 1, 4),
            "cutoff": 0.25,
        },
        {
            "x_hat": torch.tensor([[[[1.0, 2.0, 0.0, 1.0], [0.0, 4.0, 1.0, 0.5]]]]),
            "x": torch.tensor([[[[0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0]]]]),
            "cutoff": 0.3,
        },
    ),
    mistakes={
        "These are the low frequencies: the mask is turned round.": (
            with_mask(lambda f, g, cutoff: ~passing(f, g, cutoff)),
            with_mask(lambda f, g, cutoff: torch.hypot(f, g) <= cutoff),
        ),
        "Frequencies that equal the cut-off are left out. They belong to Ω: it is `>=`, not `>`.": (
            with_mask(lambda f, g, cutoff: torch.hypot(f, g) > cutoff)
        ),
        "All frequencies are compared; nothing is cut off.": (
            lambda x_hat, x, cutoff: spectrum(x_hat - x).mean()
        ),
        "The mask is right, but the mean runs over all coefficients, the zeros included. Divide by "
        "the number of those that are compared.": zeros_included,
        'The transform is not orthonormal. With `norm="ortho"` the loss does not depend on the '
        "size of the image.": (
            with_values(torch.mean, norm="backward"),
            with_values(torch.mean, norm="forward"),
        ),
        "You compare moduli only, |F(x̂)| with |F(x)|. Two images can have the same moduli and look "
        "nothing alike: take the difference first.": moduli_only,
        "The mask is laid out with the zero frequency in the middle, the spectrum with it in the "
        "corner. Use `fftshift` on neither or on both.": (
            with_mask(lambda f, g, cutoff: torch.fft.fftshift(passing(f, g, cutoff)))
        ),
        "Frequencies are counted in cycles per image, so everything but the mean passes. The "
        "cut-off is in cycles per pixel.": (
            with_mask(lambda f, g, cutoff: torch.hypot(f * len(f), g * g.shape[1]) >= cutoff)
        ),
        "Frequencies are counted in radians per pixel. The cut-off is in cycles per pixel: leave "
        "the 2π out.": with_mask(lambda f, g, cutoff: 2 * math.pi * torch.hypot(f, g) >= cutoff),
        "Half of the frequencies are below zero, and count like their partners: take the length "
        "of (f_row, f_column).": (
            with_mask(lambda f, g, cutoff: f + g >= cutoff),
            with_mask(lambda f, g, cutoff: (f >= cutoff) | (g >= cutoff)),
        ),
        "The root is missing: f_row² + f_column² is the square of the length.": (
            with_mask(lambda f, g, cutoff: f**2 + g**2 >= cutoff)
        ),
        "Your cut-off is a square: the frequency of a coefficient is the length of (f_row, "
        "f_column).": (with_mask(lambda f, g, cutoff: torch.maximum(f.abs(), g.abs()) >= cutoff)),
        "Your cut-off is a diamond: the frequency of a coefficient is the length of (f_row, "
        "f_column), not the sum of the two.": (
            with_mask(lambda f, g, cutoff: f.abs() + g.abs() >= cutoff)
        ),
        "Both frequencies are asked to be high. A vertical edge has a high frequency along the "
        "rows and none down the columns.": (
            with_mask(lambda f, g, cutoff: (f.abs() >= cutoff) & (g.abs() >= cutoff))
        ),
        "Only one of the two frequencies is compared with the cut-off.": (
            with_mask(high_along(-1)),
            with_mask(high_along(-2)),
        ),
        "This is the real part of the coefficients; the question asks for the absolute value of "
        "the complex number.": real_parts,
        "The moduli are squared; the question asks for the absolute value.": (
            with_values(lambda size: size.square().mean())
        ),
        "This is the root of the mean square; the question asks for the mean of the moduli.": (
            with_values(lambda size: size.square().mean().sqrt())
        ),
        "`rfft2` keeps half of the frequencies, and its mean counts the columns f = 0 and f = ½ "
        "twice as much as the others. Use `fft2`.": halved,
        "The transform runs along one axis only. Use `fft2`, which transforms rows and columns.": (
            along(-1, passing),
            along(-2, passing),
            along(-1, high_along(-1)),
            along(-2, high_along(-2)),
        ),
        "You sum over the coefficients; their mean is asked for.": with_values(torch.sum),
    },
    number=True,
    gradient=("x_hat",),
)

EXERCISES = (
    Exercise(
        name="high-pass",
        kind="code",
        hints=(
            "The Fourier transform is linear: transform the difference, once.",
            "`torch.fft.fftfreq(n)` gives the frequencies of an axis in cycles per pixel, in the "
            "order in which `fft2` puts them out. One axis as a column, one as a row.",
            "Boolean indexing, `spectrum[..., mask]`, keeps the coefficients that count. Then the "
            "modulus, then the mean.",
        ),
        why="Fine detail is a small part of an image's sum of squares, and a larger one of the "
        "error that a blur makes. This term looks at nothing else; alone it would not notice a "
        "wrong brightness.",
        judge=HIGH_PASS,
    ),
)
