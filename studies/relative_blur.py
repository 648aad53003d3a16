"""Does a ViT that is told how far apart its tokens lie restore the blur of this book?"""

from dataclasses import replace
from functools import partial

import numpy as np

from ippy.base.paths import data_dir
from ippy.data import MayoDataset
from ippy.models import seeded
from ippy.models.relative import RelativeHybrid, RelativeViT
from ippy.studies import Drawn, Job, Phase, Study
from ippy.studies.networks import ALONE, NETWORKS
from ippy.train import RECIPES

CROP = 128  # pixels
WINDOW = 7  # tokens each way, of the 15 that a crop has: in the middle of one no window is cut
MAKES = {
    "GatedUNet": NETWORKS["GatedUNet"],
    "ViT": lambda side: NETWORKS["ViT"](256),  # it is told where in a slice a crop lies
    "relative ViT": RelativeViT,
    "relative ViT beside gated": RelativeHybrid,
}
STEPS = {  # about 300 core-seconds each
    "GatedUNet": (1750,),
    "ViT": (2600,),
    "relative ViT": (9000,),
    "relative ViT beside gated": (1500, 1300),
}
"""Of the part that learns alone where there is one, and of the whole."""


def job(network: str, window: int | None, seed: int) -> Job:
    """Train a network on crops of 128 pixels, one a step, and before it a part that has to."""
    recipe = replace(RECIPES["UNet"], crop=CROP, batch_size=1, loss="mse", seed=seed)
    *before, whole = (replace(recipe, steps=count) for count in STEPS[network])
    make = MAKES[network] if window is None else partial(MAKES[network], reach=window)
    return Job(
        partial(seeded, partial(make, CROP), seed),
        whole,
        phases=tuple(Phase(ALONE[network], part) for part in before),
        # The ViT is told where a crop lies, and an image without that is a whole slice to it.
        further_tests={} if network == "ViT" else {"crops": middles},
    )


def middles() -> Drawn:
    """Return the middle of each test slice, as large as the crops of the training."""
    test = MayoDataset(data_dir() / "test")
    start = (test[0].shape[-1] - CROP) // 2
    inside = slice(start, start + CROP)
    return Drawn(np.stack([np.rint(255 * x[0, inside, inside].numpy()) for x in test]).astype("u1"))


WITHOUT = [("GatedUNet", None), ("ViT", None)]
WITH = [(name, w) for name in ("relative ViT", "relative ViT beside gated") for w in (None, WINDOW)]

STUDY = Study(
    question="Does a ViT that is told how far apart its tokens lie restore the blur of this book?",
    decides="How much of what a ViT lacks on the blur it lacks for want of offsets and a window.",
    fixed="Generated bodies, one 128-pixel crop a step, MSE, about 300 core-seconds a run. All but"
    " the ViT are scored on the middles of the test slices too.",
    rows=tuple({"network": name, "window": w, "seed": 0} for name, w in WITH + WITHOUT),
    job=job,
    minutes=5,
)
