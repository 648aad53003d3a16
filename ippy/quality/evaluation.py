"""The comparison of models: the published protocol, one row a model and image."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from ippy.base.checks import check_choice, check_indexed, check_integer, check_type
from ippy.base.device import get_device, usable
from ippy.base.images import check_slice, check_tensor, check_values
from ippy.operators import LinearOperator
from ippy.problems import InverseProblem
from ippy.quality.inference import arguments, in_evaluation_mode, run
from ippy.quality.metrics import METRICS

RESIDUAL = "residual"  # beside the metrics, which know the truth and no data


def measure_one_by_one(
    images: Tensor | Dataset[Tensor], problem: InverseProblem, *, seed: int = 123
) -> Tensor:
    """Measure images as the published protocol does: noise from one CPU generator, in order.

    The images are taken in float32, whatever their type.

    Args:
        images: Slices (N, 1, H, W) in [0, 1], or a data set of (1, H, W).
        problem: Makes the measurements.
        seed: Seed of the generator.

    Returns:
        Measurements (N, 1, ., .) in the operator's shape, in float32, on the CPU.

    Raises:
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
    device: torch.device | str | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Score models on the same measurements of the same images.

    Images are measured in float32, in order, with noise from one CPU generator, restored one by
    one, without autocast, and clamped to [0, 1] before they are scored. Only one image is held at a
    time, so a data set may be larger than the memory. Models get the images that
    ``problem.network_input`` makes of a measurement; those with an attribute ``takes_operator``, as
    unrolled networks, the measurement and ``problem.known_operator`` too; those with
    ``knows_operator``, as the classical methods, the measurement alone. They come back as they
    were: in the same modes and on the same devices.

    Args:
        models: Models by name; each runs in its own floating-point type, in evaluation mode.
        images: Slices (N, 1, H, W) in [0, 1], or a data set of (1, H, W), which may differ in size.
        problem: Makes the measurements.
        metrics: Which of "mse", "psnr", "ssim", "lpips" to compute, the keys of
            :data:`ippy.quality.METRICS`, and of "residual", :func:`data_residual`.
        seed: Seed of the noise.
        first: Take only this many images, from the first on.
        device: Where the models run; the best there is if None.
        progress: Show a bar.

    Returns:
        A tidy table with columns ``model``, ``image`` (its number) and one per metric. The rows of
        ``problem.start`` come first, under "Measurement" where it is one, else what it is, such as
        "FBP"; then the models in their order.

    Raises:
        TypeError: An argument is of the wrong type, or a model returns no tensor.
        ValueError: A metric or the device is unknown, there is no image, one has another shape or
            holds NaN, or a model can't take one or returns NaN.
    """
    check_type("problem", problem, InverseProblem, "motion_deblurring()")
    start = problem.operator.direct_name
    _check_models(models, start)
    metrics = _checked_metrics(metrics)
    progress = check_choice("progress", progress, (False, True))
    numbers = _numbers(images, first)
    device = usable(device) if device is not None else get_device()

    restorers = {start: Start(problem), **models}
    rows = {name: [] for name in restorers}
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, enabled=False))
        for model in restorers.values():
            stack.enter_context(in_evaluation_mode(model, device))
        total = len(restorers) * len(numbers)
        bar = stack.enter_context(tqdm(total=total, disable=not progress, unit="image"))
        for number, (x, y) in enumerate(_measured(images, numbers, problem, seed)):
            x, y = x.to(device), y.to(device)
            shown = problem.network_input(y).to(device)
            for name, model in restorers.items():
                with _named(f"models[{name!r}] on images[{number}]"):
                    given = arguments(model, shown, y, problem.known_operator)
                    x_hat = run("it", model, *given, size=x.shape[2:]).clamp(0, 1)
                    scores = {m: _score(m, x_hat, x, y, problem) for m in metrics}
                rows[name].append({"model": name, "image": number, **scores})
                bar.update()
    return pd.DataFrame([row for of_model in rows.values() for row in of_model])


def data_residual(x_hat: Tensor, y: Tensor, operator: LinearOperator) -> Tensor:
    """Return ||K x_hat - y|| / ||y|| of each image, (B,): how far an answer is from its data.

    It needs no truth. That of the truth is the noise: an answer far above it contradicts the data,
    one far below explains noise. A measurement of zeros that is explained has 0.

    Args:
        x_hat: Estimates (B, 1, H, W).
        y: Measurements (B, 1, ., .).
        operator: The operator K that made them.

    Raises:
        ValueError: ``x_hat`` is no image that K takes, ``y`` is not of the shape of K x_hat, or one
            holds NaN or infinity.
    """
    check_type("operator", operator, LinearOperator, "motion_deblurring().operator")
    for name, tensor in (("x_hat", x_hat), ("y", y)):
        check_tensor(name, tensor, axes=(4,), expected="(B, 1, ., .)", sizes={1: 1})
        check_values(name, tensor, wait=True)
    explained = operator(x_hat)
    if y.shape != explained.shape:
        raise ValueError(
            f"y has shape {tuple(y.shape)}; K x_hat has {tuple(explained.shape)}, expected the same"
        )
    misfit = (explained - y).flatten(1).norm(dim=1)
    return torch.where(misfit == 0, misfit, misfit / y.flatten(1).norm(dim=1))


class Start(nn.Module):
    """The image that measurements give without further knowledge, as a method beside others.

    Args:
        problem: What the measurements, (B, 1, ., .), are of; its images are (B, 1, H, W).
    """

    knows_operator = True

    def __init__(self, problem: InverseProblem) -> None:
        super().__init__()
        self.problem = problem

    def forward(self, y: Tensor) -> Tensor:
        """Map measurements to images."""
        return self.problem.start(y)


def _score(metric: str, x_hat: Tensor, x: Tensor, y: Tensor, problem: InverseProblem) -> float:
    """Return one number of one image, (1, 1, H, W)."""
    if metric == RESIDUAL:
        return data_residual(x_hat, y, problem.operator).item()
    return METRICS[metric].function(x_hat, x).item()


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Put the place before the message of an error, or under it where the error is not ours."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{place}: {error}") from error
    except Exception as error:
        error.add_note(f"in {place}")
        raise


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each metric over the images: one row a model, in the table's order.

    Raises:
        ValueError: ``table`` has no columns "model" and "image".
    """
    check_type("table", table, pd.DataFrame, "evaluate(models, images, problem)")
    if not {"model", "image"} <= set(table.columns):
        raise ValueError(f"table has the columns {list(table.columns)}; expected model and image")
    return table.drop(columns="image").groupby("model", sort=False).mean()


