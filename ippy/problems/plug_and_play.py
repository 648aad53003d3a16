"""Plug and play: a network that removes noise stands in for the prior of an inverse problem."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ippy.base.checks import check_counts, check_number, check_type
from ippy.base.images import check_tensor, check_values
from ippy.operators import LinearOperator
from ippy.operators.linear import accumulator
from ippy.problems.informed import LEAST_NOISE, noise_deviation, noise_map
from ippy.problems.noise import check_noise_level
from ippy.problems.normal import NormalEquations


class PlugAndPlay(nn.Module):
    r"""Half-quadratic splitting between the data and a denoiser.

    In turn, x moves towards the data and stays near the denoised z, and z is x without its noise:

    .. math::

        x &= \arg\min_x \lVert K x - y\rVert^2 / \sigma^2 + \lVert x - z\rVert^2 / \sigma_k^2 \\
        z &= D(x, \sigma_k)

    The first is a linear system, solved by conjugate gradients. The strength :math:`\sigma_k` falls
    evenly on a logarithmic scale down to the noise of the data. Zhang et al., Plug-and-play image
    restoration with deep denoiser prior, IEEE TPAMI 2022. No blur is trained for: any will do.

    Args:
        operator: K.
        noise_level: Relative norm of the noise, from 0 to 1000.
        denoiser: Maps an image and its noise map, (B, 2, H, W), to the image without noise; what
            :class:`~ippy.problems.RandomNoise` trains.
        steps: Number of rounds.
        strongest: First :math:`\sigma_k`, in grey levels of [0, 1].

    Attributes:
        knows_operator: Says to :func:`ippy.quality.evaluate` that the method takes measurements.

    Raises:
        ValueError: A number is out of range.
    """

    knows_operator = True

    def __init__(
        self,
        operator: LinearOperator,
        noise_level: float,
        denoiser: nn.Module,
        *,
        steps: int = 8,
        strongest: float = 0.05,
    ) -> None:
        super().__init__()
        check_type("operator", operator, LinearOperator, "motion_deblurring().operator")
        check_type("denoiser", denoiser, nn.Module, "GatedUNet(2, 1)")
        check_counts(steps=steps)
        self.operator, self.denoiser, self.steps = operator, denoiser, steps
        self.noise_level = check_noise_level(noise_level)
        self.strongest = check_number("strongest", strongest, least=LEAST_NOISE, most=1)

    @torch.no_grad()
    def forward(self, y: Tensor) -> Tensor:
        """Restore measurements (B, 1, ., .); no gradient."""
        check_tensor("y", y, axes=(4,), expected="(B, 1, ., .)", sizes={1: 1})
        check_values("y", y)
        z = self.operator.direct(y)
        z, y = z.to(accumulator(z.dtype)), y.to(accumulator(y.dtype))
        K = NormalEquations(self.operator, self.operator.in_shape or y.shape[-2:], like=y)
        data, sigma = K.data(y), noise_deviation(y, self.noise_level).clamp(min=LEAST_NOISE)
        for strength in self._strengths(sigma):  # (B, 1, 1, 1)
            near = (sigma / strength).square()
            x = K.solve(data, near, near * z, z)
            z = self.denoiser(torch.cat([x, noise_map(x, strength)], dim=1))
        return z

    def _strengths(self, sigma: Tensor) -> list[Tensor]:
        """Return what the denoiser is told to remove, round by round, (B, 1, 1, 1) each.

        It falls to the noise of the measurement; where that is stronger than the strongest, it
        stays there.
        """
        last = sigma.log()
        first = last.clamp(min=math.log(self.strongest))
        rounds = max(self.steps - 1, 1)
        return [(first + k / rounds * (last - first)).exp() for k in range(self.steps)]
