"""Linear operators K of the forward model y = K x + e, each with its exact adjoint K.T."""

from ippy.operators.blurring import Blurring
from ippy.operators.linear import LinearOperator

__all__ = ["Blurring", "LinearOperator"]