def _numbers(images: Tensor | Dataset[Tensor], first: int | None = None) -> range:
    """Return the numbers of the first images; the images are checked when they are read."""
    if first is not None:
        first = check_integer("first", first, least=1)
    expected = "a torch.Tensor (N, 1, H, W), e.g. torch.from_numpy(array), or a data set of slices"
    check_indexed("images", images, f"{expected} (1, H, W) with a length")
    if isinstance(images, Tensor) and images.ndim != 4:
        raise ValueError(f"images has shape {tuple(images.shape)}; expected (N, 1, H, W)")
    numbers = range(len(images))[:first]
    if not numbers:
        raise ValueError("images is empty; expected at least one slice")
    return numbers


def _measured(
    images: Tensor | Dataset[Tensor], numbers: range, problem: InverseProblem, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each image, (1, 1, H, W), and its measurement, with noise from one generator."""
    check_type("problem", problem, InverseProblem, "motion_deblurring()")
    generator = torch.Generator().manual_seed(check_integer("seed", seed))
    for number in numbers:
        x = images[number]
        check_slice(f"images[{number}]", x, wait=True)
        if not x.any():
            warnings.warn(
                f"images[{number}] is black, and so is its measurement: its scores say nothing of "
                "a model, and a perfect one makes a mean infinite. Leave it out.",
                stacklevel=2,
            )
        x = x[None].to(torch.float32)
        yield x, problem.measure(x.cpu(), generator)


def _checked_metrics(metrics: Sequence[str]) -> list[str]:
    if isinstance(metrics, np.ndarray):
        metrics = metrics.tolist()
    if isinstance(metrics, str) or not isinstance(metrics, (Sequence, Mapping)):
        check_type("metrics", metrics, list, "['psnr']")
    return [check_choice(f"metrics[{k}]", m, (*METRICS, RESIDUAL)) for k, m in enumerate(metrics)]


def _check_models(models: Mapping[str, nn.Module], start: str) -> None:
    check_type("models", models, Mapping, "{'UNet': load_checkpoint('UNet')}")
    for name, model in models.items():
        check_type(f"models[{name!r}]", model, nn.Module, "load_checkpoint('UNet')")
    if start in models:
        raise ValueError(f"models has the name {start!r}, which is that of the first rows")
