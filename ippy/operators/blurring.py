"""Blur: correlation with a small kernel, and the kernels of motion and of a Gaussian."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ippy.base.checks import LARGEST, check_choice, check_number, check_sides, check_window
from ippy.base.images import check_tensor, check_values
from ippy.operators.linear import LinearOperator, accumulator

# A tap (target, source, weight) adds weight * x[source] to output[target]: two windows on images,
# one the other's shift.
Window = tuple[Any, slice, slice]
Taps = list[tuple[Window, Window, float]]

IN_CACHE = 8  # images summed together: all taps pass over them while they are in the cache


class Blurring(LinearOperator):
    """Blur by correlation with a small kernel, zero beyond the border, same size out as in.

    It equals ``conv2d(x, kernel, padding="same")`` on each channel. On a CPU a one-channel
    ``conv2d`` is slow, so the sum is taken tap by tap: a shifted, weighted addition of the whole
    batch for each non-zero entry of the kernel.

    Args:
        img_shape: Image size (H, W) in pixels, kept for the published signature: it changes
            nothing, and images of any size are blurred.
        kernel: Custom kernel, (k, k) with k odd, whose sum is not 0: a tensor, an array, or nested
            lists. Give this or ``kernel_type``.
        kernel_type: ``"motion"``, a straight streak of ``kernel_size`` taps, or ``"gaussian"``.
        kernel_size: Side k of the generated kernel, odd, in pixels.
        kernel_variance: Variance of the Gaussian, in pixels squared.
        motion_angle: Direction of the streak, in degrees, from the column axis towards larger rows.

    Attributes:
        kernel: The kernel, tensor (k, k). Generated kernels sum to 1.

    Raises:
        ValueError: The kernel is not square with an odd side, sums to 0 or is not finite; a number
            is out of range; or no kernel is described.
    """

    crops = True

    def __init__(
        self,
        img_shape: Sequence[int] = (256, 256),
        kernel: Tensor | None = None,
        kernel_type: str | None = None,
        kernel_size: int = 3,
        kernel_variance: float = 1.0,
        motion_angle: float = 0.0,
    ) -> None:
        if (kernel is None) == (kernel_type is None):
            raise ValueError(
                "expected either kernel, a (k, k) tensor, or kernel_type, 'motion' or 'gaussian'; "
                f"got {'neither' if kernel is None else 'both'}"
            )
        check_sides("img_shape", img_shape)
        if kernel is not None:
            kernel = _custom_kernel(kernel)
        else:
            check_choice("kernel_type", kernel_type, ("motion", "gaussian"))
            if kernel_type == "motion":
                kernel = motion_kernel(kernel_size, motion_angle)
            else:
                kernel = gaussian_kernel(kernel_size, kernel_variance)
        self.img_shape = tuple(img_shape)
        self.kernel = kernel
        self._taps = _taps(kernel)

    @property
    def border(self) -> int:
        """How far the kernel reaches: half of its side, in pixels."""
        return self.kernel.shape[0] // 2

    def _forward(self, x: Tensor) -> Tensor:
        return _correlate(x, self._taps)

    def _adjoint(self, y: Tensor) -> Tensor:
        return _correlate(y, _transposed(self._taps))


def motion_kernel(kernel_size: int, motion_angle: float) -> Tensor:
    """Return a straight motion streak, (k, k), sum 1.

    Args:
        kernel_size: Odd side k of the kernel, in pixels.
        motion_angle: Direction of the streak, in degrees.

    Raises:
        ValueError: An argument is out of range.
    """
    check_window("kernel_size", kernel_size)
    theta = math.radians(check_number("motion_angle", motion_angle, least=-LARGEST, most=LARGEST))
    kernel = torch.zeros(kernel_size, kernel_size, dtype=torch.float32, device="cpu")
    centre = kernel_size // 2
    for i in range(kernel_size):
        row = math.floor(centre + (i - centre) * math.sin(theta))
        col = math.floor(centre + (i - centre) * math.cos(theta))
        if 0 <= row < kernel_size and 0 <= col < kernel_size:
            kernel[row, col] = 1.0
    return kernel / kernel.sum()


def gaussian_kernel(kernel_size: int, kernel_variance: float) -> Tensor:
    """Return an isotropic Gaussian, (k, k), sum 1.

    Args:
        kernel_size: Odd side k of the kernel, in pixels.
        kernel_variance: Variance in pixels squared, from 0.0001 to 1,000,000.

    Raises:
        ValueError: An argument is out of range.
    """
    check_window("kernel_size", kernel_size)
    variance = check_number("kernel_variance", kernel_variance, least=1e-4, most=1e6)
    offset = torch.arange(kernel_size, dtype=torch.float32, device="cpu") - kernel_size // 2
    profile = torch.exp(-(offset**2) / (2 * variance))
    kernel = torch.outer(profile, profile)
    return kernel / kernel.sum()


def _custom_kernel(kernel: Tensor) -> Tensor:
    """Return a reader's own kernel as a tensor that can blur."""
    if not isinstance(kernel, Tensor):
        try:
            kernel = torch.as_tensor(kernel, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"kernel can't be made a (k, k) tensor: {error}") from error
    if not kernel.is_floating_point() and not kernel.is_complex():
        kernel = kernel.float()
    check_tensor("kernel", kernel, axes=(2,), expected="(k, k) with k odd")
    check_window("kernel's side", len(kernel))
    if kernel.shape[0] != kernel.shape[1]:
        raise ValueError(f"kernel has shape {tuple(kernel.shape)}; expected (k, k) with k odd")
    check_values("kernel", kernel, wait=True)
    exact = kernel.cpu().double()  # not every device has it
    if abs(exact.sum()) <= 1e-6 * exact.abs().sum():
        raise ValueError(
            "kernel sums to 0; expected a blur, which keeps some of the brightness. An edge filter "
            "is an operator of its own: subclass LinearOperator"
        )
    return kernel.detach().clone()


