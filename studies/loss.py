"""MSE or L1: does one loss suit every family of networks?"""

from dataclasses import replace
from functools import partial

from ippy.models import build
from ippy.studies import Job, Study, grid
from ippy.train import RECIPES

STEPS = {"CNN": 2500, "ResCNN": 2500, "UNet": 1000, "UNetPP": 1000, "ViT": 1000}


def job(model: str, loss: str, seed: int) -> Job:
    """Train a model with its own recipe, shortened, but for the loss."""
    recipe = replace(RECIPES[model], steps=STEPS[model], batch_size=1, loss=loss, seed=seed)
    return Job(partial(build, model, seed=seed), recipe)


STUDY = Study(
    question="Does one loss, MSE or L1, suit every family of networks?",
    decides="That the U-Nets are trained with L1 and the others with MSE.",
    fixed="Generated bodies, one 128-pixel crop a step, the model's own rate, two seeds.",
    rows=grid(model=list(STEPS), loss=["mse", "l1"], seed=[0, 1]),
    job=job,
    minutes=2.5,
)
