"""How the models are trained: one small dataclass, and one of it for each model of the course."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import nn

from ippy.base.checks import LARGEST, LARGEST_COUNT, check_choice, check_integer, check_number

LOSSES = {"mse": nn.MSELoss, "l1": nn.L1Loss}
OPTIMIZERS = ("muon", "adamw")
SCHEDULES = {  # of the fraction of the steps after warming up that is done
    "line": lambda done: 1 - done,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "constant": lambda done: 1.0,
}
MOST_STEPS = 100_000_000  # whose losses take 400 MB
TINY = 1e-12  # the least positive rate and norm: with less nothing would move


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        steps: Number of optimiser steps.
        batch_size: Slices per step, one crop from each; a multiple of the number of processes,
            which share them.
        crop: Side of the random crops, in pixels, a multiple of 8; None for whole slices, as tasks
            need whose measurements know of what is far off.
        optimizer: ``"muon"``, :class:`~ippy.train.muon.Muon` for the matrices and AdamW for the
            rest, or ``"adamw"`` for all weights.
        lr: Peak learning rate.
        vector_lr: Beside Muon, AdamW's rate as a fraction of ``lr``. At 0.2 what is no matrix moves
            as far as Muon moves a weight.
        schedule: How the rate goes on after warming up: ``"line"`` and ``"cosine"`` fall to zero,
            ``"constant"`` stays.
        weight_decay: Decoupled weight decay.
        warmup: Fraction of the steps spent warming up.
        clip: Largest norm of the gradient.
        loss: ``"mse"`` or ``"l1"``.
        seed: Seed of the initialisation, the order, the crops and the noise.

    Raises:
        ValueError: A value makes no sense.
    """

    steps: int = 12_000
    batch_size: int = 1
    crop: int | None = 128
    optimizer: str = "muon"
    lr: float = 2.5e-3
    vector_lr: float = 0.2
    schedule: str = "line"
    weight_decay: float = 1e-4
    warmup: float = 0.05
    clip: float = 1.0
    loss: str = "l1"
    seed: int = 0

    def __post_init__(self) -> None:
        checked = {
            "steps": check_integer("steps", self.steps, least=1, most=MOST_STEPS),
            "batch_size": check_integer("batch_size", self.batch_size, least=1, most=LARGEST_COUNT),
            "seed": check_integer("seed", self.seed),
            "lr": check_number("lr", self.lr, least=TINY, most=1e3),
            "vector_lr": check_number("vector_lr", self.vector_lr, least=TINY, most=1e3),
            "weight_decay": check_number("weight_decay", self.weight_decay, least=0, most=1e3),
            "warmup": check_number("warmup", self.warmup, least=0, most=1),
            "clip": check_number("clip", self.clip, least=TINY, most=LARGEST),
        }
        check_choice("loss", self.loss, tuple(LOSSES))
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("schedule", self.schedule, tuple(SCHEDULES))
        if self.crop is not None:
            crop = check_integer("crop", self.crop, least=8, most=LARGEST_COUNT)
            if crop % 8:
                raise ValueError(f"crop is {crop}; expected a multiple of 8 pixels, as 128")
            checked["crop"] = crop
        for name, value in checked.items():  # NumPy's numbers become Python's, which JSON can hold
            object.__setattr__(self, name, value)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0, as a fraction of the peak."""
        warmup = max(1, round(self.warmup * self.steps))
        if step < warmup:
            return (step + 1) / warmup
        return SCHEDULES[self.schedule]((step - warmup) / (self.steps - warmup))


def settings(recipe: Recipe, loss: nn.Module | None = None) -> dict[str, Any]:
    """Return what identifies a run: the recipe's fields, a loss of the caller's own among them."""
    own = {} if loss is None else {"loss": " ".join(repr(loss).split())}
    return asdict(recipe) | own


def with_defaults(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded recipe; what recipes did not say when it was written is the default."""
    return {field.name: field.default for field in fields(Recipe)} | dict(recorded)


# benchmarks/RECIPES.md has what studies say of them, and what is older than these. AdamW has the
# whole rate where that was as good or better: two of the small networks' three layers are its.
RECIPES = {
    "CNN": Recipe(steps=64_000, lr=5e-3, vector_lr=1.0, loss="mse"),
    "ResCNN": Recipe(steps=64_000, lr=5e-3, vector_lr=1.0, loss="mse"),
    "UNet": Recipe(steps=16_000),
    "ResidualUNet": Recipe(steps=16_000),
    "AttentionUNet": Recipe(),
    "UNetPP": Recipe(),
    "GatedUNet": Recipe(steps=20_000, vector_lr=1.0),
    "ViT": Recipe(steps=30_000, loss="mse"),
}
