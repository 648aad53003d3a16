"""Is it the loss that keeps attention asleep? The study ``waking`` has L1 where convolutions are.

Two of its ways are repeated with the loss of the other kind.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from ippy.problems import ghost
from ippy.studies import Clutter, Job, Study
from ippy.studies.networks import seeded, vit, vit_then_gated
from ippy.studies.sight import sight_of_ghost
from ippy.train import RECIPES

SIDE, DISTANCE = 128, 64
STEPS = {"ViT + gated as one": 1300, "ViT": 2600}  # as in waking
NETWORKS = {"ViT + gated as one": vit_then_gated, "ViT": vit}


def sight(model: nn.Module) -> dict[str, Any]:
    """Measure on the first test images how far a network sees."""
    images = Clutter("test", 64)
    x = torch.stack([images[index] for index in range(8)])
    y = ghost(DISTANCE).measure(x, torch.Generator().manual_seed(0))
    return sight_of_ghost(model, y, DISTANCE)


def job(network: str, loss: str, seed: int) -> Job:
    """Train a network with a loss to remove a ghost."""
    recipe = replace(RECIPES["UNet"], crop=None, seed=seed, steps=STEPS[network], loss=loss)
    return Job(
        partial(seeded, partial(NETWORKS[network], SIDE), seed),
        recipe,
        ghost(DISTANCE),
        slices=lambda _: Clutter("train", 2000),
        validation=partial(Clutter, "validation", 32),
        test=partial(Clutter, "test", 64),
        measure=sight,
    )


STUDY = Study(
    question="Is it the loss that keeps attention asleep beside convolutions?",
    decides="Whether the chapter on attention may blame convolutions.",
    fixed="As the study waking.",
    rows=(
        {"network": "ViT + gated as one", "loss": "mse", "seed": 0},
        {"network": "ViT", "loss": "l1", "seed": 0},
    ),
    job=job,
    minutes=5,
)
