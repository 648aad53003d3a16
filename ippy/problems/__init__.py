"""Inverse problems: an operator and its noise, the course's tasks, and classical solutions."""

from ippy.problems.classical import Tikhonov, TotalVariation
from ippy.problems.families import RandomBlurs, RandomNoise
from ippy.problems.informed import INFORMED_CHANNELS, InformedProblem, MisinformedProblem
from ippy.problems.noise import gaussian_noise
from ippy.problems.plug_and_play import PlugAndPlay
from ippy.problems.tasks import (
    TASKS,
    InverseProblem,
    ghost,
    motion_deblurring,
    sparse_view_ct,
    undersampled_fourier,
)

__all__ = [
    "INFORMED_CHANNELS",
    "TASKS",
    "InformedProblem",
    "InverseProblem",
    "MisinformedProblem",
    "PlugAndPlay",
    "RandomBlurs",
    "RandomNoise",
    "Tikhonov",
    "TotalVariation",
    "gaussian_noise",
    "ghost",
    "motion_deblurring",
    "sparse_view_ct",
    "undersampled_fourier",
]
