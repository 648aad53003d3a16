"""Four U-shaped networks: an encoder that halves the image, a decoder that doubles it, skips.

Sizes in the shape comments: c is ``base_ch``; an image side that is odd is rounded down by the
pooling and brought back to the skip's size by a bilinear resize on the way up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.base.checks import check_counts
from ippy.models.base import Model


def resize_to(x: Tensor, skip: Tensor) -> Tensor:
    """Resize ``x`` (B, C, h, w) bilinearly to the height and width of ``skip``, if they differ."""
    if x.shape[-2:] == skip.shape[-2:]:
        return x
    return F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)


class ConvBlock(nn.Module):
    """Two 3x3 convolutions, a ReLU after each: (B, in_ch, H, W) -> (B, out_ch, H, W)."""

    def __init__(self, in_ch: int, out_ch: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(in_ch, out_ch, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_ch, out_ch, 3, padding=1),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_ch, H, W) to (B, out_ch, H, W)."""
        return self.block(x)


class ResidualBlock(nn.Module):
    """relu(conv2(relu(conv1(x))) + shortcut(x)): (B, in_ch, H, W) -> (B, out_ch, H, W)."""

    def __init__(self, in_ch: int, out_ch: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_ch, out_ch, 3, padding=1)
        self.conv2 = nn.Conv2d(out_ch, out_ch, 3, padding=1)
        self.shortcut = nn.Identity() if in_ch == out_ch else nn.Conv2d(in_ch, out_ch, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_ch, H, W) to (B, out_ch, H, W)."""
        h = self.conv2(F.relu(self.conv1(x), inplace=True))  # (B, out_ch, H, W)
        return F.relu(h + self.shortcut(x), inplace=True)


class AttentionGate(nn.Module):
    """Weight each pixel of the skip by sigmoid(psi(relu(gate_proj(up) + skip_proj(skip)))).

    Oktay et al., Attention U-Net: learning where to look for the pancreas, MIDL 2018.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate_proj = nn.Conv2d(channels, channels, 1)
        self.skip_proj = nn.Conv2d(channels, channels, 1)
        self.psi = nn.Conv2d(channels, 1, 1)

    def weights(self, up: Tensor, skip: Tensor) -> Tensor:
        """Map two (B, C, H, W) to weights in [0, 1], (B, 1, H, W)."""
        h = self.gate_proj(up) + self.skip_proj(skip)  # (B, C, H, W)
        return torch.sigmoid(self.psi(F.relu(h, inplace=True)))

    def forward(self, up: Tensor, skip: Tensor) -> Tensor:
        """Return the gated skip, (B, C, H, W)."""
        return skip * self.weights(up, skip)


class Down(nn.Module):
    """Halve the image by max pooling, then ``block``: (B, C, H, W) -> (B, C', H//2, W//2)."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H//2, W//2)."""
        return self.block(F.max_pool2d(x, 2))


