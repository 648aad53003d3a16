"""Linear operators K of the forward model y = K x + e, each with its exact adjoint K.T."""

from ippy.operators.blurring import Blurring
from ippy.operators.composed import Each, Interior
from ippy.operators.fourier import FourierSampling, random_lines, regular_lines
from ippy.operators.ghost import Ghost
from ippy.operators.linear import LinearOperator
from ippy.operators.tomography import ParallelBeam

__all__ = [
    "Blurring",
    "Each",
    "FourierSampling",
    "Ghost",
    "Interior",
    "LinearOperator",
    "ParallelBeam",
    "random_lines",
    "regular_lines",
]
