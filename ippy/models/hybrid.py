"""Gated U-Nets that can look anywhere: with transformer blocks inside, or a ViT beside them.

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
PACE = 5  # at which skips open: AdamW moves their weights at a fifth of the rate


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
        h = x + self.waves(x).to(x.dtype)  # (B, C, H, W)
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
    """A gated U-Net with two transformer blocks at 1/8 of the resolution, and skips that open.

    The skips and the input, which are added, have weights that start at 0. So the network first
    learns what passes its coarsest level, and attention has an image to work on before there is a
    way around it. The study ``waking`` compares this with other ways.

    Args:
        in_ch: Channels of the input, the images that are corrected first.
        out_ch: Channels of the output; the first so many of the input are added.
        base_ch: Channels at full resolution; two and four times as many below.

    Raises:
        TypeError: An argument is not a whole number.
        ValueError: A number is out of range, or ``out_ch`` is larger than ``in_ch``.
    """

    def __init__(self, in_ch: int = 1, out_ch: int = 1, base_ch: int = 24) -> None:
        super().__init__(in_ch, out_ch, base_ch)
        self.bottleneck = CoarseAttention(4 * base_ch)
        self.opening = nn.Parameter(torch.zeros(4))  # of the input and the three skips

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_ch, H, W) to (B, out_ch, H, W), for any H and W: the border is continued."""
        w0, w1, w2, w3 = PACE * self.opening
        e1 = self.enc1(self.first(pad_to_multiple(x, 8)))  # (B, c, H, W)
        e2 = self.enc2(self.down1(e1))  # (B, 2c, H/2, W/2)
        e3 = self.enc3(self.down2(e2))  # (B, 4c, H/4, W/4)
        h = self.bottleneck(self.down3(e3))  # (B, 4c, H/8, W/8)
        h = self.dec3(self.up3(h) + w3 * e3)  # (B, 4c, H/4, W/4)
        h = self.dec2(self.up2(h) + w2 * e2)  # (B, 2c, H/2, W/2)
        h = self.dec1(self.up1(h) + w1 * e1)  # (B, c, H, W)
        correction = self.last(h)[..., : x.shape[2], : x.shape[3]]  # (B, out_ch, H, W)
        return w0 * x[:, : correction.shape[1]] + correction


class WithoutSkips(Model):
    """The hybrid before its skips open, made of its weights: all passes the coarsest level.

    Args:
        hybrid: The network.
    """

    def __init__(self, hybrid: HybridUNet) -> None:
        super().__init__()
        n = hybrid
        self.down = nn.Sequential(n.first, n.enc1, n.down1, n.enc2, n.down2, n.enc3, n.down3)
        self.bottleneck = n.bottleneck
        self.up = nn.Sequential(n.up3, n.dec3, n.up2, n.dec2, n.up1, n.dec1, n.last)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        h = self.bottleneck(self.down(pad_to_multiple(x, 8)))  # (B, 4c, H/8, W/8)
        return self.up(h)[..., : x.shape[2], : x.shape[3]]  # (B, C, H, W)


class ViTBesideGated(Model):
    """A gated U-Net that gets the image of a ViT, and beside it the ViT's input itself.

    So the ViT may lose what is fine, and the gated U-Net need not see far. The study ``relative``
    trains the ViT alone at first.

    Args:
        vit: Maps (B, 1, H, W) to (B, 1, H, W).
    """

    def __init__(self, vit: nn.Module) -> None:
        super().__init__()
        self.vit = vit
        self.gated = GatedUNet(in_ch=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1, H, W) to (B, 1, H, W): the image of the ViT, corrected."""
        return self.gated(torch.cat([self.vit(x), x], dim=1))
