"""The inverse crime: how much is owed to one model for measuring and for restoring?"""

import math
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.base.paths import weights_dir
from ippy.models.gated import GatedUNet
from ippy.models.unrolled import Unrolled
from ippy.operators import Blurring
from ippy.operators.blurring import motion_kernel
from ippy.problems import (
    INFORMED_CHANNELS,
    InformedProblem,
    InverseProblem,
    PlugAndPlay,
    Tikhonov,
    TotalVariation,
    gaussian_noise,
    motion_deblurring,
)
from ippy.quality import psnr, restore
from ippy.studies import Evaluation, Study, grid
from ippy.weights import load_checkpoint

LENGTH, ANGLE = 9, 20.0  # of the reference task
FINER = 2  # times finer than the restored image is what the body is measured on
SAMPLES = 1000  # of the motion


def even_line(length: int, angle: float, finer: int) -> Tensor:
    """Return a motion over so many pixels, on a grid that is so many times finer, (k, k), sum 1.

    The body moves evenly along a line; each instant is shared among the four nearest pixels. Its
    middle is where that of the course's kernel is, which rounds down: else a shift were measured.
    """
    coarse = motion_kernel(length, angle)
    offset = torch.arange(length) - length // 2
    middle = [(coarse.sum(dim=1 - axis) * offset).sum().item() for axis in (0, 1)]
    half = finer * (length // 2 + 2) + 1
    kernel = torch.zeros(2 * half + 1, 2 * half + 1)
    way = (torch.arange(SAMPLES) + 0.5) / SAMPLES - 0.5  # from -1/2 to 1/2
    theta = math.radians(angle)
    row, column = (
        half + finer * (length * way * part + centre)
        for part, centre in zip((math.sin(theta), math.cos(theta)), middle, strict=True)
    )
    for down in (0, 1):
        for right in (0, 1):
            share = (1 - (row - row.floor() - down).abs()) * (
                1 - (column - column.floor() - right).abs()
            )
            places = (row.floor().long() + down, column.floor().long() + right)
            kernel.index_put_(places, share / SAMPLES, accumulate=True)
    return kernel


def binned(fine: Tensor) -> Tensor:
    """Return the mean of each square of fine pixels: what a coarse detector sees."""
    return F.avg_pool2d(fine, FINER)


def crime(model: nn.Module, images: Tensor, problem: InverseProblem) -> dict[str, float]:
    """Compare a body that is measured on a fine grid with one measured by the model that restores.

    Returns:
        The mean PSNR of both (dB), what is lost, and how far the clean measurements are apart, as a
        fraction of their norm.
    """
    fine, found = Blurring(kernel=even_line(LENGTH, ANGLE, FINER)), []
    for number in range(len(images)):
        body = images[number][None]
        x = binned(body)
        clean = {"psnr": binned(fine(body)), "psnr_one_model": problem.operator(x)}
        scores = {}
        for name, y in clean.items():
            noise = torch.Generator().manual_seed(number)
            y = y + gaussian_noise(y, problem.noise_level, noise)
            scores[name] = psnr(restore(model, y, problem=problem).clamp(0, 1), x).item()
        apart = (clean["psnr"] - clean["psnr_one_model"]).norm() / clean["psnr_one_model"].norm()
        found.append(scores | {"apart": apart.item()})
    means = {name: sum(one[name] for one in found) / len(found) for name in found[0]}
    return means | {"lost_db": means["psnr_one_model"] - means["psnr"]}


SHOWN = INFORMED_CHANNELS
INFORMED = {
    "Informed UNet": ("InformedUNet", partial(GatedUNet, SHOWN, 1)),
    "Unrolled": ("Unrolled", partial(Unrolled, SHOWN, steps=4, base_ch=12)),
}
CLASSICAL = {"Tikhonov": Tikhonov, "Total variation": TotalVariation}
PLUGGED = "Plug and play"
TOLD = [*CLASSICAL, *INFORMED, PLUGGED]


def load_informed(make: partial, path: Path) -> nn.Module:
    """Return a network that is shown the operator, with its weights."""
    return load_checkpoint(make(), path)


def plugged(problem: InverseProblem, path: Path) -> nn.Module:
    """Return plug and play, with the weights of its denoiser."""
    denoiser = load_checkpoint(GatedUNet(2, 1), path)
    return PlugAndPlay(problem.operator, problem.noise_level, denoiser)


def job(method: str, told: str) -> Evaluation:
    """Score a method, which is told an operator, on what was measured at twice its resolution."""
    problem = motion_deblurring()
    if told == "even line":
        line = Blurring(kernel=even_line(LENGTH, ANGLE, finer=1))
        problem = InverseProblem(line, problem.noise_level)
    folder, options = weights_dir(), {"side": FINER * 256, "score": crime}
    if method in CLASSICAL:
        return Evaluation(partial(CLASSICAL[method], problem.operator), problem, **options)
    if method == PLUGGED:
        path = folder / "many_blurs" / "Denoiser.pth"
        return Evaluation(partial(plugged, problem, path), problem, weights=path, **options)
    if method in INFORMED:
        name, make = INFORMED[method]
        path = folder / "many_blurs" / f"{name}.pth"
        shown = InformedProblem(problem.operator, problem.noise_level)
        return Evaluation(partial(load_informed, make, path), shown, weights=path, **options)
    path = folder / f"{method}.pth"
    return Evaluation(partial(load_checkpoint, method), problem, weights=path, **options)


STUDY = Study(
    question="How many decibels are owed to one model for measuring and for restoring?",
    decides="How far the book's scores would be from those of a scanner that knows no pixels.",
    fixed="The reference task's blur and noise. Bodies are measured on 512x512 pixels and restored "
    "on 256x256. The generator draws no finer, so generated slices are enlarged bilinearly; real "
    "ones are scans of 512x512. Nothing is trained. The operator that is told is the book's, drawn "
    "with whole pixels, or the same even line as in the measurement, on the coarse grid.",
    rows=grid(told=["nothing"], method=["UNet", "GatedUNet", "ViT"])
    + grid(told=["whole pixels", "even line"], method=TOLD),
    job=job,
    minutes=1,
)
