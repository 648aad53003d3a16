"""Which network removes a ghost from the course's own slices: bodies, of 256 pixels?

On images that fill the field of view convolutions are blind to a far ghost. Bodies have air around
them, which gives the ghost away.
"""

from dataclasses import replace

from ippy.base.paths import weights_dir
from ippy.problems import ghost
from ippy.studies import Job, Study
from ippy.studies.networks import whole_slices

STEPS = {  # about 900 core-seconds each
    "UNet": (1850,),
    "GatedUNet": (2000,),
    "relative ViT beside gated": (1500, 900),
}
SHIPPED = {"relative ViT beside gated": "RelativeHybrid"}


def job(network: str, loss: str, seed: int) -> Job:
    """Train a network with a loss, and so the part of it that learns alone."""
    plain = whole_slices(network, STEPS[network], ghost(), seed)
    parts = (replace(part, recipe=replace(part.recipe, loss=loss)) for part in plain.phases)
    shipped = SHIPPED.get(network) if seed == 0 else None
    return replace(
        plain,
        recipe=replace(plain.recipe, loss=loss),
        phases=tuple(parts),
        ship_to=None if shipped is None else weights_dir() / "ghost" / f"{shipped}.pth",
    )


STUDY = Study(
    question="Which network removes a ghost from the slices of this course?",
    decides="Whether a network with attention is shipped for the task ghost.",
    fixed="Generated bodies, whole slices, one a step, about 900 core-seconds a run; a ghost 64 "
    "pixels away, of strength 0.7, 1 % noise.",
    rows=(
        {"network": "relative ViT beside gated", "loss": "mse", "seed": 0},
        {"network": "GatedUNet", "loss": "mse", "seed": 0},
        {"network": "GatedUNet", "loss": "l1", "seed": 0},
        {"network": "UNet", "loss": "l1", "seed": 0},
    ),
    job=job,
    minutes=15,
)
