"""What wakes attention beside convolutions? Ways to train a hybrid on a ghost half an image away.

Suspected is that tokens have to carry the image before attention can move it, and that little is
gained by carrying it where the input is added to the output anyway: of pixels that are independent
and alike, y = (x + 0.7 x') / 1.7 alone tells 3 % of the variance of x - y, which is to be added.
What convolutions take of this gain is lost to the tokens. Where the input is not added, and skips
are closed, all is to be gained by carrying it.

The study ``range`` has the same task, and there the ViT alone, and the ViT that learns alone before
gated blocks correct it.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ippy.models.gated import GatedUNet
from ippy.models.hybrid import PACE, CoarseAttention, HybridUNet, WithoutSkips
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


def open_hybrid() -> HybridUNet:
    """Return the hybrid with skips that are open from the start."""
    hybrid = HybridUNet()
    nn.init.constant_(hybrid.opening, 1 / PACE)
    return hybrid


class WithInput(WithoutSkips):
    """The hybrid without its skips, but for the input, which is added."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1, H, W) to (B, 1, H, W)."""
        return x + super().forward(x)


class WithoutInput(nn.Module):
    """A ViT that gives the image itself, not what is to be added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.network = vit(SIDE)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1, H, W) to (B, 1, H, W)."""
        return self.network(x) - x


def bare_vit_then_gated() -> nn.Sequential:
    """Return a ViT that has to give the image itself, and a gated U-Net that corrects that."""
    return nn.Sequential(WithoutInput(), GatedUNet())


def vit_then_nothing() -> nn.Sequential:
    """Return a ViT whose image gated blocks leave as it is, at the start."""
    network = vit_then_gated(SIDE)
    nn.init.zeros_(network[1].last.weight)
    nn.init.zeros_(network[1].last.bias)
    return network


# What is trained, the steps of about 400 core-seconds, and what differs from the recipe of others.
WAYS = {
    "hybrid, skips closed first": (HybridUNet, (1500, 900), {}),
    "hybrid, skips that open": (HybridUNet, (2400,), {}),
    "ViT + gated as one, input not added": (bare_vit_then_gated, (1300,), {}),
    "ViT, input not added": (WithoutInput, (2600,), {"loss": "mse"}),
    "hybrid, skips open": (open_hybrid, (2400,), {}),
    "ViT + gated as one": (partial(vit_then_gated, SIDE), (1300,), {}),
    "hybrid, skips closed first, input added": (HybridUNet, (1500, 900), {}),
    "hybrid, skips closed first, no positions": (HybridWithoutWaves, (1500, 900), {}),
    "ViT + gated as one, gated from zero": (vit_then_nothing, (1300,), {}),
    "ViT, positions five times as fast": (
        partial(vit, SIDE),
        (2600,),
        {"loss": "mse", "vector_lr": 1.0},
    ),
}
ALONE = {"hybrid, skips closed first, input added": WithInput}  # others without skips and input


def sight(model: nn.Module) -> dict[str, Any]:
    """Measure on the first test images how far a network sees."""
    images = Clutter("test", 64)
    x = torch.stack([images[index] for index in range(8)])
    y = ghost(DISTANCE).measure(x, torch.Generator().manual_seed(0))
    return sight_of_ghost(model, y, DISTANCE)


def job(way: str, seed: int) -> Job:
    """Train a network in a way to remove a ghost."""
    make, steps, changes = WAYS[way]
    common = {"crop": None, "seed": seed}
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
        phases=tuple(Phase(ALONE.get(way, WithoutSkips), recipe) for recipe in before),
    )


STUDY = Study(
    question="What wakes attention beside convolutions?",
    decides="How hybrids are trained, and how the chapter on attention explains it.",
    fixed="A ghost 64 pixels away, images of 128 pixels that fill the field of view, whole, one a "
    "step, about 400 core-seconds a run.",
    rows=grid(way=list(WAYS), seed=[0]),
    job=job,
    minutes=7,
)
