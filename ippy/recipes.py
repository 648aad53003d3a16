"""How the models are trained: one small dataclass, and one of it for each model of the course."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

LOSSES = {"mse": nn.MSELoss, "l1": nn.L1Loss}


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        steps: Number of optimiser steps.
        batch_size: Slices per step, one crop from each; processes share them.
        crop: Side of the random crops, in pixels, a multiple of 8.
        lr: Peak learning rate of AdamW; it warms up, then falls to zero along a cosine.
        weight_decay: Decoupled weight decay.
        warmup: Fraction of the steps spent warming up.
        clip: Largest norm of the gradient.
        loss: ``"mse"`` or ``"l1"``.
        seed: Seed of the initialisation, the order, the crops and the noise.

    Raises:
        ValueError: A value makes no sense.
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

    def __post_init__(self) -> None:
        expected = {
            "steps": (self.steps >= 1, "1 or more"),
            "batch_size": (self.batch_size >= 1, "1 or more"),
            "crop": (self.crop >= 1, "a number of pixels, as 128"),
            "lr": (0 < self.lr < math.inf, "a positive number, as 1e-3"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "0 or more"),
            "warmup": (0 <= self.warmup <= 1, "a fraction from 0 to 1"),
            "clip": (self.clip > 0, "a positive number, as 1.0"),
            "loss": (self.loss in LOSSES, f"one of {', '.join(LOSSES)}"),
            "seed": (self.seed >= 0, "0 or more"),
        }
        for name, (good, what) in expected.items():
            if not good:
                raise ValueError(f"the recipe's {name} is {getattr(self, name)!r}; expected {what}")

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
