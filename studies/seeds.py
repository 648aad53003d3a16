"""How far apart are models that differ by their seed alone?"""

from dataclasses import replace
from functools import partial

from ippy.base.paths import weights_dir
from ippy.models import build
from ippy.problems import motion_deblurring
from ippy.studies import Evaluation, Job, Study, grid
from ippy.train import RECIPES
from ippy.weights import load_checkpoint

SHIPPED = "UNetPP"  # the smallest of the good ones: all its seeds are kept, for an ensemble


def job(model: str, seed: int) -> Job | Evaluation:
    """Train a model with its own recipe, whole; those of seed 0 are there already."""
    if seed == 0:
        path = weights_dir() / f"{model}.pth"
        return Evaluation(partial(load_checkpoint, model), motion_deblurring(), weights=path)
    path = weights_dir() / "seeds" / f"{model}-{seed}.pth" if model == SHIPPED else None
    recipe = replace(RECIPES[model], seed=seed)
    return Job(partial(build, model, seed=seed), recipe, ship_to=path)


STUDY = Study(
    question="How far apart are models that differ by their seed alone?",
    decides="Which differences between models are larger than chance.",
    fixed="The model's own recipe, all its steps; seed 0 is the shipped checkpoint.",
    rows=grid(seed=[0, 1, 2], model=list(RECIPES)),
    job=job,
    minutes=25,
)
