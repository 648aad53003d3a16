"""The networks of the studies of attention, and how each is trained there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from operator import attrgetter, itemgetter
from typing import Any

from torch import Tensor, nn

from ippy.base.paths import data_dir
from ippy.data import MayoDataset
from ippy.models import seeded
from ippy.models.gated import GatedUNet
from ippy.models.hybrid import CoarseAttention, HybridUNet, ViTBesideGated, WithoutSkips
from ippy.models.relative import RelativeHybrid, RelativeViT
from ippy.models.unet import ConvBlock, Down, SimpleUNet, Up
from ippy.models.vit import ViTReconstructor
from ippy.problems import InverseProblem
from ippy.quality import evaluate
from ippy.studies.definition import Job, Phase
from ippy.train import RECIPES


class DeepUNet(nn.Module):
    """A U-Net with four poolings, narrower than the one with three: with as many weights."""

    def __init__(self) -> None:
        super().__init__()
        levels = list(pairwise(16 * 2**level for level in range(5)))
        self.first = ConvBlock(1, 16)
        self.down = nn.ModuleList(Down(ConvBlock(a, b)) for a, b in levels)
        self.up = nn.ModuleList(Up(b, ConvBlock(b, a)) for a, b in reversed(levels))
        self.out = nn.Conv2d(16, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1, H, W) to (B, 1, H, W)."""
        h, skips = self.first(x), []
        for down in self.down:
            skips.append(h)
            h = down(h)
        for up in self.up:
            h = up(h, skips.pop())
        return self.out(h)


def vit(side: int) -> ViTReconstructor:
    """Return the course's ViT for images of so many pixels."""
    return ViTReconstructor(img_size=side)


def vit_then_gated(side: int) -> nn.Sequential:
    """Return a ViT whose image a gated U-Net corrects."""
    return nn.Sequential(vit(side), GatedUNet())


def gated_with_attention(side: int) -> GatedUNet:
    """Return a gated U-Net with transformer blocks in place of its coarsest convolutions."""
    network = GatedUNet()
    network.bottleneck = CoarseAttention(96)
    return network


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "UNet": lambda side: SimpleUNet(),
    "deep UNet": lambda side: DeepUNet(),
    "GatedUNet": lambda side: GatedUNet(),
    "hybrid": lambda side: HybridUNet(),
    "hybrid as one": lambda side: HybridUNet(),  # without a part that learns alone
    "gated with attention": gated_with_attention,
    "ViT + gated": vit_then_gated,
    "ViT beside gated": lambda side: ViTBesideGated(vit(side)),
    "ViT": vit,
    "relative ViT": RelativeViT,
    "relative ViT beside gated": RelativeHybrid,
    "relative as one": RelativeHybrid,  # without a part that learns alone
}
"""By name, what makes a network for images of so many pixels a side."""

ALONE: dict[str, Callable[[nn.Module], nn.Module]] = {
    "hybrid": WithoutSkips,
    "ViT + gated": itemgetter(0),
    "ViT beside gated": attrgetter("vit"),
    "relative ViT beside gated": attrgetter("vit"),
}
"""The part of a network that learns alone at first, so that its attention has to learn."""

MSE = tuple(name for name in NETWORKS if "ViT" in name)  # what is a ViT at first


def whole_images(
    network: str,
    steps: tuple[int, ...],
    problem: InverseProblem,
    *,
    side: int,
    seed: int,
    **own: Any,
) -> Job:
    """Return the job that trains a network on whole images, one a step.

    Args:
        network: One of :data:`NETWORKS`.
        steps: How many, of the part that learns alone where there is one, and of the whole.
        problem: What it learns to undo.
        side: Of the images, in pixels.
        seed: Of the weights, the order and the noise.
        own: More of the job, such as its slices.
    """
    recipe = replace(RECIPES["UNet"], crop=None, seed=seed, steps=steps[-1])
    first = replace(recipe, steps=steps[0], loss="mse" if network in MSE else "l1")
    model = partial(seeded, partial(NETWORKS[network], side), seed)
    if network in ALONE:
        return Job(model, recipe, problem, phases=(Phase(ALONE[network], first),), **own)
    return Job(model, first, problem, **own)


def whole_slices(network: str, steps: tuple[int, ...], problem: InverseProblem, seed: int) -> Job:
    """Return the job that trains a network on whole slices of bodies, scored slice by slice too."""
    measure = partial(psnr_of_each, problem=problem)
    return whole_images(network, steps, problem, side=256, seed=seed, measure=measure)


def psnr_of_each(model: nn.Module, problem: InverseProblem) -> dict[str, list[float]]:
    """Return the PSNR of each of the course's test slices, in dB, for comparisons in pairs."""
    test = MayoDataset(data_dir() / "test")
    table = evaluate({"model": model}, test, problem, metrics=["psnr"])
    return {"psnr": table.psnr[table.model == "model"].round(4).tolist()}
