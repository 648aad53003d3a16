"""What every linear operator K of the forward model y = K x + e shares: K(x), K @ x and K.T."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from ippy.base.images import COMPLEX, REAL, check_tensor, check_values

LARGEST_LINEAR = 1e38  # nothing is squared here; only what is about to overflow is refused


class LinearOperator(ABC):
    """A linear map on images, ``K(x)`` or ``K @ x``, with its adjoint ``K.T``.

    A subclass gives ``_forward`` and ``_adjoint``. They must satisfy <K x, y> = <x, K.T y> for all
    x and y, autograd through one must be the other, and the transforms of ``torch.func`` pass.
    """

    @abstractmethod
    def _forward(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _adjoint(self, y: Tensor) -> Tensor: ...

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the operator to images of shape (..., H, W).

        Raises:
            ValueError: ``x`` has fewer than two axes, or holds NaN or infinity.
        """
        images = "images (..., H, W)"
        check_tensor("x", x, axes=range(2, 9), expected=images, dtypes=REAL + COMPLEX, empty=True)
        check_values("x", x, most=LARGEST_LINEAR)
        return self._forward(x)

    def __matmul__(self, x: Tensor) -> Tensor:
        return self(x)

    @property
    def T(self) -> LinearOperator:
        """The adjoint operator."""
        return _Adjoint(self)


class _Adjoint(LinearOperator):
    def __init__(self, operator: LinearOperator) -> None:
        self._operator = operator

    def _forward(self, x: Tensor) -> Tensor:
        return self._operator._adjoint(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._operator._forward(y)

    @property
    def T(self) -> LinearOperator:
        return self._operator
