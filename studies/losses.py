"""What does a loss do to a network that really deblurs?"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import nn

from ippy.base.paths import data_dir
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
}


def measure(model: nn.Module) -> dict[str, list[float]]:
    """Return what is measured of each generated test slice: scores and sharpness."""
    slices = MayoDataset(data_dir() / "test")
    found: dict[str, list[float]] = {metric.__name__: [] for metric in METRICS}
    for x, y in zip(slices, measure_one_by_one(slices, motion_deblurring()), strict=True):
        x_hat = restore(model, y[None]).clamp(0, 1)
        for metric in METRICS:
            found[metric.__name__].append(round(metric(x_hat, x[None]).item(), 6))
    return found


def job(loss: str, seed: int) -> Job:
    """Train the gated U-Net with a loss; all else is the same."""
    recipe = replace(RECIPES["GatedUNet"], steps=STEPS, seed=seed)
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
