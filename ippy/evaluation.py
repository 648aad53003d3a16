"""The comparison of models: the published protocol, one row a model and image."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from ippy import metrics as measures
from ippy.device import get_device
from ippy.problem import InverseProblem

MEASUREMENT = "Measurement"  # the row of the blurred, noisy image itself
METRICS = ("mse", "psnr", "ssim", "lpips")

PUBLISHED = pd.DataFrame.from_dict(
    {
        "CNN": (0.000340, 34.696, 0.9277, 0.0598),
        "ResCNN": (0.000317, 35.002, 0.9334, 0.0540),
        "UNet": (0.000080, 41.014, 0.9741, 0.0155),
        "ResidualUNet": (0.000090, 40.516, 0.9724, 0.0148),
        "AttentionUNet": (0.000098, 40.118, 0.9707, 0.0194),
        "UNetPP": (0.000088, 40.594, 0.9708, 0.0169),
        "ViT": (0.000174, 37.643, 0.9541, 0.0285),
    },
    orient="index",
    columns=list(METRICS),
)
"""Means over the first 8 slices of patient C081, of models trained on 3306 real slices."""


def measure_one_by_one(
    images: Tensor | Dataset[Tensor], problem: InverseProblem, *, seed: int = 123
) -> Tensor:
    """Measure images as the published protocol does: noise from one CPU generator, in order.

    Args:
        images: Slices (N, 1, H, W) in [0, 1], or a data set of (1, H, W).
        problem: Makes the measurements.
        seed: Seed of the generator.

    Returns:
        Measurements (N, 1, H, W), on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([problem.measure(x[None].cpu(), generator)[0] for x in _each(images)])


@torch.no_grad()
def evaluate(
    models: Mapping[str, nn.Module],
    images: Tensor | Dataset[Tensor],
    problem: InverseProblem,
    *,
    metrics: Sequence[str] = ("mse", "psnr", "ssim"),
    seed: int = 123,
    first: int | None = None,
    device: torch.device | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Score models on the same measurements of the same images.

    Images are measured in order with noise from one CPU generator, restored one by one in
    float32, and clamped to [0, 1] before they are scored.

    Args:
        models: Models by name.
        images: Slices (N, 1, H, W) in [0, 1], or a data set of (1, H, W).
        problem: Makes the measurements.
        metrics: Which of "mse", "psnr", "ssim", "lpips" to compute.
        seed: Seed of the noise.
        first: Take only this many images, from the first on.
        device: Where the models run; the best there is if None.
        progress: Show a bar.

    Returns:
        A tidy table with columns ``model``, ``image`` (its number) and one per metric. The rows of
        "Measurement", the blurred image itself, come first, then the models in their order.

    Raises:
        ValueError: A metric is unknown, or there is no image.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise ValueError(f"no metric is called {unknown[0]!r}; expected some of {METRICS}")
    truths = list(itertools.islice(_each(images), first))
    if not truths:
        raise ValueError("no images to evaluate on; expected at least one slice")
    device = device or get_device()
    measurements = measure_one_by_one(torch.stack(truths), problem, seed=seed)

    restorers = {MEASUREMENT: nn.Identity(), **models}
    rows = []
    with tqdm(total=len(restorers) * len(truths), disable=not progress, unit="image") as bar:
        for name, model in restorers.items():
            model.to(device).eval()
            for number, x in enumerate(truths):
                x_hat = model(measurements[number : number + 1].to(device)).clamp(0, 1)
                x = x[None].to(device)
                scores = {metric: getattr(measures, metric)(x_hat, x).item() for metric in metrics}
                rows.append({"model": name, "image": number, **scores})
                bar.update()
    return pd.DataFrame(rows)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each metric over the images: one row a model, in the table's order."""
    return table.drop(columns="image").groupby("model", sort=False).mean()


def _each(images: Tensor | Dataset[Tensor]) -> Iterator[Tensor]:
    return (images[number] for number in range(len(images)))
