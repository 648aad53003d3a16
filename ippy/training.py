"""The one training loop: measurements made on the fly, random crops, bfloat16 where it helps."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler
from tqdm import tqdm

from ippy.checkpoints import save_checkpoint
from ippy.device import autocast, get_device
from ippy.problem import InverseProblem

LOSSES = {"mse": nn.MSELoss, "l1": nn.L1Loss}
HISTORY_POINTS = 100  # a history holds the mean loss of this many equal blocks of steps


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        steps: Number of optimiser steps.
        batch_size: Slices per step, one crop from each.
        crop: Side of the random crops, in pixels, a multiple of 8.
        lr: Peak learning rate of AdamW; it warms up, then falls to zero along a cosine.
        weight_decay: Decoupled weight decay.
        warmup: Fraction of the steps spent warming up.
        clip: Largest norm of the gradient.
        loss: ``"mse"`` or ``"l1"``.
        seed: Seed of the initialisation, the order, the crops and the noise.
    """

    steps: int = 6000
    batch_size: int = 4
    crop: int = 128
    lr: float = 1e-3
    weight_decay: float = 1e-4
    warmup: float = 0.05
    clip: float = 1.0
    loss: str = "mse"
    seed: int = 0

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0, as a fraction of the peak."""
        warmup = max(1, round(self.warmup * self.steps))
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, self.steps - warmup)))


# On two cores with bfloat16 the UNet takes about 8 minutes and the ViT about 15.
RECIPES = {
    "CNN": Recipe(steps=6000, batch_size=8, lr=3e-3),
    "ResCNN": Recipe(steps=6000, batch_size=8, lr=3e-3),
    "UNet": Recipe(steps=5000),
    "ResidualUNet": Recipe(steps=6000),
    "AttentionUNet": Recipe(steps=4500),
    "UNetPP": Recipe(steps=3500),
    "ViT": Recipe(steps=6000, batch_size=8),
}


@dataclass(frozen=True)
class History:
    """What a training run did.

    Attributes:
        step: The last step of each block.
        loss: Mean training loss of each block.
        seconds: Wall-clock time of the loop.
        images_per_second: Whole slices' worth of pixels that went through the model per second.
        device: What it ran on: ``"cuda"``, ``"mps"``, or the CPU with its number of threads.
    """

    step: list[int]
    loss: list[float]
    seconds: float
    images_per_second: float
    device: str


def fit(
    model: nn.Module,
    dataset: Dataset[Tensor],
    problem: InverseProblem,
    recipe: Recipe,
    *,
    device: torch.device | None = None,
    save_to: str | Path | None = None,
    progress: bool = True,
) -> History:
    """Train a model, in place, to undo ``problem`` on the slices of ``dataset``.

    A slice is flipped at random, measured whole, and cropped afterwards. A model that knows
    positions (``patch_size``) gets crops on its patch grid, and is told where on it they lie.

    Args:
        model: Maps (B, 1, H, W) to (B, 1, H, W).
        dataset: Slices (1, H, W) in [0, 1].
        problem: Makes the measurements.
        recipe: Steps, batch, crop, optimiser and seed.
        device: Where to train; the best there is if None.
        save_to: Checkpoint to write once the run is finished.
        progress: Show a bar with the loss and the speed.

    Returns:
        The history of the run.

    Raises:
        ValueError: The data set is empty, or its slices are smaller than the crops.
        FloatingPointError: The loss is no longer finite.
    """
    shape = tuple(dataset[0].shape) if len(dataset) else (0, 0, 0)
    if min(shape[-2:]) < recipe.crop:
        raise ValueError(
            f"crops of {recipe.crop} pixels don't fit slices of shape {shape}. Choose a smaller "
            "crop, or prepare other slices (`python -m ippy prepare`)."
        )
    device = device or get_device()
    model.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.rate)
    loss_of = LOSSES[recipe.loss]()
    block = max(1, recipe.steps // HISTORY_POINTS)
    steps, losses, in_block = [], [], []
    images = 0.0

    start = time.perf_counter()
    batches = _training_pairs(dataset, problem, recipe, getattr(model, "patch_size", None), device)
    bar = tqdm(batches, total=recipe.steps, unit="step", disable=not progress)
    for step, (x, y, where) in enumerate(bar, start=1):
        with autocast(device):
            x_hat = model(y, **where)
        loss = loss_of(x_hat.float(), x)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        schedule.step()

        in_block.append(loss.detach())
        images += len(x) * recipe.crop**2 / math.prod(shape)
        if len(in_block) == block or step == recipe.steps:
            mean = torch.stack(in_block).mean().item()
            if not math.isfinite(mean):
                raise FloatingPointError(
                    f"the loss became {mean} between steps {step - len(in_block) + 1} and {step} "
                    f"(peak learning rate {recipe.lr}); nothing was saved. Try a smaller rate."
                )
            steps.append(step)
            losses.append(mean)
            in_block.clear()
            rate = images / (time.perf_counter() - start)
            bar.set_postfix_str(f"loss {mean:.2e}, {rate:.1f} images/s")
    seconds = time.perf_counter() - start
    model.eval()
    ran_on = device.type
    if ran_on == "cpu":
        ran_on = f"cpu, threads: {torch.get_num_threads()}"
    history = History(steps, losses, round(seconds, 1), round(images / seconds, 2), ran_on)
    if save_to is not None:
        save_checkpoint(model, save_to, record={"recipe": vars(recipe), "history": vars(history)})
    return history


def _training_pairs(
    dataset: Dataset[Tensor],
    problem: InverseProblem,
    recipe: Recipe,
    patch_size: int | None,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor, dict[str, Tensor]]]:
    """Yield ``recipe.steps`` batches: truth, measurement, and the model's keyword arguments."""
    order = torch.Generator().manual_seed(recipe.seed)
    noise = torch.Generator(device).manual_seed(recipe.seed)
    sampler = RandomSampler(dataset, num_samples=recipe.steps * recipe.batch_size, generator=order)
    for x in DataLoader(dataset, batch_size=recipe.batch_size, sampler=sampler, generator=order):
        for axis in (-2, -1):
            flip = torch.rand(len(x), 1, 1, 1, generator=order) < 0.5
            x = torch.where(flip, x.flip(axis), x)
        x = x.to(device, non_blocking=True)
        y = problem.measure(x, noise)

        grid = patch_size or 1
        room = [(side - recipe.crop) // grid + 1 for side in x.shape[-2:]]
        corner = torch.stack([torch.randint(n, (len(x),), generator=order) for n in room], dim=1)
        where = {} if patch_size is None else {"origin": corner.to(device)}
        yield crop(x, corner * grid, recipe.crop), crop(y, corner * grid, recipe.crop), where


def crop(x: Tensor, corner: Tensor, size: int) -> Tensor:
    """Cut one square out of each image.

    Args:
        x: Images (B, C, H, W).
        corner: Row and column of each square's first pixel, (B, 2).
        size: Side of the squares, in pixels.

    Returns:
        The squares, (B, C, size, size), with channels last in memory.
    """
    squares = [
        image[:, row : row + size, col : col + size]
        for image, (row, col) in zip(x, corner.tolist(), strict=True)
    ]
    return torch.stack(squares).contiguous(memory_format=torch.channels_last)
