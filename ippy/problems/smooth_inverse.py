"""The smooth image that explains a measurement, with zeros beyond the border, and fast.

A blur is no product of Fourier coefficients where images end. Continued periodically it is, but
then what a motion erases rings through the whole image: on the course's slices that costs three
decibels and more.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ippy.operators import LinearOperator
from ippy.problems.normal import conjugate_gradients, laplacian, periodic_gain

MARGIN = 16  # pixels around an image, in which the preconditioner may do as it likes
FLOOR = 1e-3  # what the preconditioner adds to K.T K, as a fraction of its largest gain
MOST_ITERATIONS = 20


class SmoothInverse:
    """The minimiser of ||K x - y||^2 + w ||D x||^2, where D x are the differences of neighbours.

    Pixels beyond the border are 0, for K and for D. With a signal whose spectrum falls like 1 /
    frequency^2 and white noise this is Wiener's filter, but for the border. It is found by
    conjugate gradients, which divide by the periodic operator of a larger image and need about ten
    steps.

    Args:
        operator: K.
        shape: Height and width of the images.
        like: A batch, (B, ., ., .), of the type and on the device to compute with.
    """

    def __init__(self, operator: LinearOperator, shape: tuple[int, int], like: Tensor) -> None:
        self.operator = operator
        gain = periodic_gain(operator.normal, shape, like, margin=MARGIN)
        self.gain = gain.clamp(min=0) + FLOOR * gain.amax(dim=(1, 2, 3), keepdim=True)
        self.roughness = laplacian(like.new_empty([side + 2 * MARGIN for side in shape]))

    def __call__(self, y: Tensor, weight: float, x: Tensor, *, tolerance: float) -> Tensor:
        """Return the minimiser for measurements y, (B, 1, H, W).

        Args:
            y: Measurements (B, 1, ., .).
            weight: w.
            x: A guess, where to begin.
            tolerance: Norm of what may be left of the equation's right side, as a fraction.
        """

        def system(x: Tensor) -> Tensor:
            return self.operator.normal(x) + weight * _roughness(x)

        def precondition(residual: Tensor) -> Tensor:
            padded = F.pad(residual, (MARGIN,) * 4)
            divided = torch.fft.rfft2(padded) / (self.gain + weight * self.roughness)
            image = torch.fft.irfft2(divided, s=padded.shape[-2:])
            return image[..., MARGIN:-MARGIN, MARGIN:-MARGIN]

        options = {"tolerance": tolerance, "most": MOST_ITERATIONS}
        return conjugate_gradients(system, precondition, self.operator.T(y), x, **options)


def _roughness(x: Tensor) -> Tensor:
    """Return D.T D x, with zeros beyond the border: (B, 1, H, W) to the same."""
    around = F.pad(x, (1, 1, 1, 1))
    rows, columns = around[..., 1:-1], around[..., 1:-1, :]
    return 4 * x - rows[..., 2:, :] - rows[..., :-2, :] - columns[..., 2:] - columns[..., :-2]
