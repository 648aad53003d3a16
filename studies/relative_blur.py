"""Does a ViT that is told how far apart its tokens lie restore the blur of this book?"""

from dataclasses import replace
from functools import partial

from ippy.models import seeded
from ippy.studies import Job, Phase, Study, grid
from ippy.studies.networks import ALONE, NETWORKS
from ippy.train import RECIPES

# Offsets that no crop has are not told apart: none of them would be learned.
CROP = 128  # pixels
SIDES = {"ViT": 256}  # it has a position for each patch of a slice, and is told where a crop lies
STEPS = {  # about 300 core-seconds each
    "GatedUNet": (1750,),
    "ViT": (2600,),
    "relative ViT": (9000,),
    "relative ViT beside gated": (1500, 1300),
}


def job(network: str, seed: int) -> Job:
    """Train a network on crops of 128 pixels, one a step, and before it a part that has to."""
    recipe = replace(RECIPES["UNet"], crop=CROP, batch_size=1, loss="mse", seed=seed)
    *before, whole = (replace(recipe, steps=count) for count in STEPS[network])
    return Job(
        partial(seeded, partial(NETWORKS[network], SIDES.get(network, CROP)), seed),
        whole,
        phases=tuple(Phase(ALONE[network], part) for part in before),
    )


STUDY = Study(
    question="Does a ViT that is told how far apart its tokens lie restore the blur of this book?",
    decides="How much of what a ViT lacks on the blur it lacks for want of a guide.",
    fixed="Generated bodies, one 128-pixel crop a step, MSE, about 300 core-seconds a run.",
    rows=grid(network=["relative ViT beside gated", "GatedUNet", "relative ViT", "ViT"], seed=[0]),
    job=job,
    minutes=5,
)
