"""How far apart are models that differ by their seed alone?"""

from dataclasses import replace
from functools import partial

from ippy.models import build
from ippy.studies import Job, Study, grid
from ippy.train import RECIPES


def job(model: str, seed: int) -> Job:
    """Train a model with its own recipe, whole."""
    recipe = replace(RECIPES[model], seed=seed)
    return Job(partial(build, model, seed=seed), recipe)


STUDY = Study(
    question="How far apart are models that differ by their seed alone?",
    decides="Which differences between models are larger than chance.",
    fixed="The model's own recipe, all its steps; seed 0 gives the shipped weights.",
    rows=grid(seed=[0, 1, 2], model=list(RECIPES)),
    job=job,
    minutes=20,
)