class Up(nn.Module):
    """Double the image, join it to the skip, then ``block``.

    Args:
        in_ch: Channels that come from below; half of them come out.
        block: Maps the ``in_ch`` channels of ``[skip, upsampled]`` to ``in_ch // 2``.
        attn: Gates the skip with the upsampled image before they are joined; None for a plain skip.
    """

    def __init__(self, in_ch: int, block: nn.Module, attn: AttentionGate | None = None) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_ch, in_ch // 2, 2, stride=2)
        self.attn = attn
        self.block = block

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map x (B, in_ch, H/2, W/2) and skip (B, in_ch/2, H, W) to (B, in_ch/2, H, W)."""
        up = resize_to(self.up(x), skip)  # (B, in_ch/2, H, W)
        if self.attn is not None:
            skip = self.attn(up, skip)  # (B, in_ch/2, H, W)
        return self.block(torch.cat([skip, up], dim=1))


class SimpleUNet(Model):
    """U-Net with three poolings and ``base_ch`` to ``8 * base_ch`` channels.

    The output is the image itself: no input is added and there is no output activation.
    Ronneberger et al., U-Net: convolutional networks for biomedical image segmentation, MICCAI
    2015.

    Args:
        in_ch: Channels of the input.
        out_ch: Channels of the output.
        base_ch: Channels at full resolution; they double with every pooling.
    """

    min_size = 8
    check_settings = staticmethod(check_counts)
    block: type[nn.Module] = ConvBlock
    gated = False

    def __init__(self, in_ch: int = 1, out_ch: int = 1, base_ch: int = 32) -> None:
        super().__init__()
        c = base_ch
        self.enc1 = self.block(in_ch, c)
        self.enc2 = Down(self.block(c, 2 * c))
        self.enc3 = Down(self.block(2 * c, 4 * c))
        self.bottleneck = Down(self.block(4 * c, 8 * c))
        self.dec3 = self._up(8 * c)
        self.dec2 = self._up(4 * c)
        self.dec1 = self._up(2 * c)
        self.out_conv = nn.Conv2d(c, out_ch, 1)

    def _up(self, in_ch: int) -> Up:
        attn = AttentionGate(in_ch // 2) if self.gated else None
        return Up(in_ch, self.block(in_ch, in_ch // 2), attn)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_ch, H, W) to (B, out_ch, H, W); H and W from 8 pixels."""
        e1 = self.enc1(x)  # (B, c, H, W)
        e2 = self.enc2(e1)  # (B, 2c, H/2, W/2)
        e3 = self.enc3(e2)  # (B, 4c, H/4, W/4)
        h = self.bottleneck(e3)  # (B, 8c, H/8, W/8)
        h = self.dec3(h, e3)  # (B, 4c, H/4, W/4)
        h = self.dec2(h, e2)  # (B, 2c, H/2, W/2)
        h = self.dec1(h, e1)  # (B, c, H, W)
        return self.out_conv(h)  # (B, out_ch, H, W)


class ResidualUNet(SimpleUNet):
    """U-Net with a residual block at every level, up and down.

    Zhang et al., Road extraction by deep residual U-Net, IEEE GRSL 2018.
    """

    block = ResidualBlock


class AttentionUNet(SimpleUNet):
    """U-Net whose skips pass an attention gate (see :class:`AttentionGate`)."""

    gated = True


class UNetPP(Model):
    """UNet++ with two poolings: nested nodes xi_j, i poolings down and j steps across.

    Zhou et al., UNet++: a nested U-Net architecture for medical image segmentation, DLMIA 2018.

    Args:
        in_ch: Channels of the input.
        out_ch: Channels of the output.
        base_ch: Channels at full resolution; they double with every pooling.
    """

    min_size = 4
    check_settings = staticmethod(check_counts)

    def __init__(self, in_ch: int = 1, out_ch: int = 1, base_ch: int = 32) -> None:
        super().__init__()
        c = base_ch
        self.x0_0 = ConvBlock(in_ch, c)
        self.x1_0 = ConvBlock(c, 2 * c)
        self.x2_0 = ConvBlock(2 * c, 4 * c)
        self.x0_1 = ConvBlock(c + 2 * c, c)
        self.x1_1 = ConvBlock(2 * c + 4 * c, 2 * c)
        self.x0_2 = ConvBlock(2 * c + 2 * c, c)
        self.out_conv = nn.Conv2d(c, out_ch, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_ch, H, W) to (B, out_ch, H, W); H and W from 4 pixels."""
        x0_0 = self.x0_0(x)  # (B, c, H, W)
        x1_0 = self.x1_0(F.max_pool2d(x0_0, 2))  # (B, 2c, H/2, W/2)
        x2_0 = self.x2_0(F.max_pool2d(x1_0, 2))  # (B, 4c, H/4, W/4)
        below = resize_to(x1_0, x0_0)  # (B, 2c, H, W)
        x0_1 = self.x0_1(torch.cat([x0_0, below], dim=1))  # (B, c, H, W)
        below = resize_to(x2_0, x1_0)  # (B, 4c, H/2, W/2)
        x1_1 = self.x1_1(torch.cat([x1_0, below], dim=1))  # (B, 2c, H/2, W/2)
        below = resize_to(x1_1, x0_0)  # (B, 2c, H, W)
        x0_2 = self.x0_2(torch.cat([x0_0, x0_1, below], dim=1))  # (B, c, H, W)
        return self.out_conv(x0_2)  # (B, out_ch, H, W)
