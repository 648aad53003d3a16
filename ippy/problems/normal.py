"""The systems (K.T K + S) x = b that the classical methods solve, S diagonal in Fourier's basis.

A blur that is continued periodically is diagonal there too: one division. Any other operator, and
a blur as it is, needs iterations, and no more than K and K.T.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ippy.operators import LinearOperator

TOLERANCE = 1e-5  # norm of what is left of b, as a fraction of b's
MOST_ITERATIONS = 100
FLOOR = 1e-6  # least gain of the preconditioner, as a fraction of its largest


class NormalEquations:
    """An operator K for images of one size, and its systems, by conjugate gradients.

    (Hestenes and Stiefel, 1952.) They are preconditioned by the periodic operator that answers a
    bright pixel in the middle as K.T K does. Where K.T K is periodic itself, as that of a ghost or
    of sampled frequencies, this is exact, and one iteration is enough.

    Args:
        operator: K.
        shape: Height and width of the images, (H, W).
        like: A batch, (B, ., ., .), of the type and on the device to compute with.
    """

    def __init__(self, operator: LinearOperator, shape: tuple[int, int], like: Tensor) -> None:
        self.operator = operator
        gain = periodic_gain(operator.normal, shape, like)
        self.gain = gain.maximum(FLOOR * gain.amax(dim=(1, 2, 3), keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        """Return K x of images (B, 1, H, W)."""
        return self.operator(x)

    def data(self, y: Tensor) -> Tensor:
        """Return K.T y, (B, 1, H, W)."""
        return self.operator.T(y)

    def solve(self, data: Tensor, shift: Tensor | float, more: Tensor | float, x: Tensor) -> Tensor:
        """Return the x that solves (K.T K + S) x = K.T y + more to :data:`TOLERANCE`, (B, 1, H, W).

        After :data:`MOST_ITERATIONS` it is returned as it is.

        Args:
            data: K.T y.
            shift: What S does to each coefficient of a real transform, (B, 1, H, W // 2 + 1) or a
                number.
            more: Images (B, 1, H, W), or 0.
            x: A guess, where to begin.
        """

        def system(x: Tensor) -> Tensor:
            return self.operator.normal(x) + _times(x, shift)

        def precondition(residual: Tensor) -> Tensor:
            return _divided(residual, self.gain + shift)

        return conjugate_gradients(system, precondition, data + more, x)


def periodic_solution(kernel: Tensor, y: Tensor, weight: float) -> Tensor:
    """Return the x that solves (K.T K + weight) x = K.T y, of a periodic correlation K.

    Args:
        kernel: Odd square kernel (k, k), its centre the origin.
        y: Images (B, 1, H, W).
        weight: A positive number.
    """
    shape = y.shape[-2:]
    h = transfer(kernel, shape)[:, : shape[1] // 2 + 1]  # the others are conjugates
    system = (h.abs().square() + weight).clamp(min=torch.finfo(y.dtype).tiny)
    return torch.fft.irfft2(h.conj() * torch.fft.rfft2(y) / system, s=shape)


def periodic_gain(
    normal: Callable[[Tensor], Tensor], shape: tuple[int, int], like: Tensor, *, margin: int = 0
) -> Tensor:
    """Return what the periodic operator does that answers a pixel in the middle as K.T K does.

    Where that pixel is not measured, such as a dead one of a detector, it is the identity: its
    users divide by it.

    Args:
        normal: K.T K.
        shape: Height and width of the images, (H, W).
        like: A batch, (B, ., ., .), of the type and on the device to compute with; K may be
            another one for each image.
        margin: Pixels that are added on each side before images are continued periodically.

    Returns:
        A factor for each coefficient of a real transform of the larger images, (B, 1, H', W').
    """
    middle = (shape[0] // 2, shape[1] // 2)
    pixel = like.new_zeros(len(like), 1, *shape)
    pixel[(..., *middle)] = 1
    answer = normal(pixel)
    measured = answer.flatten(1).any(dim=1)[:, None, None, None]
    answer = torch.where(measured, answer, pixel)
    answer = F.pad(answer, (0, 2 * margin, 0, 2 * margin))
    return torch.fft.rfft2(answer.roll((-middle[0], -middle[1]), dims=(-2, -1))).real


def conjugate_gradients(
    system: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    b: Tensor,
    x: Tensor,
    *,
    tolerance: float = TOLERANCE,
    most: int = MOST_ITERATIONS,
) -> Tensor:
    """Return the solution of a system A x = b for each image of a batch, (B, 1, H, W).

    Args:
        system: Multiplies by A, which is symmetric and positive.
        precondition: Divides by something like A.
        b: The right sides.
        x: A guess, where to begin.
        tolerance: Norm of what may be left of b, as a fraction of its own.
        most: Largest number of iterations.
    """
    smallest = torch.finfo(x.dtype).tiny
    least = tolerance**2 * _dot(b, b)
    residual = b - system(x)
    z = direction = precondition(residual)
    product = _dot(residual, z)
    for _ in range(most):
        running = _dot(residual, residual) > least  # an image that is done stays as it is
        if not running.any():
            break
        image = system(direction)
        step = running * product / _dot(direction, image).clamp(min=smallest)
        x, residual = x + step * direction, residual - step * image
        z = precondition(residual)
        before, product = product, _dot(residual, z)
        direction = z + product / before.clamp(min=smallest) * direction
    return x


def laplacian(x: Tensor) -> Tensor:
    """Return what D.T D does to each coefficient of a real transform: (H, W // 2 + 1).

    D x are the differences of neighbours, down and right, periodically continued.
    """
    H, W = x.shape[-2:]
    rows = torch.fft.fftfreq(H, dtype=x.dtype, device=x.device)[:, None]
    columns = torch.fft.rfftfreq(W, dtype=x.dtype, device=x.device)
    return 4 * (torch.sin(math.pi * rows).square() + torch.sin(math.pi * columns).square())


def transfer(kernel: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return what a correlation with ``kernel`` does to each Fourier coefficient.

    Args:
        kernel: Odd square kernel (k, k), its centre the origin.
        shape: Height and width of the images.

    Returns:
        Complex factors (H, W).
    """
    k = kernel.shape[0]
    embedded = kernel.new_zeros(shape)
    embedded[:k, :k] = kernel
    centred = embedded.roll((-(k // 2), -(k // 2)), dims=(0, 1))
    return torch.fft.fft2(centred).conj()  # conj: correlation, not convolution


def _times(x: Tensor, factors: Tensor | float) -> Tensor:
    if not isinstance(factors, Tensor):
        return factors * x
    return torch.fft.irfft2(factors * torch.fft.rfft2(x), s=x.shape[-2:])


def _divided(x: Tensor, factors: Tensor) -> Tensor:
    factors = factors.clamp(min=torch.finfo(x.dtype).tiny)
    return torch.fft.irfft2(torch.fft.rfft2(x) / factors, s=x.shape[-2:])


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum(dim=(1, 2, 3), keepdim=True)
