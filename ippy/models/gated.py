"""A U-shaped network of gated blocks: no attention, no activation but a product.

Chen et al., Simple baselines for image restoration (NAFNet), ECCV 2022, from which the gate, the
norm and the added skips are taken. Its 3 x 3 convolutions are depthwise, these are not. In the
shape comments c is ``base_ch``.
"""

from __future__ import annotations

from torch import Tensor, nn

from ippy.base.checks import check_counts
from ippy.models.base import Model
from ippy.models.patches import pad_to_multiple


class PixelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel: (B, C, H, W) -> (B, C, H, W).

    It knows nothing of the image around a pixel, so a network that was trained on crops meets on
    whole images what it met in training. A norm over the image learns the statistics of crops.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class GatedBlock(nn.Module):
    """x + conv(a * b), where a and b are the halves of conv(norm(x)): (B, C, H, W) -> the same.

    The gate, a product, is all that is not linear here beside the norm.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = PixelNorm(channels)
        self.widen = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.narrow = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        a, b = self.widen(self.norm(x)).chunk(2, dim=1)  # (B, C, H, W) each
        return x + self.narrow(a * b)


class GatedUNet(Model):
    """A U-Net of gated blocks, whose skips are added and whose output corrects its input.

    Args:
        in_ch: Channels of the input, the images that are corrected first.
        out_ch: Channels of the output; the first so many of the input are added.
        base_ch: Channels at full resolution; two and four times as many below.

    Raises:
        TypeError: An argument is not a whole number.
        ValueError: A number is out of range, or ``out_ch`` is larger than ``in_ch``.
    """

    def __init__(self, in_ch: int = 1, out_ch: int = 1, base_ch: int = 24) -> None:
        super().__init__()
        c = base_ch
        self.first = nn.Conv2d(in_ch, c, 3, padding=1)
        self.enc1 = _blocks(1, c)
        self.down1 = nn.Conv2d(c, 2 * c, 2, stride=2)
        self.enc2 = _blocks(1, 2 * c)
        self.down2 = nn.Conv2d(2 * c, 4 * c, 2, stride=2)
        self.enc3 = _blocks(2, 4 * c)
        self.down3 = nn.Conv2d(4 * c, 4 * c, 2, stride=2)
        self.bottleneck = _blocks(2, 4 * c)
        self.up3 = nn.ConvTranspose2d(4 * c, 4 * c, 2, stride=2)
        self.dec3 = _blocks(2, 4 * c)
        self.up2 = nn.ConvTranspose2d(4 * c, 2 * c, 2, stride=2)
        self.dec2 = _blocks(1, 2 * c)
        self.up1 = nn.ConvTranspose2d(2 * c, c, 2, stride=2)
        self.dec1 = _blocks(1, c)
        self.last = nn.Conv2d(c, out_ch, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_ch, H, W) to (B, out_ch, H, W), for any H and W: the border is continued."""
        h = self.first(pad_to_multiple(x, 8))  # (B, c, H, W)
        e1 = self.enc1(h)  # (B, c, H, W)
        e2 = self.enc2(self.down1(e1))  # (B, 2c, H/2, W/2)
        e3 = self.enc3(self.down2(e2))  # (B, 4c, H/4, W/4)
        h = self.bottleneck(self.down3(e3))  # (B, 4c, H/8, W/8)
        h = self.dec3(self.up3(h) + e3)  # (B, 4c, H/4, W/4)
        h = self.dec2(self.up2(h) + e2)  # (B, 2c, H/2, W/2)
        h = self.dec1(self.up1(h) + e1)  # (B, c, H, W)
        correction = self.last(h)[..., : x.shape[2], : x.shape[3]]  # (B, out_ch, H, W)
        return x[:, : correction.shape[1]] + correction

    @staticmethod
    def check_settings(**counts: int) -> None:
        """Check that all settings are counts, and that the input has what is corrected."""
        check_counts(**counts)
        if counts["out_ch"] > counts["in_ch"]:
            raise ValueError(
                f"in_ch is {counts['in_ch']} and out_ch is {counts['out_ch']}; the model adds "
                "its first input channels to its output, so out_ch can't be larger"
            )


def _blocks(count: int, channels: int) -> nn.Sequential:
    return nn.Sequential(*(GatedBlock(channels) for _ in range(count)))
