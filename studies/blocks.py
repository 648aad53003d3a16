"""Which parts of a gated U-Net earn its decibels?"""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.models import build, seeded
from ippy.models.patches import pad_to_multiple
from ippy.models.vit import TransformerEncoderBlock
from ippy.studies import Job, Study, grid
from ippy.train import RECIPES


class PixelNorm(nn.Module):
    """LayerNorm over the channels of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


NORMS = {"pixel": PixelNorm, "image": partial(nn.GroupNorm, 1), "none": nn.Identity}


class Block(nn.Module):
    """x + conv(f(conv(norm(x)))), f a product of two halves (a gate), or a ReLU."""

    def __init__(self, c: int, *, norm: str, gate: bool, residual: bool, depthwise: bool) -> None:
        super().__init__()
        self.norm, self.gate, self.residual = NORMS[norm](c), gate, residual
        if depthwise:  # as in NAFNet: a pointwise and a depthwise convolution, a pointwise one
            self.widen = nn.Sequential(
                nn.Conv2d(c, 2 * c, 1), nn.Conv2d(2 * c, 2 * c, 3, padding=1, groups=2 * c)
            )
            self.narrow = nn.Conv2d(c, c, 1)
        else:
            self.widen = nn.Conv2d(c, 2 * c if gate else 3 * c // 2, 3, padding=1)
            self.narrow = nn.Conv2d(c if gate else 3 * c // 2, c, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        h = self.widen(self.norm(x))
        if self.gate:
            a, b = h.chunk(2, dim=1)
            h = a * b
        else:
            h = F.relu(h)
        h = self.narrow(h)
        return x + h if self.residual else h


class Tokens(nn.Module):
    """A transformer block on the pixels of a coarse level."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.block = TransformerEncoderBlock(c, 4, 2 * c)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        return self.block(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)


class Variant(nn.Module):
    """The gated U-Net with one part exchanged."""

    CHANNELS, DEPTHS = (24, 48, 96, 96), (1, 1, 2, 2)

    def __init__(
        self,
        *,
        norm: str = "pixel",
        gate: bool = True,
        residual: bool = True,
        depthwise: bool = False,
        attention: bool = False,
        concatenate: bool = False,
        add_input: bool = True,
    ) -> None:
        super().__init__()
        settings = {"norm": norm, "gate": gate, "residual": residual, "depthwise": depthwise}
        self.add_input = add_input
        c = self.CHANNELS

        def blocks(level: int) -> nn.Sequential:
            return nn.Sequential(*(Block(c[level], **settings) for _ in range(self.DEPTHS[level])))

        self.first = nn.Conv2d(1, c[0], 3, padding=1)
        self.down = nn.ModuleList(blocks(level) for level in range(3))
        self.reduce = nn.ModuleList(nn.Conv2d(c[k], c[k + 1], 2, stride=2) for k in range(3))
        self.bottom = nn.Sequential(Tokens(c[3]), Tokens(c[3])) if attention else blocks(3)
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(c[k + 1], c[k], 2, stride=2) for k in range(3)
        )
        self.join = nn.ModuleList(
            nn.Conv2d(2 * c[k], c[k], 1) if concatenate else nn.Identity() for k in range(3)
        )
        self.concatenate = concatenate
        self.up = nn.ModuleList(blocks(level) for level in range(3))
        self.last = nn.Conv2d(c[0], 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1, H, W) to (B, 1, H, W)."""
        h, skips = self.first(pad_to_multiple(x, 8)), []
        for blocks, reduce in zip(self.down, self.reduce, strict=True):
            h = blocks(h)
            skips.append(h)
            h = reduce(h)
        h = self.bottom(h)
        for level in (2, 1, 0):
            up = self.enlarge[level](h)
            skip = skips[level]
            h = self.join[level](torch.cat([skip, up], 1)) if self.concatenate else skip + up
            h = self.up[level](h)
        out = self.last(h)[..., : x.shape[2], : x.shape[3]]
        return x + out if self.add_input else out


VARIANTS = {
    "gated": {},
    "ReLU in place of the gate": {"gate": False},
    "no norm": {"norm": "none"},
    "norm over the image": {"norm": "image"},
    "blocks without shortcut": {"residual": False},
    "skips concatenated": {"concatenate": True},
    "input not added": {"add_input": False},
    "depthwise blocks": {"depthwise": True},
    "attention at the bottom": {"attention": True},
}


class Added(nn.Module):
    """A network whose output is a correction of its input."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1, H, W) to (B, 1, H, W)."""
        return x + self.network(x)


def model(network: str, seed: int) -> nn.Module:
    """Return a network with weights drawn from a seed."""
    if network == "UNet":
        return build("UNet", seed=seed)
    if network == "UNet + input":
        return Added(build("UNet", seed=seed))
    return seeded(partial(Variant, **VARIANTS[network]), seed)


def job(network: str, seed: int) -> Job:
    """Train a network for 1000 steps by the U-Nets' recipe."""
    recipe = replace(RECIPES["UNet"], steps=1000, seed=seed)
    return Job(partial(model, network, seed), recipe)


STUDY = Study(
    question="Which parts of a gated U-Net earn its decibels?",
    decides="What residual blocks, gates, norms and added skips give at equal steps.",
    fixed="Generated bodies, one 128-pixel crop a step, the U-Nets' recipe, 1000 steps, two seeds.",
    rows=grid(network=[*VARIANTS, "UNet", "UNet + input"], seed=[0, 1]),
    job=job,
    minutes=3,
)
