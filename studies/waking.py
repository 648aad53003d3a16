"""What wakes attention beside convolutions? Ways to train a hybrid on a ghost half an image away.

The study ``range`` has the same task, and there the ways that are to be compared with these: the
hybrid whose skips are closed at first, the ViT that learns alone before gated blocks correct it,
and the ViT by itself.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ippy.models.hybrid import CoarseAttention, HybridUNet, WithoutSkips
from ippy.models.patches import pad_to_multiple
from ippy.problems import ghost
from ippy.studies import Clutter, Job, Phase, Study, grid
from ippy.studies.networks import seeded, vit, vit_then_gated
from ippy.studies.sight import sight_of_ghost
from ippy.train import RECIPES

SIDE, DISTANCE = 128, 64


class Unplaced(CoarseAttention):
    """Transformer blocks whose tokens don't know where they lie."""

    @staticmethod
    def waves(x: Tensor) -> Tensor:
        """Return (C, H, W) zeros."""
        return torch.zeros_like(x[0])


class HybridWithoutWaves(HybridUNet):
    """The hybrid, its tokens without positions."""

    def __init__(self) -> None:
        super().__init__()
        self.bottleneck = Unplaced(96)


class OpeningSkips(HybridUNet):
    """The hybrid with skips that are multiplied by weights, which are 0 at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.opening = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1, H, W) to (B, 1, H, W)."""
        s1, s2, s3 = self.opening
        e1 = self.enc1(self.first(pad_to_multiple(x, 8)))
        e2 = self.enc2(self.down1(e1))
        e3 = self.enc3(self.down2(e2))
        h = self.bottleneck(self.down3(e3))
        h = self.dec3(self.up3(h) + s3 * e3)
        h = self.dec2(self.up2(h) + s2 * e2)
        h = self.dec1(self.up1(h) + s1 * e1)
        return x + self.last(h)[..., : x.shape[2], : x.shape[3]]


def vit_then_nothing() -> nn.Sequential:
    """Return a ViT whose image gated blocks leave as it is, at the start."""
    network = vit_then_gated(SIDE)
    nn.init.zeros_(network[1].last.weight)
    nn.init.zeros_(network[1].last.bias)
    return network


# What is trained, the steps of about 300 core-seconds, and what differs from the recipe of others.
WAYS = {
    "hybrid as one": (HybridUNet, (1700,), {}),
    "hybrid as one, AdamW 0.001": (HybridUNet, (1700,), {"optimizer": "adamw", "lr": 1e-3}),
    "skips that open": (OpeningSkips, (1700,), {}),
    "no positions, as one": (HybridWithoutWaves, (1700,), {}),
    "no positions, skips closed first": (HybridWithoutWaves, (900, 800), {}),
    "ViT + gated as one": (partial(vit_then_gated, SIDE), (1000,), {}),
    "ViT + gated as one, gated from zero": (vit_then_nothing, (1000,), {}),
    "ViT, positions five times as fast": (partial(vit, SIDE), (2600,), {"vector_lr": 1.0}),
}


def sight(model: nn.Module) -> dict[str, Any]:
    """Measure on the first test images how far a network sees."""
    images = Clutter("test", 64)
    x = torch.stack([images[index] for index in range(8)])
    y = ghost(DISTANCE).measure(x, torch.Generator().manual_seed(0))
    return sight_of_ghost(model, y, DISTANCE)


def job(way: str, seed: int) -> Job:
    """Train a network in a way to remove a ghost."""
    make, steps, changes = WAYS[way]
    common = {"crop": None, "seed": seed, "loss": "mse" if way.startswith("ViT,") else "l1"}
    *before, whole = (
        replace(RECIPES["UNet"], **common | {"steps": count} | changes) for count in steps
    )
    return Job(
        partial(seeded, make, seed),
        whole,
        ghost(DISTANCE),
        slices=lambda _: Clutter("train", 2000),
        validation=partial(Clutter, "validation", 32),
        test=partial(Clutter, "test", 64),
        measure=sight,
        phases=tuple(Phase(WithoutSkips, recipe) for recipe in before),
    )


STUDY = Study(
    question="What wakes attention beside convolutions?",
    decides="How hybrids are trained, and how the chapter on attention explains it.",
    fixed="A ghost 64 pixels away, images of 128 pixels that fill the field of view, whole, one a "
    "step, about 300 core-seconds a run.",
    rows=grid(way=list(WAYS), seed=[0]),
    job=job,
    minutes=5,
)
