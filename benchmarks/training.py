"""Training throughput of ippy's fit against a plain float32 loop, in slices per second."""

import dataclasses
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

from ippy.models import LABELS, NAMES, build
from ippy.noise import gaussian_noise
from ippy.problem import motion_deblurring
from ippy.training import RECIPES, fit

ROUNDS = 3
PLAIN_STEPS = 4
FIT_SLICES = 64  # slices' worth of pixels that fit takes in a round


def plain_loop(name: str, slices: torch.Tensor, device: torch.device) -> float:
    """Train as a first notebook would (Adam, MSE, batch 8, blur slice by slice): slices/s."""
    model = build(name, seed=0).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    kernel = motion_deblurring().operator.kernel[None, None].to(device)
    generator = torch.Generator(device).manual_seed(0)
    for step in range(PLAIN_STEPS + 1):
        if step == 1:  # the first step warms up
            start = time.perf_counter()
        x = slices[8 * (step % 4) : 8 * (step % 4) + 8].to(device)
        y = torch.cat([F.conv2d(image[None], kernel, padding="same") for image in x])
        y = y + gaussian_noise(y, 0.01, generator)
        loss = nn.functional.mse_loss(model(y), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    return 8 * PLAIN_STEPS / (time.perf_counter() - start)


def fast_loop(name: str, slices: torch.Tensor, device: torch.device) -> float:
    """Train with the course's recipe, shortened: slices' worth of pixels per second."""
    recipe = RECIPES[name]
    per_step = recipe.batch_size * recipe.crop**2 / 256**2
    recipe = dataclasses.replace(recipe, steps=round(FIT_SLICES / per_step))
    history = fit(
        build(name, seed=0), slices, motion_deblurring(), recipe, device=device, progress=False
    )
    return history.images_per_second


def main(names: list[str]) -> None:
    """Print one row a model: both throughputs, medians of alternating rounds, and their ratio."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    slices = torch.rand(32, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    print(f"{device.type}, {torch.get_num_threads()} threads; slices of 256x256 per second")
    print(f"{'model':16s} {'plain float32':>14s} {'ippy fit':>10s} {'ratio':>7s}")
    for name in names or NAMES:
        rounds = [
            (plain_loop(name, slices, device), fast_loop(name, slices, device))
            for _ in range(ROUNDS)
        ]
        plain, fast = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratio = statistics.median(b / a for a, b in rounds)
        print(f"{LABELS[name]:16s} {plain:14.2f} {fast:10.2f} {ratio:6.1f}x", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
