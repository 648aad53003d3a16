"""When does attention pay? A ghost's distance says how far away the information lies.

The images have 128 pixels, for a whole image is a step and each step costs a fourth of one of 256.
The ghost is circular: 64 pixels is half of the image, and the farthest there is. All distances
but 4 are multiples of 8, the pixels between two tokens, so that attention can meet them.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms.functional import resize

from ippy.base.paths import data_dir
from ippy.data import MayoDataset, validation_slices
from ippy.problems import ghost
from ippy.studies import Clutter, Job, Study, grid
from ippy.studies.networks import whole_images
from ippy.studies.sight import sight_of_ghost

SIDE = 128
STEPS = {  # about 300 core-seconds each
    "UNet": (2000,),
    "deep UNet": (1900,),
    "GatedUNet": (1750,),
    "hybrid": (1200, 500),
    "ViT + gated": (1800, 330),
    "ViT": (2600,),
}


def bodies(split: str) -> Tensor | MayoDataset:
    """Return whole bodies with air around them, the course's slices reduced to 128 pixels."""
    if split == "validation":
        return resize(validation_slices(), [SIDE], antialias=True)
    return MayoDataset(data_dir() / split, SIDE)


def filled(split: str) -> Clutter:
    """Return images that fill the field of view."""
    return Clutter(split, {"train": 2000, "validation": 32, "test": 64}[split])


KINDS = {"filled": filled, "bodies": bodies}


def sight(kind: str, distance: int, model: nn.Module) -> dict[str, Any]:
    """Measure on the first test images how far a network sees."""
    images = KINDS[kind]("test")
    x = torch.stack([images[index] for index in range(8)])
    y = ghost(distance).measure(x, torch.Generator().manual_seed(0))
    return sight_of_ghost(model, y, distance)


def job(kind: str, distance: int, network: str, seed: int) -> Job:
    """Train a network to remove a ghost from images of a kind, and test it on the other, too."""
    (other,) = KINDS.keys() - {kind}
    return whole_images(
        network,
        STEPS[network],
        ghost(distance),
        side=SIDE,
        seed=seed,
        slices=lambda _: KINDS[kind]("train"),
        validation=partial(KINDS[kind], "validation"),
        test=partial(KINDS[kind], "test"),
        further_tests={other: partial(KINDS[other], "test")},
        measure=partial(sight, kind, distance),
    )


STUDY = Study(
    question="At which distance of the information does attention pay?",
    decides="Where the chapters say that attention pays, and whether a hybrid has both.",
    fixed="Images of 128 pixels, whole, one a step, about 300 core-seconds a run; a ghost of "
    "strength 0.7, 1 % noise.",
    rows=grid(kind=["filled"], distance=[64, 8, 32, 4, 16, 48], network=list(STEPS), seed=[0])
    + grid(
        kind=["bodies"], distance=[64], network=["UNet", "GatedUNet", "hybrid", "ViT"], seed=[0]
    ),
    job=job,
    minutes=5,
)
