"""What a checkpoint costs: ippy's fit against the published recipe's plain float32 loop."""

import math
import re
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import torch
from timing import seconds
from torch import nn
from torch.nn import functional as F
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from ippy.base.device import get_device
from ippy.chapter.published import published_models
from ippy.chapter.trainings import slices_seen
from ippy.models import LABELS, build
from ippy.problems import gaussian_noise, motion_deblurring
from ippy.quality.cost import gflop
from ippy.train import RECIPES, fit
from ippy.train.distributed import accelerator
from ippy.weights import read_manifest

ROUNDS = 3
MARK = 42.0  # dB on the validation slices; the U-Nets pass it, the others don't
PLAIN_SLICES = 16  # slices that the plain loop takes in a round
FIT_SLICES = 16  # slices' worth of pixels that fit takes in a round
MATRIX = {"cpu": 2048, "mps": 4096, "cuda": 8192}  # sides of matrices whose product is the peak


def plain_loop(name: str, slices: torch.Tensor, device: torch.device) -> float:
    """Train as the published course did (Adam, MSE, blur slice by slice, float32): slices/s."""
    model = build(name, seed=0).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    kernel = motion_deblurring().operator.kernel[None, None].to(device)
    generator = torch.Generator(device).manual_seed(0)
    batch = int(published_models().batch_size[name])
    steps = PLAIN_SLICES // batch
    for step in range(steps + 1):
        if step == 1:  # the first step warms up
            start = time.perf_counter()
        x = slices[:batch].to(device)
        y = torch.cat([F.conv2d(image[None], kernel, padding="same") for image in x])
        y = y + gaussian_noise(y, 0.01, generator)
        loss = nn.functional.mse_loss(model(y), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    return batch * steps / (time.perf_counter() - start)


@contextmanager
def optimiser_clock() -> Iterator[list[float]]:
    """Collect the seconds that each optimiser step takes, of any optimiser; rough on a GPU."""
    times: list[float] = []
    handles = (
        register_optimizer_step_pre_hook(lambda *_: times.append(-time.perf_counter())),
        register_optimizer_step_post_hook(
            lambda *_: times.append(times.pop() + time.perf_counter())
        ),
    )
    try:
        yield times
    finally:
        for handle in handles:
            handle.remove()


def fast_loop(name: str, slices: torch.Tensor, device: torch.device) -> tuple[float, float]:
    """Train with the course's recipe, shortened.

    Returns:
        Slices' worth of pixels per second, and the optimiser's share of the time.
    """
    recipe = RECIPES[name]
    recipe = replace(recipe, steps=round(FIT_SLICES / slices_seen(asdict(recipe), 1)))
    problem, model = motion_deblurring(), build(name, seed=0)
    fit(model, slices, problem, replace(recipe, steps=2), device=device, progress=False)
    with optimiser_clock() as times:
        history = fit(model, slices, problem, recipe, device=device, progress=False)
    return history.images_per_second, sum(times) / history.seconds


def share_until(name: str, decibels: float) -> float:
    """How far the shipped run had come when it first had this PSNR on the validation slices.

    NaN if the model ships without a run, or its run stayed below.
    """
    history = read_manifest().get(name, {}).get("history", {})
    steps = [step for step, _, score in history.get("validation", []) if score >= decibels]
    return min(steps) / history["step"][-1] if steps else math.nan


def gflop_per_slice(name: str) -> float:
    """Count the operations of a forward and a backward pass in 10^9, for a slice's worth of crops.

    A whole slice has more of them where tokens are compared with each other.
    """
    side = RECIPES[name].crop
    x = torch.zeros(1, 1, side, side)
    return gflop(build(name, seed=0), x, backward=True) * 256**2 / side**2


def peak(dtype: torch.dtype, device: torch.device) -> float:
    """Measure the product of two large matrices: GFLOP/s."""
    side = MATRIX[device.type]
    generator = torch.Generator(device).manual_seed(0)
    a, b = torch.randn(2, side, side, generator=generator, device=device).to(dtype)

    def product() -> None:
        (a @ b)[0, 0].item()

    return 2 * side**3 / seconds({"product": product}, rounds=3)["product"] / 1e9


def main(names: list[str]) -> None:
    """Print one row a model; throughputs are medians of alternating rounds."""
    device = get_device()
    dtype = torch.bfloat16 if accelerator(device).mixed_precision == "bf16" else torch.float32
    slices = torch.rand(8, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    summit = peak(dtype, device)
    where = f"{device.type}, {torch.get_num_threads()} threads, {dtype}"
    print(f"{where}: matrix products reach {summit:.0f} GFLOP/s")
    print(
        f"{'':16s} {'slices per second':^24s} {'GFLOP':>7s} {'of the':>7s} {'opti-':>6s} "
        f"{'minutes of training':^45s}"
    )
    print(
        f"{'model':16s} {'plain':>8s} {'fit':>8s} {'ratio':>6s} {'a slice':>7s} {'peak':>7s} "
        f"{'miser':>6s} {'published':>10s} {'ours':>7s} {'to its PSNR':>12s} {MARK:>5g} dB "
        f"{'share':>7s}"
    )
    table = published_models()
    for name in names or RECIPES:
        known = name in table.index  # the gated U-Net was not published
        rounds = [
            (
                plain_loop(name, slices, device) if known else math.nan,
                *fast_loop(name, slices, device),
            )
            for _ in range(ROUNDS)
        ]
        plain, fast, optimiser = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratio = statistics.median(b / a for a, b, _ in rounds)
        flop = gflop_per_slice(name)
        published = table.epochs[name] * table.slices[name] / plain / 60 if known else math.nan
        ours = slices_seen(asdict(RECIPES[name])) / fast / 60
        to_published = ours * share_until(name, table.psnr[name]) if known else math.nan
        to_mark = ours * share_until(name, MARK)
        line = (
            f"{LABELS[name]:16s} {plain:8.2f} {fast:8.2f} {ratio:5.1f}x {flop:7.1f} "
            f"{flop * fast / summit:7.0%} {optimiser:6.0%} {published:10.0f} {ours:7.1f} "
            f"{to_published:12.1f} {to_mark:8.1f} {ours / published:7.1%}"
        )
        print(re.sub(r"nan[x%]?", lambda found: f"{'-':>{len(found[0])}s}", line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
