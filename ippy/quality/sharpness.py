"""How sharp a reconstruction is, beside how right it is: blur that PSNR hardly notices.

Both are called as the metrics are, ``(x_hat, x)``, and return a float tensor (B,).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ippy.base.checks import check_number
from ippy.base.images import check_pair, check_tensor

REACH = 6  # pixels from the middle of an edge to either end of its profile
STEP = 0.25  # pixels between two samples of a profile
LEAST_CONTRAST = 0.01  # of the truth's: an edge with less is gone


def detail(x_hat: Tensor, x: Tensor, *, cutoff: float = 0.25) -> Tensor:
    """Return the power of fine detail of each image as a fraction of the truth's, (B,).

    The power beyond a frequency, sum |F(x_hat)|^2 / sum |F(x)|^2 over |f| > cutoff. Below 1 detail
    is missing; above 1 there is more than there should be, such as noise or ringing. It does not
    say whether the detail is the right one.

    Args:
        x_hat: Estimates (B, C, H, W).
        x: True images (B, C, H, W), with some detail: the power of a flat image is 0.
        cutoff: In cycles per pixel, from 0 to below 0.7, the diagonal's highest frequency.

    Raises:
        ValueError: The shapes are not the same (B, C, H, W), the images hold NaN or infinity, or
            ``cutoff`` is out of range or above all frequencies of such images.
    """
    cutoff = check_number("cutoff", cutoff, least=0, most=0.7)
    check_pair(x_hat, x, wait=True)
    rows, columns = (torch.fft.fftfreq(side, device=x.device) for side in x.shape[-2:])
    fine = torch.hypot(rows[:, None], columns) > cutoff  # (H, W)
    if not fine.any():
        size = "x".join(map(str, x.shape[-2:]))
        raise ValueError(f"cutoff is {cutoff}; images of {size} pixels have no frequency above it")
    powers = [
        (torch.fft.fft2(images.float()).abs().square() * fine).sum(dim=(1, 2, 3))
        for images in (x_hat, x)
    ]
    return powers[0] / powers[1]


def edge_width(x_hat: Tensor, x: Tensor, *, share: float = 0.01) -> Tensor:
    """Return how wide the strongest edges of the truth are in each estimate, in pixels, (B,).

    Of the pixels where the truth is steepest, a profile of the estimate is taken across the edge;
    its width is its contrast divided by its largest slope, and the median over the edges is
    returned. A step that was blurred by a Gaussian of s pixels is 2.5 s wide. An edge with less
    than a hundredth of the truth's contrast is gone: it is infinitely wide. Where the truth is
    flat the width is NaN.

    Args:
        x_hat: Estimates (B, 1, H, W), 16x16 pixels or more.
        x: True images (B, 1, H, W).
        share: Of the pixels, the steepest that count as edges, above 0 and at most 1.

    Raises:
        ValueError: The shapes are not the same (B, 1, H, W), an image is too small, or the images
            hold NaN or infinity, or ``share`` is out of range.
    """
    share = check_number("share", share, least=1e-6, most=1)
    check_pair(x_hat, x, min_size=2 * REACH + 4, wait=True)
    check_tensor("x", x, axes=(4,), expected="(B, 1, H, W)", sizes={1: 1})
    pairs = zip(x_hat[:, 0].cpu().double().numpy(), x[:, 0].cpu().double().numpy(), strict=True)
    return torch.tensor([_edge_width(*pair, share) for pair in pairs], device=x.device)


def _edge_width(x_hat: np.ndarray, x: np.ndarray, share: float) -> float:
    """Return the median width of the edges of x (H, W) in x_hat."""
    gradient = np.stack([ndimage.gaussian_filter(x, 1, order=o) for o in ((1, 0), (0, 1))])
    inside = gradient[:, REACH:-REACH, REACH:-REACH]  # where whole profiles fit
    steepness = np.hypot(*inside)
    count = max(1, round(share * steepness.size))
    places = np.unravel_index(np.argsort(steepness, axis=None)[-count:], steepness.shape)
    direction = inside[:, *places] / np.maximum(steepness[places], 1e-12)  # (2, n), across
    t = np.arange(-REACH, REACH + STEP, STEP)
    points = np.stack(places)[..., None] + REACH + direction[..., None] * t  # (2, n, samples)
    profiles, true = (
        ndimage.map_coordinates(image, points, order=3, mode="mirror") for image in (x_hat, x)
    )
    contrast, least = np.ptp(profiles, axis=1), LEAST_CONTRAST * np.ptp(true, axis=1)
    if not least.any():
        return math.nan
    slopes = np.abs(np.diff(profiles, axis=1)).max(axis=1) / STEP
    widths = contrast / np.maximum(slopes, 1e-12)
    return float(np.median(np.where(contrast < least, np.inf, widths)))
