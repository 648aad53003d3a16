"""Faults of an image, each of a strength, and the strength at which PSNR calls them equal.

Every fault takes an image x (1, 1, H, W) in [0, 1] and a strength, 0 for none, and returns the
changed image, not clamped.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from ippy.quality import psnr

Fault = Callable[[Tensor, float], Tensor]


def equally_bad(fault: Fault, x: Tensor, decibels: float, strongest: float) -> tuple[Tensor, float]:
    """Find by bisection the strength at which a fault has a given PSNR after clamping to [0, 1].

    Args:
        fault: Its PSNR falls as its strength grows.
        x: The image, (1, 1, H, W) in [0, 1].
        decibels: The PSNR to reach.
        strongest: A strength whose PSNR is lower.

    Returns:
        The faulty image, in [0, 1], and the strength.
    """
    low, high = 0.0, strongest
    for _ in range(30):
        middle = (low + high) / 2
        if psnr(fault(x, middle).clamp(0, 1), x).item() > decibels:
            low = middle
        else:
            high = middle
    return fault(x, high).clamp(0, 1), high


def distances(x: Tensor, row: float, column: float) -> Tensor:
    """Return how far each pixel of an image lies from a point, in pixels, (H, W)."""
    rows, columns = (torch.arange(float(side)) for side in x.shape[-2:])
    return torch.hypot(rows[:, None] - row, columns - column)


def disc(x: Tensor, row: float, column: float, radius: float, softness: float = 0.7) -> Tensor:
    """Return 1 inside a disc and 0 outside, with a rim a pixel or two wide, (H, W)."""
    return torch.sigmoid((radius - distances(x, row, column)) / softness)


def brighten(x: Tensor, strength: float) -> Tensor:
    """Add a constant."""
    return x + strength


def weaken_contrast(x: Tensor, strength: float) -> Tensor:
    """Move all values towards their mean by a share of the way."""
    return x.mean() + (1 - strength) * (x - x.mean())


def add_noise(x: Tensor, strength: float) -> Tensor:
    """Add white noise of this standard deviation, from a fixed seed."""
    return x + strength * _normal(x.shape, seed=1)


def add_impulses(x: Tensor, strength: float) -> Tensor:
    """Move 3 pixels in 1000 towards black or white, by a share of the way."""
    hit = (_uniform(x, seed=2) < 0.003).float()
    extreme = (_uniform(x, seed=3) < 0.5).float()
    return x + strength * hit * (extreme - x)


def blur(x: Tensor, strength: float) -> Tensor:
    """Convolve with a Gaussian of this standard deviation in pixels, with zeros around x."""
    return torch.from_numpy(gaussian_filter(x.numpy(), strength, mode="constant", axes=(2, 3)))


def shift(x: Tensor, strength: float) -> Tensor:
    """Move the image to the right by a fraction of pixels, exactly, around the border."""
    frequency = torch.fft.rfftfreq(x.shape[3])  # in cycles per pixel
    phase = torch.exp(-2j * math.pi * frequency * strength)
    return torch.fft.irfft(torch.fft.rfft(x) * phase, n=x.shape[3])


def round_blocks(x: Tensor, strength: float) -> Tensor:
    """Round the cosine coefficients of each 8 x 8 block to multiples of a step, as JPEG does."""
    k = torch.arange(8.0)
    dct = torch.cos((2 * k + 1) * k[:, None] * math.pi / 16) / 2
    dct[0] /= math.sqrt(2)  # (8, 8), orthonormal
    blocks = x.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)  # (1, 1, h, w, 8, 8)
    step = strength + 1e-6
    rounded = torch.round(dct @ blocks @ dct.T / step) * step
    return (dct.T @ rounded @ dct).transpose(3, 4).reshape(x.shape)


def add_rings(x: Tensor, strength: float) -> Tensor:
    """Add fine rings around the middle of the body, as a faulty detector does."""
    profile = _normal((200,), seed=5)
    profile = profile - F.avg_pool1d(profile[None], 9, 1, 4)[0]  # fine rings only
    middle = (side / 2 for side in x.shape[-2:])
    body = (F.avg_pool2d(x, 9, 1, 4) > 0.15).float()
    return x + strength * profile[distances(x, *middle).round().long()] * body


def add_grating(x: Tensor, strength: float, row: float, column: float) -> Tensor:
    """Add upright stripes with a period of eight pixels, strongest at a point."""
    stripes = torch.cos(2 * math.pi * torch.arange(x.shape[3]) / 8)
    return x + strength * stripes * torch.exp(-distances(x, row, column).square() / (2 * 18**2))


def paint_disc(x: Tensor, strength: float, row: float, column: float, grey: float) -> Tensor:
    """Cover the image with a disc of one grey; the strength is its radius in pixels."""
    return x + disc(x, row, column, strength) * (grey - x)


def _normal(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _uniform(x: Tensor, seed: int) -> Tensor:
    return torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
