"""Does MSE wake attention in the hybrids? The study ``waking`` trains them with L1."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from ippy.models.hybrid import WithoutSkips
from ippy.problems import ghost
from ippy.studies import Clutter, Job, Phase, Study, grid
from ippy.studies.networks import NETWORKS, seeded
from ippy.studies.sight import sight_of_ghost
from ippy.train import RECIPES

SIDE, DISTANCE = 128, 64
# What is trained, and the steps, as in waking. Skips that are open are those of the gated U-Net.
WAYS = {
    "hybrid, skips closed first, MSE": ("hybrid", (1500, 900)),
    "hybrid, skips open, MSE": ("gated with attention", (2400,)),
}


def sight(model: nn.Module) -> dict[str, Any]:
    """Measure on the first test images how far a network sees."""
    images = Clutter("test", 64)
    x = torch.stack([images[index] for index in range(8)])
    y = ghost(DISTANCE).measure(x, torch.Generator().manual_seed(0))
    return sight_of_ghost(model, y, DISTANCE)


def job(way: str, seed: int) -> Job:
    """Train a hybrid in a way to remove a ghost."""
    network, steps = WAYS[way]
    recipe = replace(RECIPES["UNet"], crop=None, seed=seed, loss="mse")
    *before, whole = (replace(recipe, steps=count) for count in steps)
    return Job(
        partial(seeded, partial(NETWORKS[network], SIDE), seed),
        whole,
        ghost(DISTANCE),
        slices=lambda _: Clutter("train", 2000),
        validation=partial(Clutter, "validation", 32),
        test=partial(Clutter, "test", 64),
        measure=sight,
        phases=tuple(Phase(WithoutSkips, part) for part in before),
    )


STUDY = Study(
    question="Does MSE wake attention in the hybrids?",
    decides="Whether the chapter on attention may blame skips.",
    fixed="As the study waking, but for the loss.",
    rows=grid(way=list(WAYS), seed=[0]),
    job=job,
    minutes=7,
)
