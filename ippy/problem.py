"""The inverse problem: an operator and a noise level, and the course's reference task."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ippy.noise import gaussian_noise
from ippy.operators import Blurring, LinearOperator


@dataclass(frozen=True)
class InverseProblem:
    """Recover x from y = K x + e, where the norm of e is ``noise_level`` times that of K x."""

    operator: LinearOperator
    noise_level: float

    def measure(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return a noisy measurement of the images x, (B, 1, H, W).

        Args:
            x: True images in [0, 1].
            generator: Source of the noise; torch's global one if None.
        """
        y = self.operator(x)
        return y + gaussian_noise(y, self.noise_level, generator)


def motion_deblurring(noise_level: float = 0.01, motion_angle: float = 20.0) -> InverseProblem:
    """Return the course's reference task: a motion blur of 9 pixels at 20 degrees, 1 % noise.

    Args:
        noise_level: Relative norm of the noise.
        motion_angle: Direction of the blur, in degrees.
    """
    blur = Blurring((256, 256), kernel_type="motion", kernel_size=9, motion_angle=motion_angle)
    return InverseProblem(blur, noise_level)
