"""How many slices does attention need that is told how far apart its tokens lie?

The study ``data`` asks it of a ViT that learns a vector for each place. Here it is a number for
each offset, and runs are long enough for more slices than there.
"""

from functools import partial

from ippy.problems import ghost
from ippy.studies import Clutter, Job, Study, grid
from ippy.studies.networks import whole_images


def job(steps: int, slices: int, seed: int) -> Job:
    """Train a relative ViT on so many slices to remove a ghost half an image away."""
    drawn = max(slices, 2000)  # of which so many are taken, as in the study data
    return whole_images(
        "relative ViT",
        (steps,),
        ghost(64),
        side=128,
        seed=seed,
        slices=lambda _: Clutter("train", drawn).sample(slices),
        validation=partial(Clutter, "validation", 32),
        test=partial(Clutter, "test", 64),
    )


STUDY = Study(
    question="How many slices does attention need that is told how far apart its tokens lie?",
    decides="Whether it is attention that needs much data, or the way in which it is told places.",
    fixed="A relative ViT, a ghost half an image away, whole images of 128 pixels that fill the "
    "field of view, MSE.",
    rows=grid(steps=[2000], slices=[16, 64, 250, 2000], seed=[0])
    + grid(steps=[16000], slices=[250, 16000], seed=[0]),
    job=job,
    minutes=5,
)