def _taps(kernel: Tensor) -> Taps:
    """Return a tap for each entry of the kernel that is not 0."""
    taps, centre = [], kernel.shape[0] // 2
    for row, col in kernel.nonzero().tolist():
        to_rows, from_rows = _overlap(row - centre)
        to_cols, from_cols = _overlap(col - centre)
        target, source = (..., to_rows, to_cols), (..., from_rows, from_cols)
        taps.append((target, source, float(kernel[row, col])))
    return taps


def _overlap(shift: int) -> tuple[slice, slice]:
    """Return where on one axis there are outputs, and the inputs ``shift`` pixels further on."""
    if shift > 0:
        return slice(None, -shift), slice(shift, None)
    return slice(-shift, None), slice(None, shift or None)


def _transposed(taps: Taps) -> Taps:
    return [(source, target, weight) for target, source, weight in taps]


def _correlate(x: Tensor, taps: Taps) -> Tensor:
    """Correlate images (..., H, W) with a kernel, tap by tap."""
    if torch.compiler.is_compiling():  # the compiler finds the derivatives, and fuses the sums
        total = torch.zeros_like(x, dtype=accumulator(x.dtype))
        return _add_shifted(total, x, taps).to(x.dtype)
    return _Correlation.apply(x, taps)


class _Correlation(torch.autograd.Function):
    """Sum of shifted images; being linear, it is its own derivative.

    Its transpose is the same sum with every shift reversed. Autograd would come to the same by
    itself, several times slower.
    """

    @staticmethod
    def forward(x: Tensor, taps: Taps) -> Tensor:
        images = x[None].flatten(end_dim=-3)  # (B, H, W)
        total = torch.zeros_like(images, dtype=accumulator(x.dtype))
        for part, image in zip(total.split(IN_CACHE), images.split(IN_CACHE), strict=True):
            _add_shifted(part, image, taps)
        return total.to(x.dtype).view(x.shape)

    @staticmethod
    def setup_context(
        ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, Taps], output: Tensor
    ) -> None:
        ctx.taps = inputs[1]

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        return _Correlation.apply(grad, _transposed(ctx.taps)), None

    @staticmethod
    def jvp(ctx: torch.autograd.function.FunctionCtx, tangent: Tensor, _: None) -> Tensor:
        return _Correlation.apply(tangent, ctx.taps)

    @staticmethod
    def vmap(info: object, in_dims: tuple, x: Tensor, taps: Taps) -> tuple[Tensor, int]:
        return _Correlation.apply(x.movedim(in_dims[0], 0), taps), 0


def _add_shifted(total: Tensor, x: Tensor, taps: Taps) -> Tensor:
    for target, source, weight in taps:
        total[target].add_(x[source], alpha=weight)
    return total
