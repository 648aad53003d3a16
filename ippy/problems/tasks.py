"""The inverse problem: an operator and a noise level, and the course's reference task."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ippy.base.checks import check_generator, check_type
from ippy.operators import Blurring, LinearOperator
from ippy.problems.noise import check_measurable, check_noise_level, scaled_noise


@dataclass(frozen=True)
class InverseProblem:
    """Recover x from y = K x + e, where the norm of e is ``noise_level`` times that of K x.

    Raises:
        ValueError: ``noise_level`` is not from 0 to 1000.
    """

    operator: LinearOperator
    noise_level: float

    def __post_init__(self) -> None:
        blur = "Blurring(kernel_type='motion', kernel_size=9)"
        check_type("operator", self.operator, LinearOperator, blur)
        check_noise_level(self.noise_level)

    def measure(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return a noisy measurement of the images x, (B, 1, H, W).

        Args:
            x: True images in [0, 1]; one image alone, (1, H, W) or (H, W), will do.
            generator: Source of the noise; torch's global one if None.

        Raises:
            ValueError: ``x`` has another shape, is empty, or holds NaN or infinity.
        """
        check_measurable("x", x)
        check_generator(generator)
        y = self.operator(x)
        return y + scaled_noise(y, float(self.noise_level), generator)


def motion_deblurring(noise_level: float = 0.01, motion_angle: float = 20.0) -> InverseProblem:
    """Return the course's reference task: a motion blur of 9 pixels at 20 degrees, 1 % noise.

    Args:
        noise_level: Relative norm of the noise.
        motion_angle: Direction of the blur, in degrees.

    Raises:
        ValueError: An argument is out of range.
    """
    blur = Blurring((256, 256), kernel_type="motion", kernel_size=9, motion_angle=motion_angle)
    return InverseProblem(blur, noise_level)
