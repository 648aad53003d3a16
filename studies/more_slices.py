"""How many slices does a small, quick ViT need, with places and with offsets?

The study ``data`` asks it of the course's ViT. The networks here, and the ghost, are those of the
study ``relative``. The last runs are long enough for more slices.
"""

from dataclasses import replace

from ippy.studies import Clutter, Job, Study, grid, load


def job(network: str, steps: int, slices: int, seed: int) -> Job:
    """Train a network on so many slices to remove a ghost half an image away."""
    plain = load("relative").job(task="ghost 64", network=network, loss="mse", seed=seed)
    drawn = max(slices, 2000)  # of which so many are taken, as in the study data
    return replace(
        plain,
        recipe=replace(plain.recipe, steps=steps),
        slices=lambda _: Clutter("train", drawn).sample(slices),
    )


NETWORKS = ["relative ViT", "small ViT with places"]

STUDY = Study(
    question="How many slices does a small, quick ViT need, with places and with offsets?",
    decides="Whether it is attention that needs much data, or the way in which it is told places.",
    fixed="A ghost half an image away, whole images of 128 pixels that fill the field of view, "
    "MSE.",
    rows=grid(network=NETWORKS, steps=[2000], slices=[16, 64, 250, 2000], seed=[0])
    + grid(network=["relative ViT"], steps=[16000], slices=[16000], seed=[0]),
    job=job,
    minutes=2,
)
