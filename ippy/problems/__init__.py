"""Inverse problems: an operator and its noise, the course's tasks, and classical solutions."""

from ippy.problems.classical import Tikhonov, TotalVariation
from ippy.problems.noise import gaussian_noise
from ippy.problems.tasks import InverseProblem, motion_deblurring

__all__ = ["InverseProblem", "Tikhonov", "TotalVariation", "gaussian_noise", "motion_deblurring"]
