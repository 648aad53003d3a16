"""The inverse problem: an operator and a noise level; and the course's tasks, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ippy.base.checks import (
    LARGEST_COUNT,
    check_choice,
    check_generator,
    check_integer,
    check_type,
)
from ippy.operators import (
    Blurring,
    FourierSampling,
    Ghost,
    LinearOperator,
    ParallelBeam,
    random_lines,
)
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
        object.__setattr__(self, "noise_level", check_noise_level(self.noise_level))

    def measure(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return a noisy measurement of the images x, (B, 1, H, W) -> (B, 1, ., .).

        Args:
            x: True images in [0, 1]; one image alone, (1, H, W) or (H, W), will do.
            generator: Source of the noise; torch's global one if None.

        Raises:
            ValueError: ``x`` has another shape, is empty, or holds NaN or infinity.
        """
        check_measurable("x", x)
        check_generator(generator)
        y = self.operator(x)
        return y + scaled_noise(y, self.noise_level, generator)

    def start(self, y: Tensor) -> Tensor:
        """Return the images that a network gets of measurements, (B, 1, H, W).

        That is y itself where a measurement is an image; else what it gives without further
        knowledge: the filtered back-projection, the zero-filled image.

        Args:
            y: Measurements, (B, 1, ., .) in the operator's shape; one alone, (1, ., .) or (., .),
                will do.

        Raises:
            ValueError: ``y`` has another shape, is empty, or holds NaN or infinity.
        """
        check_measurable("y", y)
        return self.operator.direct(y)

    def network_input(self, y: Tensor) -> Tensor:
        """Return what a network gets of measurements, (B, C, H, W).

        Here that is the one image of ``start``. A problem that shows its networks more stacks
        channels; the first is the image that they correct.

        Args:
            y: Measurements, (B, 1, ., .) in the operator's shape.

        Raises:
            ValueError: ``y`` has another shape, is empty, or holds NaN or infinity.
        """
        return self.start(y)

    @property
    def known_operator(self) -> LinearOperator:
        """The operator that methods are given; here the one that measures."""
        return self.operator

    def draw(self, rng: np.random.Generator) -> InverseProblem:
        """Return the problem of one training pair: this one. A family draws one of its members."""
        return self


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


def sparse_view_ct(noise_level: float = 0.01, views: int = 60) -> InverseProblem:
    """Return tomography of 256x256 slices from few parallel-beam views, with 1 % noise.

    Args:
        noise_level: Relative norm of the noise.
        views: Number of angles, evenly spaced over 180 degrees.

    Raises:
        ValueError: An argument is out of range.
    """
    return InverseProblem(ParallelBeam(256, views), noise_level)


def undersampled_fourier(noise_level: float = 0.01, factor: float = 4.0) -> InverseProblem:
    """Return MRI of 256x256 slices from a part of the lines, with 1 % noise.

    The lines are drawn once and for all: 20 in the centre, the others at random.

    Args:
        noise_level: Relative norm of the noise.
        factor: How many times fewer lines than 256, from 1 to about 13.

    Raises:
        ValueError: An argument is out of range.
    """
    generator = torch.Generator().manual_seed(0)
    mask = random_lines((256, 256), factor=factor, generator=generator)
    return InverseProblem(FourierSampling(mask), noise_level)


def ghost(distance: int = 64, noise_level: float = 0.01, strength: float = 0.7) -> InverseProblem:
    """Return the removal of a ghost, whose distance says how far away information lies.

    Args:
        distance: How far below the image its ghost is, in pixels.
        noise_level: Relative norm of the noise.
        strength: Brightness of the ghost as a fraction of the image's, from 0 to 1.

    Raises:
        ValueError: An argument is out of range.
    """
    distance = check_integer("distance", distance, least=-LARGEST_COUNT, most=LARGEST_COUNT)
    return InverseProblem(Ghost(distance, strength), noise_level)


REFERENCE = "motion_deblurring"

TASKS: dict[str, Callable[..., InverseProblem]] = {
    REFERENCE: motion_deblurring,
    "sparse_view_ct": sparse_view_ct,
    "undersampled_fourier": undersampled_fourier,
    "ghost": ghost,
}
"""The course's tasks by name, the reference task first; each can be called without arguments."""


def make_task(name: str) -> InverseProblem:
    """Return the task of a name, with its usual settings.

    Raises:
        ValueError: There is none.
    """
    return TASKS[check_choice("task", name, tuple(TASKS))]()
