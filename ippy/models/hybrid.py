"""A gated U-Net that can look anywhere: transformer blocks in place of its coarsest convolutions.

Convolutions restore what is near, and attention brings what is far. In the shape comments c is
``base_ch``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ippy.models.base import Model
from ippy.models.gated import GatedUNet
from ippy.models.patches import pad_to_multiple
from ippy.models.vit import TransformerEncoderBlock

DEPTH, HEADS = 2, 4
SLOWEST = 0.01  # radians from one token to the next; the fastest wave turns by 1


class CoarseAttention(nn.Module):
    """Transformer blocks whose tokens are the pixels of a level: (B, C, H, W) -> the same.

    Waves of the rows and columns are added to the tokens: of two of them a query and a key can
    tell how far apart they lie, on a grid of any size.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        blocks = (TransformerEncoderBlock(channels, HEADS, 2 * channels) for _ in range(DEPTH))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        h = x + self.waves(x)  # (B, C, H, W)
        tokens = self.blocks(h.flatten(2).mT)  # (B, N, C)
        return tokens.mT.reshape(x.shape)

    @staticmethod
    def waves(x: Tensor) -> Tensor:
        """Return sines and cosines of the rows and columns of x (B, C, H, W), as (C, H, W)."""
        C, H, W = x.shape[1:]
        exact = {"dtype": torch.promote_types(x.dtype, torch.float32), "device": x.device}
        rates = SLOWEST ** torch.linspace(0, 1, C // 4, **exact)  # (C/4,) radians
        down = rates[:, None] * torch.arange(H, **exact)  # (C/4, H)
        right = rates[:, None] * torch.arange(W, **exact)  # (C/4, W)
        of_rows = torch.cat([down.sin(), down.cos()])[:, :, None].expand(-1, -1, W)  # (C/2, H, W)
        of_columns = torch.cat([right.sin(), right.cos()])[:, None].expand(-1, H, -1)
        return torch.cat([of_rows, of_columns])


class HybridUNet(GatedUNet):
    """A gated U-Net with two transformer blocks at 1/8 of the resolution.

    The study ``waking`` is about how its attention comes to learn. Convolutions learn faster, and
    where skips carry what those can do, looking further gains little at first. With the skips
    closed (:class:`WithoutSkips`) attention is needed from the beginning.

    Args:
        in_ch: Channels of the input.
        out_ch: Channels of the output, equal to ``in_ch`` because the input is added.
        base_ch: Channels at full resolution; two and four times as many below.

    Raises:
        TypeError: An argument is not a whole number.
        ValueError: A number is out of range, or ``in_ch`` and ``out_ch`` differ.
    """

    def __init__(self, in_ch: int = 1, out_ch: int = 1, base_ch: int = 24) -> None:
        super().__init__(in_ch, out_ch, base_ch)
        self.bottleneck = CoarseAttention(4 * base_ch)


class WithoutSkips(Model):
    """A gated U-Net, of whose weights it is made, with its skips closed.

    What it adds to its input comes through its coarsest level alone.

    Args:
        network: The gated U-Net, or the hybrid.
    """

    def __init__(self, network: GatedUNet) -> None:
        super().__init__()
        n = network
        self.down = nn.Sequential(n.first, n.enc1, n.down1, n.enc2, n.down2, n.enc3, n.down3)
        self.bottleneck = n.bottleneck
        self.up = nn.Sequential(n.up3, n.dec3, n.up2, n.dec2, n.up1, n.dec1, n.last)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        h = self.bottleneck(self.down(pad_to_multiple(x, 8)))  # (B, 4c, H/8, W/8)
        return x + self.up(h)[..., : x.shape[2], : x.shape[3]]  # (B, C, H, W)
