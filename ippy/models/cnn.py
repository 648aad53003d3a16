"""Plain convolutional networks: three layers, every one at full resolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.base.checks import check_counts, check_window
from ippy.models.base import Model, check_same_channels


class SimpleCNN(Model):
    """conv-ReLU-conv-ReLU-conv: each output pixel sees a 7x7 window (for 3x3 kernels).

    Args:
        in_ch: Channels of the input.
        out_ch: Channels of the output.
        n_filters: Channels in between.
        kernel_size: Side of the kernels in pixels, odd.

    Raises:
        ValueError: ``kernel_size`` is even, so that the output would not have the size of the
            input, or a number is out of range.
    """

    def __init__(self, in_ch: int, out_ch: int, n_filters: int, kernel_size: int = 3) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.conv1 = nn.Conv2d(in_ch, n_filters, kernel_size, padding=padding)
        self.conv2 = nn.Conv2d(n_filters, n_filters, kernel_size, padding=padding)
        self.conv3 = nn.Conv2d(n_filters, out_ch, kernel_size, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_ch, H, W) to (B, out_ch, H, W)."""
        h = F.relu(self.conv1(x), inplace=True)  # (B, n_filters, H, W)
        h = F.relu(self.conv2(h), inplace=True)  # (B, n_filters, H, W)
        return self.conv3(h)  # (B, out_ch, H, W)

    @staticmethod
    def check_settings(*, kernel_size: int, **counts: int) -> None:
        """Check the counts, and that the kernels are odd."""
        check_counts(**counts)
        check_window("kernel_size", kernel_size)


class ResCNN(SimpleCNN):
    """The same three layers as a correction: x + tanh(CNN(x)).

    He et al., Deep residual learning for image recognition, CVPR 2016; as a denoiser: Zhang et al.,
    Beyond a Gaussian denoiser, IEEE TIP 2017.

    Raises:
        ValueError: ``in_ch`` and ``out_ch`` differ, or ``kernel_size`` is even.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        return x + torch.tanh(super().forward(x))

    @staticmethod
    def check_settings(**settings: int) -> None:
        """Check, too, that what is added has the channels of the input."""
        SimpleCNN.check_settings(**settings)
        check_same_channels(settings["in_ch"], settings["out_ch"])


class LossStudyCNN(Model):
    """The small network of the loss-design chapter: SimpleCNN with half the filters."""

    check_settings = staticmethod(check_counts)

    def __init__(self, in_ch: int = 1, out_ch: int = 1, n_filters: int = 16) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(in_ch, n_filters, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_filters, n_filters, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_filters, out_ch, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_ch, H, W) to (B, out_ch, H, W)."""
        return self.net(x)
