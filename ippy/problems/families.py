"""Families of problems: each training pair draws one of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ippy.base.checks import check_number, check_type, check_window
from ippy.base.images import check_batch
from ippy.operators import Blurring, LinearOperator
from ippy.problems.informed import InformedProblem, noise_deviation, noise_map
from ippy.problems.noise import LARGEST_LEVEL
from ippy.problems.tasks import InverseProblem, motion_deblurring

LEAST_LEVEL = 1e-6  # of the noise in a family: its logarithm is drawn
LARGEST_ANGLE = 360.0  # degrees


@dataclass(frozen=True)
class RandomBlurs(InformedProblem):
    """Motion blurs of random length and direction with random noise, and the operator shown.

    A pair draws a length, an angle, and the logarithm of a noise level, each evenly. Where one
    problem is needed, as to follow a training run, it is the reference task, or what ``operator``
    and ``noise_level`` say.

    Attributes:
        lengths: Odd lengths of the blur, in pixels.
        angles: Least and largest direction of the blur, in degrees.
        noise_levels: Least and largest relative norm of the noise.

    Raises:
        ValueError: A number is out of range.
    """

    member: ClassVar[type[InverseProblem]] = InformedProblem
    """What a pair's problem is made of."""

    operator: LinearOperator = field(default_factory=lambda: motion_deblurring().operator)
    noise_level: float = 0.01
    lengths: tuple[int, ...] = (5, 7, 9, 11, 13, 15)
    angles: tuple[float, float] = (0.0, 180.0)
    noise_levels: tuple[float, float] = (0.005, 0.05)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_type("lengths", self.lengths, (tuple, list), "(5, 7, 9)")
        if not self.lengths:
            raise ValueError("lengths is empty; expected odd numbers of pixels, such as (5, 7, 9)")
        for k, length in enumerate(self.lengths):
            check_window(f"lengths[{k}]", length)
        _check_range("angles", self.angles, least=-LARGEST_ANGLE, most=LARGEST_ANGLE)
        _check_levels(self.noise_levels)

    def draw(self, rng: np.random.Generator) -> InverseProblem:
        """Return a random member of the family."""
        length, angle = int(rng.choice(self.lengths)), rng.uniform(*self.angles)
        blur = Blurring(kernel_type="motion", kernel_size=length, motion_angle=angle)
        return self.member(blur, _random_level(self.noise_levels, rng))


@dataclass(frozen=True)
class RandomNoise(InverseProblem):
    """Images without a blur and with random noise, whose strength is shown: what a denoiser learns.

    Attributes:
        noise_levels: Least and largest relative norm of the noise; a pair draws its logarithm.

    Raises:
        ValueError: A number is out of range.
    """

    operator: LinearOperator = field(default_factory=lambda: Blurring(kernel=[[1.0]]))
    noise_level: float = 0.05
    noise_levels: tuple[float, float] = (0.003, 0.3)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_levels(self.noise_levels)

    def network_input(self, y: Tensor) -> Tensor:
        """Return the noisy image and the noise map, (B, 2, H, W).

        Raises:
            ValueError: ``y`` is not (B, 1, H, W), is empty, or holds NaN or infinity.
        """
        check_batch("y", y, 1)
        return torch.cat([y, noise_map(y, noise_deviation(y, self.noise_level))], dim=1)

    def draw(self, rng: np.random.Generator) -> RandomNoise:
        """Return the problem with a random noise level."""
        return RandomNoise(self.operator, _random_level(self.noise_levels, rng), self.noise_levels)


def _check_levels(levels: tuple[float, float]) -> None:
    _check_range("noise_levels", levels, least=LEAST_LEVEL, most=LARGEST_LEVEL)


def _check_range(name: str, ends: tuple[float, float], *, least: float, most: float) -> None:
    check_type(name, ends, (tuple, list), "(least, largest)")
    if len(ends) != 2:
        raise ValueError(f"{name} has {len(ends)} entries; expected two, (least, largest)")
    least = check_number(f"{name}[0]", ends[0], least=least, most=most)
    check_number(f"{name}[1]", ends[1], least=least, most=most)


def _random_level(levels: tuple[float, float], rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(*map(math.log, levels)))
