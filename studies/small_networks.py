"""How should the many crops of a small network's training be dealt out to its steps?"""

from dataclasses import replace
from functools import partial

from ippy.models import build
from ippy.studies import Job, Study, grid
from ippy.train import RECIPES

WAYS = {  # 6000 crops each
    "three crops": {"steps": 2000, "batch_size": 3, "lr": 5e-3},
    "three crops, twice the rate": {"steps": 2000, "batch_size": 3, "lr": 1e-2},
    "one crop": {"steps": 6000, "batch_size": 1, "lr": 5e-3},
    "one crop, twice the rate": {"steps": 6000, "batch_size": 1, "lr": 1e-2},
    "one crop, half the rate": {"steps": 6000, "batch_size": 1, "lr": 2.5e-3},
}


def job(way: str, seed: int) -> Job:
    """Train the residual CNN with its own recipe, shortened, but for its steps and its rate."""
    recipe = replace(RECIPES["ResCNN"], seed=seed, **WAYS[way])
    return Job(partial(build, "ResCNN", seed=seed), recipe)


STUDY = Study(
    question="How should the many crops of a small network's training be dealt out to its steps?",
    decides="The crops of a step and the rate of the CNN and the ResCNN.",
    fixed="ResCNN, generated bodies, 6000 crops of 128 pixels, AdamW's part at the whole rate,"
    " two seeds.",
    rows=grid(seed=[0, 1], way=list(WAYS)),
    job=job,
    minutes=3.5,
)
