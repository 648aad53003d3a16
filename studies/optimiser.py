"""What do the optimiser and the pace of the learning rate give?"""

from dataclasses import replace
from functools import partial

from ippy.models import build
from ippy.studies import Job, Study, grid
from ippy.train import RECIPES

STEPS = {"ResCNN": 2500, "UNet": 1000, "GatedUNet": 1000, "ViT": 1000}
VECTORS = {"vector_lr": 0.2}  # AdamW's part of Muon's rate, where a way does not say otherwise
WAYS = {
    "Muon, straight line": {},
    "Muon, cosine": {"schedule": "cosine"},
    "Muon, constant rate": {"schedule": "constant"},
    "Muon, twice the rate": {"times": 2},
    "Muon, half the rate": {"times": 0.5},
    "Muon, AdamW at the whole rate": {"vector_lr": 1.0},
    "AdamW 0.001": {"optimizer": "adamw", "lr": 1e-3},
    "AdamW 0.003": {"optimizer": "adamw", "lr": 3e-3},
    "AdamW 0.001, constant rate": {"optimizer": "adamw", "lr": 1e-3, "schedule": "constant"},
}


def job(model: str, way: str, seed: int) -> Job:
    """Train a model with its own recipe, shortened, but for the optimiser and its pace."""
    own, changes = RECIPES[model], VECTORS | WAYS[way]
    rate = own.lr * changes.pop("times", 1)
    common = {"steps": STEPS[model], "batch_size": 1, "seed": seed, "lr": rate}
    recipe = replace(own, **common | changes)
    return Job(partial(build, model, seed=seed), recipe)


STUDY = Study(
    question="What do the optimiser and the pace of the learning rate give?",
    decides="That all models are trained with Muon, at a rate that falls in a straight line.",
    fixed="Generated bodies, one 128-pixel crop a step, the model's own loss and rate, AdamW's part"
    " at a fifth of it where that is not varied, two seeds.",
    rows=grid(model=list(STEPS), way=list(WAYS), seed=[0, 1]),
    job=job,
    minutes=2.5,
)
