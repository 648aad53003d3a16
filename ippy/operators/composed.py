"""Operators made of others: one for each image of a batch, and one that leaves its border out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ippy.operators.linear import LinearOperator


class Each(LinearOperator):
    """Operators K_1 ... K_B, of which the b-th acts on the b-th image of a batch (B, C, H, W).

    So the images of one batch may have been measured in as many ways.

    Args:
        operators: One for each image, all of the same shapes.
    """

    def __init__(self, operators: Sequence[LinearOperator]) -> None:
        self.operators = tuple(operators)
        self.in_shape, self.out_shape = operators[0].in_shape, operators[0].out_shape
        self.dtypes, self.direct_name = operators[0].dtypes, operators[0].direct_name

    def direct(self, y: Tensor) -> Tensor:
        """Return the image that each of the measurements (B, C, ., .) gives by its operator.

        Raises:
            ValueError: ``y`` is no measurement of these operators, or holds NaN or infinity.
        """
        return torch.cat([K.direct(image) for K, image in self._pairs(y)])

    def _forward(self, x: Tensor) -> Tensor:
        return torch.cat([K._forward(image) for K, image in self._pairs(x)])

    def _adjoint(self, y: Tensor) -> Tensor:
        return torch.cat([K._adjoint(image) for K, image in self._pairs(y)])

    def _pairs(self, images: Tensor) -> Iterator[tuple[LinearOperator, Tensor]]:
        if len(images) != len(self.operators):
            raise ValueError(
                f"a batch of {len(images)} meets {len(self.operators)} operators; expected an "
                "image for each"
            )
        return zip(self.operators, images.split(1), strict=True)


class Interior(LinearOperator):
    """M K, where M sets to 0 the ``K.border`` pixels along each side of a measurement.

    Inside, a crop of a measurement is the measurement of the crop; along its sides it knows of what
    was cut away. So of a crop x with the data y, M (K x - y) is all that x can be held to.

    Args:
        operator: K, whose measurements can be cropped.
    """

    def __init__(self, operator: LinearOperator) -> None:
        self.operator = operator
        self.dtypes = operator.dtypes

    def _forward(self, x: Tensor) -> Tensor:
        return self._inside(self.operator._forward(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.operator._adjoint(self._inside(y))

    def _inside(self, y: Tensor) -> Tensor:
        border, (H, W) = self.operator.border, y.shape[-2:]
        kept = torch.zeros(H, W, dtype=y.dtype, device=y.device)
        kept[border : max(H - border, 0), border : max(W - border, 0)] = 1
        return y * kept
