"""Scores inside the body: more than half of a slice is air, which nobody looks at."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from skimage.metrics import structural_similarity
from skimage.morphology import disk
from torch import Tensor

AIR = 0.15  # grey level above which there is tissue, the couch or clutter
CORE = disk(3)  # the couch and streaks are thinner than this, 7 pixels
BORDER = 3  # pixels that no middle of a 7x7 window reaches


def body_mask(x: Tensor) -> Tensor:
    """Return where the body is: its largest bright piece, its holes filled.

    Args:
        x: True slices (B, 1, H, W) in [0, 1].

    Returns:
        The mask (B, 1, H, W), bool; nowhere where nothing is bright.
    """
    masks = []
    for image in x[:, 0].cpu().numpy():
        bright = ndimage.binary_opening(image > AIR, CORE)
        pieces, _ = ndimage.label(bright)
        sizes = np.bincount(pieces.flat)
        sizes[0] = 0  # the air
        body = (pieces == sizes.argmax()) & (pieces > 0)
        masks.append(ndimage.binary_fill_holes(body))
    return torch.from_numpy(np.stack(masks))[:, None]


def psnr_inside(x_hat: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """Return the PSNR over the pixels of a mask, in dB, of each image, (B,).

    Args:
        x_hat: Estimates (B, 1, H, W) in [0, 1].
        x: True slices, the same.
        mask: What to look at, (B, 1, H, W), bool.
    """
    x_hat, x, mask = x_hat.cpu(), x.cpu(), mask.cpu()  # for float64
    squares = (x_hat - x).double().square() * mask
    mse = squares.sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3))
    return -10 * mse.log10()


def ssim_inside(x_hat: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean SSIM of the windows whose middle lies in a mask, of each image, (B,).

    The windows are those of :func:`ippy.quality.ssim`, inside the image.

    Args:
        x_hat: Estimates (B, 1, H, W) in [0, 1].
        x: True slices, the same.
        mask: What to look at, (B, 1, H, W), bool.
    """
    middles = (slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    scores = []
    x_hat, x, mask = (batch[:, 0].cpu() for batch in (x_hat, x, mask))
    for a, b, region in zip(x_hat, x, mask.numpy(), strict=True):
        pair = a.double().numpy(), b.double().numpy()
        _, ssim_map = structural_similarity(*pair, data_range=1.0, full=True)
        scores.append(ssim_map[middles][region[middles]].mean())
    return torch.tensor(scores)
