"""Does attention pay once it is told how far apart its tokens lie?

The ghosts are those of the study ``range``, and the images there; the other tasks are those of
``sparse_view`` and ``fourier``. A number is learned for each offset of two tokens. The small ViT
with places is the same network, but for a learned vector for each place.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ippy.models import seeded
from ippy.models.relative import RelativeViT
from ippy.models.vit import TransformerEncoderBlock
from ippy.problems import ghost, sparse_view_ct, undersampled_fourier
from ippy.studies import Clutter, Job, Study, grid
from ippy.studies.networks import whole_images, whole_slices
from ippy.studies.sight import sight_of_ghost

SIDE = 128
STEPS = {  # about 300 core-seconds each
    "GatedUNet": (1750,),
    "relative ViT": (9000,),
    "small ViT with places": (9000,),
    "relative ViT beside gated": (1500, 1300),
    "relative as one": (1550,),
}
GLOBAL = {"60 views": sparse_view_ct(), "fourier": undersampled_fourier()}
STEPS_OF_SLICES = {
    "GatedUNet": {"60 views": (470,), "fourier": (550,)},
    "relative ViT beside gated": {"60 views": (500, 270), "fourier": (500, 310)},
}


class Placed(nn.Module):
    """Add a learned vector for each place to the tokens (B, N, d) of a patch embedding."""

    def __init__(self, embed: nn.Module, tokens: int, d: int) -> None:
        super().__init__()
        self.embed, self.patch_size = embed, embed.patch_size
        self.places = nn.Parameter(torch.zeros(1, tokens, d))
        nn.init.trunc_normal_(self.places, std=0.02)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Map (B, C, H, W) to tokens (B, N, d) and their grid."""
        h, grid = self.embed(x)
        return h + self.places, grid


class PlainBlock(TransformerEncoderBlock):
    """A transformer block that is told the grid, and makes nothing of it."""

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Map tokens (B, N, d) to tokens (B, N, d)."""
        return super().forward(x)


def small_vit_with_places(side: int) -> RelativeViT:
    """Return the relative ViT, with places in place of offsets."""
    network = RelativeViT(side)
    network.patch_embed = Placed(network.patch_embed, (side // 8) ** 2, 128)
    network.encoder = nn.ModuleList(PlainBlock(128, 4, 256) for _ in network.encoder)
    return network


def sight(distance: int, model: nn.Module) -> dict[str, Any]:
    """Measure on the first test images how far a network sees."""
    images = Clutter("test", 64)
    x = torch.stack([images[index] for index in range(8)])
    y = ghost(distance).measure(x, torch.Generator().manual_seed(0))
    return sight_of_ghost(model, y, distance)


def of_ghost(distance: int, network: str, seed: int) -> Job:
    """Train a network to remove a ghost from images that fill the field of view."""
    placed = network == "small ViT with places"
    plain = whole_images(
        "relative ViT" if placed else network,
        STEPS[network],
        ghost(distance),
        side=SIDE,
        seed=seed,
        slices=lambda _: Clutter("train", 2000),
        validation=partial(Clutter, "validation", 32),
        test=partial(Clutter, "test", 64),
        measure=partial(sight, distance),
    )
    if not placed:
        return plain
    return replace(plain, model=partial(seeded, partial(small_vit_with_places, SIDE), seed))


def job(task: str, network: str, loss: str, seed: int) -> Job:
    """Train a network with a loss, and so the part of it that learns alone."""
    if task in GLOBAL:
        plain = whole_slices(network, STEPS_OF_SLICES[network][task], GLOBAL[task], seed)
    else:
        plain = of_ghost(int(task.removeprefix("ghost ")), network, seed)
    parts = (replace(part, recipe=replace(part.recipe, loss=loss)) for part in plain.phases)
    return replace(plain, recipe=replace(plain.recipe, loss=loss), phases=tuple(parts))


PAIR = "relative ViT beside gated"

STUDY = Study(
    question="Does attention pay once it is told how far apart its tokens lie?",
    decides="Which hybrid the chapters speak of, and whether attention lacks reach or a guide.",
    fixed="As the studies range, sparse_view and fourier; about 300 core-seconds a run.",
    rows=grid(task=[f"ghost {d}" for d in (64, 8, 32, 48)], network=[PAIR], loss=["mse"], seed=[0])
    + grid(
        task=["ghost 64", "ghost 32", "ghost 8", "ghost 48"],
        network=["relative ViT", "GatedUNet"],
        loss=["mse"],
        seed=[0],
    )
    + grid(
        task=["ghost 64", "ghost 32", "ghost 8", "ghost 48"],
        network=["small ViT with places"],
        loss=["mse"],
        seed=[0],
    )
    + grid(
        task=["ghost 4", "ghost 16"],
        network=[PAIR, "relative ViT", "GatedUNet", "small ViT with places"],
        loss=["mse"],
        seed=[0],
    )
    + grid(task=["ghost 64"], network=[PAIR], loss=["l1"], seed=[0])
    + grid(task=["ghost 64"], network=["relative as one"], loss=["mse"], seed=[0])
    + grid(task=list(GLOBAL), network=[PAIR, "GatedUNet"], loss=["mse"], seed=[0])
    + grid(task=["ghost 64", "ghost 8", "ghost 32"], network=[PAIR], loss=["mse"], seed=[1]),
    job=job,
    minutes=5,
)
