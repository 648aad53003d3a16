"""How many crops should a step see, and how large should they be?"""

from dataclasses import replace
from functools import partial

from ippy.models import build
from ippy.studies import Job, Study, grid
from ippy.train import RECIPES

WAYS = {  # 250 slices' worth of pixels each
    "one of 128": {"steps": 1000, "batch_size": 1, "crop": 128},
    "two of 128": {"steps": 500, "batch_size": 2, "crop": 128},
    "four of 128": {"steps": 250, "batch_size": 4, "crop": 128},
    "one of 96": {"steps": 1778, "batch_size": 1, "crop": 96},
    "a whole slice": {"steps": 250, "batch_size": 1, "crop": None},
}


def job(crops: str, seed: int) -> Job:
    """Train a U-Net with its own recipe, shortened, but for the crops of a step."""
    recipe = replace(RECIPES["UNet"], seed=seed, **WAYS[crops])
    return Job(partial(build, "UNet", seed=seed), recipe)


STUDY = Study(
    question="How many crops should a step see, and how large should they be?",
    decides="That a step of the U-Nets sees one crop of 128 pixels.",
    fixed="Generated bodies, the UNet's recipe, as many pixels in all as 250 slices have, two"
    " seeds.",
    rows=grid(crops=list(WAYS), seed=[0, 1]),
    job=job,
    minutes=2.5,
)
