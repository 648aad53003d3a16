"""How many different slices does a network need, and does a Transformer need more of them?

A run of 2,000 steps sees 2,000 slices at most: with so many each is seen once, and no run of that
length could tell more of them apart.
"""

from dataclasses import replace
from functools import partial

from ippy.models import build
from ippy.problems import ghost
from ippy.studies import Clutter, Generated, Job, Study, grid
from ippy.studies.networks import whole_images
from ippy.train import RECIPES

ALL, STEPS = 2000, 2000
NUMBERS = [16, 64, 250, ALL]


def job(task: str, network: str, slices: int, seed: int) -> Job:
    """Train a network on so many slices, of as many bodies as possible, for equally many steps."""
    if task == "ghost":
        return whole_images(
            network,
            (STEPS,) if network == "ViT" else (1000, STEPS - 1000),
            ghost(64),
            side=128,
            seed=seed,
            slices=lambda _: Clutter("train", ALL).sample(slices),
            validation=partial(Clutter, "validation", 32),
            test=partial(Clutter, "test", 64),
        )
    recipe = replace(RECIPES[network], steps=STEPS, seed=seed)
    return Job(
        partial(build, network, seed=seed),
        recipe,
        slices=lambda _: Generated(250, ALL // 250).sample(slices),
    )


STUDY = Study(
    question="How many different slices does a network need?",
    decides="Whether the book may say that Transformers need more data.",
    fixed="2,000 steps: blur on crops of 128 pixels, a ghost half an image away on whole images of "
    "128 pixels that fill the field of view.",
    rows=grid(task=["blur"], network=["UNet", "ViT"], slices=NUMBERS, seed=[0])
    + grid(task=["ghost"], network=["ViT"], slices=NUMBERS, seed=[0])
    + grid(task=["ghost"], network=["hybrid"], slices=[64, ALL], seed=[0]),
    job=job,
    minutes=5,
)
