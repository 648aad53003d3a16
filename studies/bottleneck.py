"""Why is the coarsest level of a long-trained U-Net silent: is it lost, or not needed?"""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.data import validation_slices
from ippy.models import build, seeded
from ippy.models.unet import ConvBlock, Down, SimpleUNet, Up
from ippy.problems import motion_deblurring
from ippy.quality import psnr
from ippy.studies import Job, Study, grid
from ippy.train import RECIPES


class LeakyBlock(ConvBlock):
    """A block whose ReLUs let a tenth of what is negative pass: no channel can fall silent."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_ch, H, W) to (B, out_ch, H, W)."""
        for convolution in self.block[::2]:
            x = F.leaky_relu(convolution(x), 0.1)
        return x


class LeakyUNet(SimpleUNet):
    """The U-Net with leaky ReLUs."""

    block = LeakyBlock


class TwoPoolings(nn.Module):
    """A U-Net with two poolings, and four more convolutions at its bottom for about equal cost."""

    def __init__(self, c: int = 32) -> None:
        super().__init__()
        self.enc1, self.enc2 = ConvBlock(1, c), Down(ConvBlock(c, 2 * c))
        more = [ConvBlock(4 * c, 4 * c) for _ in range(2)]
        self.bottleneck = nn.Sequential(Down(ConvBlock(2 * c, 4 * c)), *more)
        self.dec2 = Up(4 * c, ConvBlock(4 * c, 2 * c))
        self.dec1 = Up(2 * c, ConvBlock(2 * c, c))
        self.out = nn.Conv2d(c, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1, H, W) to (B, 1, H, W)."""
        fine = self.enc1(x)
        middle = self.enc2(fine)
        return self.out(self.dec1(self.dec2(self.bottleneck(middle), middle), fine))


def network(way: str, seed: int) -> nn.Module:
    """Return the network of a way, with weights drawn from a seed."""
    kinds = {"leaky ReLUs": LeakyUNet, "two poolings": TwoPoolings}
    if way not in kinds:
        return build("UNet", seed=seed)
    return seeded(kinds[way], seed)


@torch.no_grad()
def level(model: nn.Module) -> dict[str, float]:
    """Measure the coarsest level: its silent channels, and what the network loses without it."""
    x, problem = validation_slices(), motion_deblurring()
    y = problem.measure(x, torch.Generator().manual_seed(0))
    device = next(model.parameters()).device
    x, y = x.to(device), y.to(device)
    outputs: list[Tensor] = []
    seen = model.bottleneck.register_forward_hook(lambda *parts: outputs.append(parts[2]))
    whole = psnr(model(y).clamp(0, 1), x).mean()
    seen.remove()
    silent = (outputs[0].amax((0, 2, 3)) <= 0).sum()
    zeros = model.bottleneck.register_forward_hook(lambda *parts: torch.zeros_like(parts[2]))
    without = psnr(model(y).clamp(0, 1), x).mean()
    zeros.remove()
    return {
        "channels": outputs[0].shape[1],
        "silent": int(silent),
        "lost_without_db": round(float(whole - without), 4),
    }


WAYS = {
    "as shipped": {},
    "half the rate": {"lr": 1.25e-3},
    "no decay": {"weight_decay": 0.0},
    "four crops a step": {"batch_size": 4, "steps": 1000},
    "AdamW 0.001": {"optimizer": "adamw", "lr": 1e-3},
    "leaky ReLUs": {},
    "two poolings": {},
}


def job(way: str, seed: int) -> Job:
    """Train a U-Net for 4000 crops, long enough for its coarsest level to fall silent."""
    recipe = replace(RECIPES["UNet"], **{"steps": 4000, "seed": seed} | WAYS[way])
    return Job(partial(network, way, seed), recipe, measure=level)


STUDY = Study(
    question="Why is the coarsest level of a long-trained U-Net silent: is it lost, or not needed?",
    decides="What the chapters say of the U-Nets' bottleneck.",
    fixed="Generated bodies, 4000 crops of 128 pixels, the U-Nets' recipe, two seeds.",
    rows=grid(way=list(WAYS), seed=[0, 1]),
    job=job,
    minutes=10,
)
