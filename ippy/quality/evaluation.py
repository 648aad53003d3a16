"""The comparison of models: the published protocol, one row a model and image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from ippy.base.checks import check_choice, check_integer, check_tensor, check_values
from ippy.base.device import get_device, usable
from ippy.problems import InverseProblem
from ippy.quality import metrics as measures

MEASUREMENT = "Measurement"  # the row of the blurred, noisy image itself
METRICS = ("mse", "psnr", "ssim", "lpips")


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

    Raises:
        TypeError: ``images`` are not tensors of floating-point numbers, or ``problem`` or ``seed``
            is of the wrong type.
        ValueError: There is no image, they differ in size, or one has another shape or holds NaN.
    """
    measurements = [y for _, y in _measured(images, _numbers(images), problem, seed)]
    sizes = {tuple(y.shape[1:]) for y in measurements}
    if len(sizes) > 1:
        raise ValueError(f"images have the shapes {sorted(sizes)}; expected one size")
    return torch.cat(measurements)


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
    float32, and clamped to [0, 1] before they are scored. Only one image is held at a time, so a
    data set may be larger than the memory.

    Args:
        models: Models by name.
        images: Slices (N, 1, H, W) in [0, 1], or a data set of (1, H, W), which may differ in size.
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
        TypeError: An argument is of the wrong type.
        ValueError: A metric or the device is unknown, there is no image, one has another shape or
            holds NaN, or a model can't take one or returns NaN.
    """
    _check_models(models)
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        raise TypeError(f"metrics is a {type(metrics).__name__}; expected a list, e.g. ['psnr']")
    for number, name in enumerate(metrics):
        check_choice(f"metrics[{number}]", name, METRICS)
    check_choice("progress", progress, (False, True))
    numbers = _numbers(images, first)
    device = usable(device) if device is not None else get_device()

    restorers = {MEASUREMENT: nn.Identity(), **models}
    for model in restorers.values():
        model.to(device).eval()
    rows = {name: [] for name in restorers}
    with tqdm(total=len(restorers) * len(numbers), disable=not progress, unit="image") as bar:
        for number, (x, y) in enumerate(_measured(images, numbers, problem, seed)):
            x, y = x.to(device), y.to(device)
            for name, model in restorers.items():
                try:
                    x_hat = model(y).clamp(0, 1)
                    scores = {m: getattr(measures, m)(x_hat, x).item() for m in metrics}
                except (TypeError, ValueError) as error:
                    kind = TypeError if isinstance(error, TypeError) else ValueError
                    raise kind(f"models[{name!r}] on images[{number}]: {error}") from error
                rows[name].append({"model": name, "image": number, **scores})
                bar.update()
    return pd.DataFrame([row for of_model in rows.values() for row in of_model])


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each metric over the images: one row a model, in the table's order.

    Raises:
        TypeError: ``table`` is not a pandas table.
        ValueError: It has no columns "model" and "image".
    """
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"table is a {type(table).__name__}; expected what evaluate returned")
    if not {"model", "image"} <= set(table.columns):
        raise ValueError(f"table has the columns {list(table.columns)}; expected model and image")
    return table.drop(columns="image").groupby("model", sort=False).mean()


def _numbers(images: Tensor | Dataset[Tensor], first: int | None = None) -> range:
    """Return the numbers of the first images; the images are checked when they are read."""
    if first is not None:
        check_integer("first", first, least=1)
    if not (hasattr(images, "__len__") and hasattr(images, "__getitem__")) or isinstance(
        images, (str, bytes, Mapping, np.ndarray)
    ):
        raise TypeError(f"images is a {type(images).__name__}; expected a tensor or a data set")
    if isinstance(images, Tensor) and images.ndim != 4:
        raise ValueError(f"images has shape {tuple(images.shape)}; expected (N, 1, H, W)")
    numbers = range(len(images))[:first]
    if not numbers:
        raise ValueError("images is empty; expected at least one slice")
    return numbers


def _measured(
    images: Tensor | Dataset[Tensor], numbers: range, problem: InverseProblem, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each image and its measurement, (1, 1, H, W), with noise from one generator."""
    if not isinstance(problem, InverseProblem):
        raise TypeError(
            f"problem is a {type(problem).__name__}; expected an InverseProblem, e.g. "
            "motion_deblurring()"
        )
    generator = torch.Generator().manual_seed(check_integer("seed", seed))
    for number in numbers:
        name, x = f"images[{number}]", images[number]
        check_tensor(name, x, axes=(3,), expected="(1, H, W)")
        if len(x) != 1:
            raise ValueError(f"{name} has shape {tuple(x.shape)}; expected (1, H, W)")
        check_values(name, x, span=2, wait=True)
        yield x[None], problem.measure(x[None].cpu(), generator)


def _check_models(models: Mapping[str, nn.Module]) -> None:
    if not isinstance(models, Mapping):
        raise TypeError(f"models is a {type(models).__name__}; expected a dict, name -> model")
    for name, model in models.items():
        if not isinstance(model, nn.Module):
            raise TypeError(f"models[{name!r}] is a {type(model).__name__}; expected an nn.Module")
    if MEASUREMENT in models:
        raise ValueError(f"models has the name {MEASUREMENT!r}, which is that of the first rows")
