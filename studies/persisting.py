"""Does attention pay in tomography and MRI if one persists: more time, other rates, heads, offsets?

The gated U-Net with two transformer blocks at an eighth of the resolution is that of the study
``coarse_attention``, and the one without is that of ``sparse_view`` and ``fourier``. One thing is
changed at a time. The relative ViT is the first part of the relative hybrid in ``relative``, alone.
"""

from dataclasses import replace
from functools import partial

from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from ippy.models import seeded
from ippy.models.gated import GatedUNet
from ippy.models.relative import RelativeBlock
from ippy.models.vit import TransformerEncoderBlock
from ippy.problems import sparse_view_ct, undersampled_fourier
from ippy.studies import Job, Study, grid
from ippy.studies.networks import NETWORKS, whole_slices

TASKS = {"60 views": sparse_view_ct(), "fourier": undersampled_fourier()}
CHANNELS, TOKENS = 96, 32  # at an eighth of the resolution: of a token, and of these a side
STEPS = {  # about 300 core-seconds each
    "GatedUNet": {"60 views": 500, "fourier": 600},
    "gated with attention": {"60 views": 470, "fourier": 550},
    "relative ViT": {"60 views": 1100, "fourier": 1500},
}
LONGER = "three times the steps"


class AThird(nn.Module):
    """Hold a weight three times as large as it is used, so that it moves at a third of the rate."""

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight that is used."""
        return weight / 3

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the weight that is held."""
        return 3 * weight


class OffsetAttention(nn.Module):
    """Transformer blocks that know offsets; their tokens are pixels: (B, C, H, W) -> the same."""

    def __init__(self) -> None:
        super().__init__()
        blocks = (RelativeBlock(CHANNELS, 4, 2 * CHANNELS, TOKENS - 1) for _ in range(2))
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        tokens = x.flatten(2).mT  # (B, N, C)
        for block in self.blocks:
            tokens = block(tokens, tuple(x.shape[2:]))
        return tokens.mT.reshape(x.shape)


def slowly(network: GatedUNet) -> None:
    """Let the matrices of attention move at a third of the rate."""
    for block in network.bottleneck.blocks:
        register_parametrization(block.attn, "in_proj_weight", AThird())
        register_parametrization(block.attn.out_proj, "weight", AThird())


def with_heads(network: GatedUNet) -> None:
    """Give each block twelve heads in place of four."""
    blocks = (TransformerEncoderBlock(CHANNELS, 12, 2 * CHANNELS) for _ in range(2))
    network.bottleneck.blocks = nn.Sequential(*blocks)


def with_offsets(network: GatedUNet) -> None:
    """Tell attention how far apart its tokens lie, in place of where they are."""
    network.bottleneck = OffsetAttention()


CHANGES = {
    "a third of the rate": slowly,
    "twelve heads": with_heads,
    "offsets": with_offsets,
}


def changed(network: str, change: str) -> nn.Module:
    """Return a network with a change."""
    made = NETWORKS[network](256)
    CHANGES[change](made)
    return made


def job(task: str, network: str, change: str, seed: int) -> Job:
    """Train a network on what a direct inversion gives, with a change."""
    steps = STEPS[network][task]
    if change == LONGER:
        return whole_slices(network, (3 * steps,), TASKS[task], seed)
    plain = whole_slices(network, (steps,), TASKS[task], seed)
    if change not in CHANGES:
        return plain
    return replace(plain, model=partial(seeded, partial(changed, network, change), seed))


ATTENTION = "gated with attention"

STUDY = Study(
    question="Does attention pay in tomography and MRI if one persists?",
    decides="Whether the chapter may say that attention was not clearly ahead there.",
    fixed="As the study coarse_attention, but for the change.",
    rows=grid(task=list(TASKS), network=["GatedUNet", ATTENTION], change=[LONGER], seed=[0])
    + grid(task=list(TASKS), network=[ATTENTION], change=list(CHANGES), seed=[0])
    + grid(task=list(TASKS), network=["relative ViT"], change=["none"], seed=[0]),
    job=job,
    minutes=10,
)
