"""The inverse problem: an operator and a noise level, and the course's reference task."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ippy.operators import Blurring, LinearOperator
from ippy.problems.noise import check_measurable, check_noise_level, gaussian_noise


@dataclass(frozen=True)
class InverseProblem:
    """Recover x from y = K x + e, where the norm of e is ``noise_level`` times that of K x.

    Raises:
        TypeError: ``operator`` is not a LinearOperator, or ``noise_level`` not a number.
        ValueError: ``noise_level`` is not from 0 to 1000.
    """

    operator: LinearOperator
    noise_level: float

    def __post_init__(self) -> None:
        if not isinstance(self.operator, LinearOperator):
            raise TypeError(
                f"operator is a {type(self.operator).__name__}; expected a LinearOperator, e.g. "
                "Blurring(kernel_type='motion', kernel_size=9)"
            )
        check_noise_level(self.noise_level)

    def measure(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return a noisy measurement of the images x, (B, 1, H, W).

        Args:
            x: True images in [0, 1]; one image alone, (1, H, W) or (H, W), will do.
            generator: Source of the noise; torch's global one if None.

        Raises:
            TypeError: ``x`` is not a tensor of floating-point numbers.
            ValueError: ``x`` has another shape, is empty, or holds NaN or infinity.
        """
        check_measurable("x", x)
        y = self.operator(x)
        return y + gaussian_noise(y, self.noise_level, generator)


def motion_deblurring(noise_level: float = 0.01, motion_angle: float = 20.0) -> InverseProblem:
    """Return the course's reference task: a motion blur of 9 pixels at 20 degrees, 1 % noise.

    Args:
        noise_level: Relative norm of the noise.
        motion_angle: Direction of the blur, in degrees.

    Raises:
        TypeError: An argument is not a number.
        ValueError: An argument is out of range.
    """
    blur = Blurring((256, 256), kernel_type="motion", kernel_size=9, motion_angle=motion_angle)
    return InverseProblem(blur, noise_level)
