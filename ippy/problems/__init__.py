"""Inverse problems: an operator and its noise, the course's tasks, and classical solutions."""

from ippy.problems.classical import Tikhonov, TotalVariation
from ippy.problems.noise import gaussian_noise
from ippy.problems.tasks import (
    TASKS,
    InverseProblem,
    ghost,
    motion_deblurring,
    sparse_view_ct,
    undersampled_fourier,
)

__all__ = [
    "TASKS",
    "InverseProblem",
    "Tikhonov",
    "TotalVariation",
    "gaussian_noise",
    "ghost",
    "motion_deblurring",
    "sparse_view_ct",
    "undersampled_fourier",
]
