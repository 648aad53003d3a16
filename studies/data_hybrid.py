"""Does a hybrid need more different slices than its parts do, on the blur of this book?

The runs are those of the study ``data``: the same slices, crops and number of steps. A window of
seven tokens each way is all that such a crop has, so the attention is the same on whole slices.
"""

from dataclasses import replace
from functools import partial

from ippy.models import seeded
from ippy.models.relative import RelativeHybrid
from ippy.studies import Job, Phase, Study, grid, load
from ippy.studies.networks import ALONE


def job(network: str, slices: int, seed: int) -> Job:
    """Train a hybrid's ViT alone for half of the steps, then the whole as the U-Net is there."""
    unet = load("data").job(task="blur", network="UNet", slices=slices, seed=seed)
    whole = replace(unet.recipe, steps=unet.recipe.steps // 2)
    alone = Phase(ALONE[network], replace(whole, loss="mse"))
    model = partial(seeded, partial(RelativeHybrid, whole.crop), seed)
    return replace(unet, model=model, recipe=whole, phases=(alone,))


STUDY = Study(
    question="How many different slices does a hybrid need, on the blur?",
    decides="Whether the book may say that a hybrid needs more data than a U-Net.",
    fixed="As the blur of the study data: 16,000 steps, one crop of 64 pixels each.",
    rows=grid(
        network=["relative ViT beside gated"],
        slices=[16, 64, 250, 1000, 4000, 16000],
        seed=[0],
    ),
    job=job,
    minutes=20,
)
