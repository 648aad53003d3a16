"""Can one network have both, the reach of attention and the sharpness of convolutions?

The task is that of the study ``range``, and each run has twice the time of one there. In the pair a
ViT learns alone first; then it and a gated U-Net, which gets the ViT's image and the measurement,
learn as one.
"""

from functools import partial
from typing import Any

import torch
from torch import nn

from ippy.problems import ghost
from ippy.studies import Clutter, Job, Study, grid
from ippy.studies.networks import whole_images
from ippy.studies.sight import sight_of_ghost

SIDE = 128
STEPS = {  # about 600 core-seconds each
    "ViT beside gated": (2500, 1200),
    "GatedUNet": (3500,),
    "ViT": (5200,),
}


def sight(distance: int, model: nn.Module) -> dict[str, Any]:
    """Measure on the first test images how far a network sees."""
    images = Clutter("test", 64)
    x = torch.stack([images[index] for index in range(8)])
    y = ghost(distance).measure(x, torch.Generator().manual_seed(0))
    return sight_of_ghost(model, y, distance)


def job(distance: int, network: str, seed: int) -> Job:
    """Train a network to remove a ghost from images that fill the field of view."""
    return whole_images(
        network,
        STEPS[network],
        ghost(distance),
        side=SIDE,
        seed=seed,
        slices=lambda _: Clutter("train", 2000),
        validation=partial(Clutter, "validation", 32),
        test=partial(Clutter, "test", 64),
        measure=partial(sight, distance),
    )


STUDY = Study(
    question="Can one network have the reach of attention and the sharpness of convolutions?",
    decides="Which hybrid the chapters speak of, and what it costs.",
    fixed="A ghost of strength 0.7, images of 128 pixels that fill the field of view, whole, one a "
    "step, about 600 core-seconds a run.",
    rows=grid(distance=[64, 8, 32], network=["ViT beside gated"], seed=[0])
    + grid(distance=[64, 32], network=["ViT"], seed=[0])
    + grid(distance=[8, 32], network=["GatedUNet"], seed=[0]),
    job=job,
    minutes=10,
)
