"""What every linear operator K of the forward model y = K x + e shares: K(x), K @ x and K.T."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from ippy.base.images import COMPLEX, REAL, check_tensor, check_values

LARGEST_LINEAR = 1e38  # nothing is squared here; only what is about to overflow is refused


class LinearOperator(ABC):
    """A linear map on images, ``K(x)`` or ``K @ x``, with its adjoint ``K.T``.

    A subclass gives ``_forward`` and ``_adjoint``. They must satisfy <K x, y> = <x, K.T y> for all
    x and y, autograd through one must be the other, and the transforms of ``torch.func`` pass.

    Attributes:
        in_shape: Height and width of the images x; None if any will do.
        out_shape: The last two axes of the measurements K x; None if they are those of x.
        dtypes: Types of numbers that the operator takes.
        crops: Whether a crop of a measurement is the measurement of the crop, but for its border.
        border: Width of that border in pixels.
        direct_name: What ``direct`` gives, as tables call it.
    """

    in_shape: tuple[int, int] | None = None
    out_shape: tuple[int, int] | None = None
    dtypes: Sequence[torch.dtype] = REAL + COMPLEX
    crops: bool = False
    border: int = 0
    direct_name: str = "Measurement"

    @abstractmethod
    def _forward(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _adjoint(self, y: Tensor) -> Tensor: ...

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the operator to images of shape (..., H, W).

        Raises:
            ValueError: ``x`` has fewer than two axes or another size than the operator takes, or
                holds NaN or infinity.
        """
        self._check_input("x", x)
        return self._forward(x)

    def __matmul__(self, x: Tensor) -> Tensor:
        return self(x)

    @property
    def T(self) -> LinearOperator:
        """The adjoint operator."""
        return _Adjoint(self)

    def normal(self, x: Tensor) -> Tensor:
        """Return K.T K x of images (..., H, W).

        Solvers multiply by it again and again, so x is not checked.
        """
        return self._adjoint(self._forward(x))

    def direct(self, y: Tensor) -> Tensor:
        """Return the image that measurements give without further knowledge, (..., H, W).

        It is y itself where a measurement is an image, else K.T y.

        Raises:
            ValueError: ``y`` is no measurement of this operator, or holds NaN or infinity.
        """
        self.T._check_input("y", y)
        return y if self.out_shape == self.in_shape else self._adjoint(y)

    def _check_input(self, name: str, x: Tensor) -> None:
        images, sizes = "images (..., H, W)", {}
        if self.in_shape is not None:
            rows, columns = self.in_shape
            images, sizes = f"(..., {rows}, {columns})", {-2: rows, -1: columns}
        check_tensor(
            name,
            x,
            axes=range(2, 9),
            expected=images,
            sizes=sizes,
            dtypes=self.dtypes,
            empty=True,
        )
        check_values(name, x, most=LARGEST_LINEAR)


class _Adjoint(LinearOperator):
    def __init__(self, operator: LinearOperator) -> None:
        self._operator = operator
        self.in_shape, self.out_shape = operator.out_shape, operator.in_shape
        self.dtypes = operator.dtypes

    def _forward(self, x: Tensor) -> Tensor:
        return self._operator._adjoint(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._operator._forward(y)

    @property
    def T(self) -> LinearOperator:
        return self._operator


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """Half precisions add up in float32: roundings to 8 bits would show."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
