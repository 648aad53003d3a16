"""Does a ViT find a ghost that takes several looks, if its positions move faster?

The study ``both`` has the same runs with positions at a fifth of the learning rate.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from ippy.problems import ghost
from ippy.studies import Clutter, Job, Study, grid
from ippy.studies.networks import whole_images
from ippy.studies.sight import sight_of_ghost

SIDE, STEPS = 128, 5200  # about 600 core-seconds


def sight(distance: int, model: nn.Module) -> dict[str, Any]:
    """Measure on the first test images how far a network sees."""
    images = Clutter("test", 64)
    x = torch.stack([images[index] for index in range(8)])
    y = ghost(distance).measure(x, torch.Generator().manual_seed(0))
    return sight_of_ghost(model, y, distance)


def job(distance: int, pace: float, seed: int) -> Job:
    """Train a ViT whose positions move at a fraction of the rate of its matrices."""
    plain = whole_images(
        "ViT",
        (STEPS,),
        ghost(distance),
        side=SIDE,
        seed=seed,
        slices=lambda _: Clutter("train", 2000),
        validation=partial(Clutter, "validation", 32),
        test=partial(Clutter, "test", 64),
        measure=partial(sight, distance),
    )
    return replace(plain, recipe=replace(plain.recipe, vector_lr=pace))


STUDY = Study(
    question="Does a ViT find what takes several looks, if its positions move faster?",
    decides="Whether the ViT fails at a distance for want of steps or of looks.",
    fixed="As the study both; 5,200 steps of the ViT alone.",
    rows=grid(distance=[32], pace=[1.0], seed=[0]),
    job=job,
    minutes=10,
)
