"""Networks that use the operator while they work: gradient descent whose steps are learned.

Adler and Öktem, Solving ill-posed inverse problems using iterative deep neural networks, Inverse
Problems 2017; Hammernik et al., Learning a variational network for reconstruction of accelerated
MRI data, MRM 2018. The operator is an input beside the data, so one network serves many.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ippy.base.checks import LARGEST, check_choice, check_counts, check_number, check_type
from ippy.base.images import check_batch, check_match, check_values
from ippy.models.base import Model
from ippy.models.gated import GatedUNet
from ippy.operators import LinearOperator


def data_step(
    x: Tensor,
    y: Tensor,
    K: LinearOperator,
    tau: Tensor | float,
) -> Tensor:
    """Take a step of descent on ||K x - y||^2 / 2, (B, 1, H, W)."""
    return x - tau * K.T(K(x) - y)


class Unrolled(Model):
    """A few steps of gradient descent towards the data, with a small network after each.

    Args:
        in_ch: Channels of the images that it gets: the first is where it starts, and every network
            sees the others.
        steps: Number of steps.
        base_ch: Channels of the small networks, gated U-Nets, at full resolution.
        shared: Whether all steps have the same network.
        tau: First length of the steps, which are learned. Below 2 / ||K||^2 plain descent
            converges; a blur has norm 1.

    Attributes:
        takes_operator: Says to ``fit``, ``evaluate`` and ``restore`` that ``forward`` takes the
            data and the operator, too.

    Raises:
        ValueError: A number is out of range.
    """

    takes_operator = True

    def __init__(
        self,
        in_ch: int = 1,
        steps: int = 4,
        base_ch: int = 12,
        shared: bool = False,
        tau: float = 1.0,
    ) -> None:
        super().__init__()
        self.in_ch = in_ch
        self.tau = nn.Parameter(torch.full((steps,), float(tau)))
        count = 1 if shared else steps
        self.networks = nn.ModuleList(GatedUNet(in_ch + 1, 1, base_ch) for _ in range(count))

    def forward(
        self,
        images: Tensor,
        y: Tensor,
        operator: LinearOperator,
    ) -> Tensor:
        """Map images (B, in_ch, H, W) and data (B, 1, ., .) to (B, 1, H, W)."""
        x, others = images[:, :1], images[:, 1:]
        for k, tau in enumerate(self.tau):
            closer = data_step(x, y, operator, tau)  # (B, 1, H, W)
            network = self.networks[k % len(self.networks)]
            seen = torch.cat([closer, closer - x, others], dim=1)
            x = network(seen)  # (B, 1, H, W)
        return x

    def check_input(self, images: Tensor, y: Tensor, operator: LinearOperator) -> None:
        """Check that the images fit the networks, and that there are data of each.

        Raises:
            TypeError: One of them is something else, or of another type than the weights.
            ValueError: The images have another number of axes or channels, are empty, on another
                device or not finite; or the data are not those of as many images of this size, or
                not finite.
        """
        check_batch("images", images, self.in_ch)
        check_match("images", images, self.tau)
        check_type("operator", operator, LinearOperator, "motion_deblurring().operator")
        check_type("y", y, Tensor, "problem.measure(x)")
        if y.shape[:2] != (len(images), 1):
            raise ValueError(
                f"y has shape {tuple(y.shape)} and images {tuple(images.shape)}; expected one "
                "measurement an image, (B, 1, ., .)"
            )
        check_match("y", y, self.tau)
        check_values("y", y)
        size = tuple(images.shape[2:])
        for name, tensor, expected in (
            ("images", images, operator.in_shape or size),
            ("y", y, operator.out_shape or size),
        ):
            if tuple(tensor.shape[2:]) != tuple(expected):
                raise ValueError(
                    f"{name} has shape {tuple(tensor.shape)}; expected (B, C, {expected[0]}, "
                    f"{expected[1]}) for this operator and images of {size[0]}x{size[1]} pixels"
                )

    @staticmethod
    def check_settings(*, shared: bool, tau: float, **counts: int) -> None:
        """Check that the other settings are counts."""
        check_counts(**counts)
        check_choice("shared", shared, (False, True))
        check_number("tau", tau, least=0, most=LARGEST)


class DataConsistent(nn.Module):
    """Any network, and steps of gradient descent towards the data after it; nothing is learned.

    Args:
        network: Maps (B, C, H, W) to (B, 1, H, W).
        steps: Number of steps.
        tau: Their length, below 2 / ||K||^2; a blur has norm 1.

    Attributes:
        takes_operator: As for :class:`Unrolled`.

    Raises:
        ValueError: A number is out of range.
    """

    takes_operator = True

    def __init__(self, network: nn.Module, steps: int = 1, tau: float = 1.0) -> None:
        super().__init__()
        check_type("network", network, nn.Module, "build('UNet')")
        check_counts(steps=steps)
        self.network, self.steps = network, steps
        self.tau = check_number("tau", tau, least=0, most=LARGEST)

    def forward(self, images: Tensor, y: Tensor, operator: LinearOperator) -> Tensor:
        """Map images (B, C, H, W) and their data (B, 1, ., .) to images (B, 1, H, W)."""
        x = self.network(images)
        for _ in range(self.steps):
            x = data_step(x, y, operator, self.tau)
        return x
