"""How many different slices does a network need, and does a Transformer need more of them?

With 16,000 steps of one slice each, 16,000 slices are seen once each: a run of that length could
not tell more of them apart.
"""

from dataclasses import replace
from functools import partial

from ippy.models import build
from ippy.problems import ghost
from ippy.studies import Clutter, Generated, Job, Study, grid, load
from ippy.studies.networks import ALONE, whole_images
from ippy.train import RECIPES

STEPS = ALL = 16000
NUMBERS = [16, 64, 250, 1000, 4000, ALL]


def of_blur(network: str, seed: int) -> Job:
    """Train a network by its recipe, but for the steps and the size of a crop."""
    recipe = replace(RECIPES[network], steps=STEPS, crop=64, seed=seed)
    return Job(partial(build, network, seed=seed), recipe)


def of_ghost(network: str, seed: int) -> Job:
    """Train a network as the study ``relative`` does, with one loss for all and more steps."""
    if network not in ("UNet", "ViT"):
        plain = load("relative").job(task="ghost 64", network=network, loss="mse", seed=seed)
    else:
        plain = whole_images(
            network,
            (STEPS,),
            ghost(64),
            side=128,
            seed=seed,
            validation=partial(Clutter, "validation", 32),
            test=partial(Clutter, "test", 64),
        )
    # A part that learns alone has half of the steps.
    steps = STEPS // 2 if network in ALONE else STEPS
    parts = (replace(part, recipe=replace(part.recipe, steps=steps)) for part in plain.phases)
    recipe = replace(plain.recipe, steps=steps, loss="mse")
    return replace(plain, recipe=recipe, phases=tuple(parts))


def job(task: str, network: str, slices: int, seed: int) -> Job:
    """Train a network on so many slices, of as many bodies as possible, for equally many steps."""
    if task == "blur":
        plain, drawn = of_blur(network, seed), partial(Generated, ALL // 8, 8)
    else:
        plain, drawn = of_ghost(network, seed), partial(Clutter, "train", ALL)
    return replace(plain, slices=lambda _: drawn().sample(slices))


STUDY = Study(
    question="How many different slices does a network need?",
    decides="Whether the book may say that Transformers need more data.",
    fixed="16,000 steps: blur on crops of 64 pixels, a ghost half an image away on whole images of "
    "128 pixels that fill the field of view.",
    rows=grid(task=["blur"], network=["UNet", "ViT"], slices=NUMBERS, seed=[0])
    + grid(task=["blur"], network=["GatedUNet"], slices=[16, 250, ALL], seed=[0])
    + grid(
        task=["ghost"],
        network=[
            "relative ViT",
            "small ViT with places",
            "ViT",
            "UNet",
            "relative ViT beside gated",
        ],
        slices=NUMBERS,
        seed=[0],
    )
    + grid(task=["ghost"], network=["relative ViT"], slices=NUMBERS, seed=[1])
    + grid(task=["ghost"], network=["small ViT with places"], slices=[16, 250, ALL], seed=[1]),
    job=job,
    minutes=15,
)
