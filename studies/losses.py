"""What does a loss do to a network that really deblurs?"""

import base64
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ippy.base.paths import data_dir
from ippy.chapter.region import body_mask, psnr_inside, ssim_inside
from ippy.data import MayoDataset
from ippy.models import build
from ippy.problems import motion_deblurring
from ippy.quality import (
    CombinedLoss,
    FourierLoss,
    PerceptualLoss,
    SSIMLoss,
    detail,
    edge_width,
    lpips,
    measure_one_by_one,
    psnr,
    restore,
    ssim,
)
from ippy.studies import Job, Study, grid
from ippy.train import RECIPES

STEPS = 2500
METRICS = psnr, ssim, lpips, detail, edge_width
INSIDE = psnr_inside, ssim_inside
TOP, LEFT, SIDE = 95, 60, 64  # what is kept of the first slice, in pixels: vessels of a lung

LOSSES: dict[str, Callable[[], nn.Module]] = {
    "MSE": nn.MSELoss,
    "L1": nn.L1Loss,
    "MSE + 0.1 Fourier": lambda: CombinedLoss(
        {"MSE": (1.0, nn.MSELoss()), "Fourier": (0.1, FourierLoss())}
    ),
    "0.5 MSE + 0.5 L1": lambda: CombinedLoss(
        {"MSE": (0.5, nn.MSELoss()), "L1": (0.5, nn.L1Loss())}
    ),
    "MSE + 0.2 SSIM + 0.1 Fourier": lambda: CombinedLoss(
        {"MSE": (1.0, nn.MSELoss()), "SSIM": (0.2, SSIMLoss()), "Fourier": (0.1, FourierLoss())}
    ),
    "L1 + 0.01 perceptual": lambda: CombinedLoss(
        {"L1": (1.0, nn.L1Loss()), "perceptual": (0.01, PerceptualLoss())}
    ),
    "SSIM": SSIMLoss,
}


def measure(model: nn.Module) -> dict[str, Any]:
    """Return scores and sharpness of each generated test slice, and a part of the first."""
    slices = MayoDataset(data_dir() / "test")
    found: dict[str, Any] = {metric.__name__: [] for metric in (*METRICS, *INSIDE)}
    for x, y in zip(slices, measure_one_by_one(slices, motion_deblurring()), strict=True):
        x, x_hat = x[None], restore(model, y[None]).clamp(0, 1)
        values = {metric: metric(x_hat, x) for metric in METRICS}
        values |= {metric: metric(x_hat, x, body_mask(x)) for metric in INSIDE}
        for metric, value in values.items():
            found[metric.__name__].append(round(value.item(), 6))
        found.setdefault("part", encoded(x_hat))
    return found


def encoded(x_hat: Tensor) -> str:
    """Return the part of a slice (1, 1, H, W) that is kept: its grey levels of 8 bits, base64."""
    part = x_hat[0, 0, TOP : TOP + SIDE, LEFT : LEFT + SIDE]
    return base64.b64encode((255 * part).round().to(torch.uint8).numpy()).decode("ascii")


def job(loss: str, seed: int) -> Job:
    """Train the gated U-Net with a loss; all else is the same."""
    recipe = replace(RECIPES["GatedUNet"], steps=STEPS, vector_lr=0.2, seed=seed)
    return Job(partial(build, "GatedUNet", seed=seed), recipe, loss=LOSSES[loss], measure=measure)


STUDY = Study(
    question="What does a loss do to a network that really deblurs?",
    decides="Whether L1 gives sharper edges than MSE, and what a Fourier, SSIM or perceptual part "
    "changes.",
    fixed="Gated UNet, one 128-pixel crop a step, its recipe but for the loss, 2500 steps, three "
    "seeds.",
    rows=grid(loss=list(LOSSES), seed=[0, 1, 2]),
    job=job,
    minutes=8,
)
