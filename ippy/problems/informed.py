"""Problems that show a network more than a measurement: what the operator makes of it, the noise.

A network that gets a measurement alone has learned one operator. Shown images that were restored
under the operator at hand, it has to learn how such images differ from true ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ippy.base.checks import check_type
from ippy.base.images import check_tensor
from ippy.operators import LinearOperator
from ippy.operators.linear import accumulator
from ippy.problems.smooth_inverse import SmoothInverse
from ippy.problems.tasks import InverseProblem

# Weights of the inverses in units of the noise's power over the signal's: about the best over 0.5
# to 5 % noise, generated and real slices, lengths of 5 to 15 pixels; and one for a smoother image.
BEST, SMOOTH = 8.0, 80.0
EXACTNESS = 0.02  # tolerance of the inverses as a fraction of the noise level
NOISE_UNIT = 3e-3  # standard deviation of 1 % noise on a CT slice, about
LEAST_NOISE = 1e-5  # below it noise counts as this much

INFORMED_CHANNELS = 4
"""Number of images that an :class:`InformedProblem` shows of one measurement."""


@dataclass(frozen=True)
class InformedProblem(InverseProblem):
    """A problem whose networks are shown inverses under its operator, and how strong the noise is.

    How much the inverses are smoothed, and the noise that is shown, are right for an operator that
    gives an image of x's brightness, such as a blur. A tomograph, whose numbers are sums over many
    pixels, would be smoothed too little and shown too little noise.

    Raises:
        ValueError: ``noise_level`` is not from 0 to 1000.
    """

    @torch.no_grad()
    def network_input(self, y: Tensor) -> Tensor:
        """Return two inverses under the operator, the start, and the noise: (B, 4, H, W).

        The first inverse is the best image without learning, the second a smoother one
        (:class:`~ippy.problems.smooth_inverse.SmoothInverse`). They have no gradient.

        Args:
            y: Measurements, (B, 1, ., .) in the operator's shape.

        Raises:
            ValueError: ``y`` has another shape, is empty, or holds NaN or infinity.
        """
        check_tensor("y", y, axes=(4,), expected="(B, 1, ., .)", sizes={1: 1})
        start = self.start(y)
        start, y = start.to(accumulator(start.dtype)), y.to(accumulator(y.dtype))
        inverse = SmoothInverse(self.operator, start.shape[-2:], like=start)
        level = max(self.noise_level, LEAST_NOISE)
        options = {"tolerance": EXACTNESS * level}
        smooth = inverse(y, SMOOTH * level**2, start, **options)
        best = inverse(y, BEST * level**2, smooth, **options)
        sigma = noise_deviation(start, self.noise_level)
        return torch.cat([best, smooth, start, noise_map(start, sigma)], dim=1)


@dataclass(frozen=True)
class MisinformedProblem(InverseProblem):
    """A problem whose solvers believe in another one: it is measured, that one's operator is known.

    Attributes:
        believed: What networks and other methods are given.
    """

    believed: InverseProblem

    def __post_init__(self) -> None:
        super().__post_init__()
        check_type("believed", self.believed, InverseProblem, "motion_deblurring(motion_angle=25)")

    def network_input(self, y: Tensor) -> Tensor:
        """Return what a network would get of measurements if the belief were true, (B, C, H, W)."""
        return self.believed.network_input(y)

    @property
    def known_operator(self) -> LinearOperator:
        """The operator that methods are given: not the one that measures."""
        return self.believed.known_operator


def noise_deviation(y: Tensor, noise_level: float) -> Tensor:
    """Return the standard deviation of the noise in images y, (B, 1, H, W) -> (B, 1, 1, 1).

    Args:
        y: Noisy images.
        noise_level: Norm of the noise as a fraction of the clean image's.
    """
    power = y.square().mean(dim=(1, 2, 3), keepdim=True)
    return noise_level * (power / (1 + noise_level**2)).sqrt()


def noise_map(like: Tensor, sigma: Tensor | float) -> Tensor:
    """Return a channel that says how strong the noise is: 0 at 1 % of a CT slice, then its log.

    Args:
        like: Images (B, ., H, W), whose size and type the channel gets.
        sigma: Standard deviation of the noise, one number, or one an image, (B, 1, 1, 1).

    Returns:
        (B, 1, H, W), constant over each image.
    """
    sigma = torch.as_tensor(sigma, dtype=like.dtype, device=like.device)
    level = sigma.clamp(min=LEAST_NOISE).log() - math.log(NOISE_UNIT)
    return level.expand(like.shape[0], 1, *like.shape[-2:])
