"""Blur: correlation with a small kernel, and the kernels of motion and of a Gaussian."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ippy.base.checks import (
    LARGEST,
    check_choice,
    check_counts,
    check_number,
    check_tensor,
    check_values,
    check_window,
)
from ippy.operators.linear import LinearOperator

# Taps (dr, dc, weight): the output at row r and column c gains weight * x[r + dr, c + dc].
Taps = list[tuple[int, int, float]]

IN_CACHE = 8  # images summed together: all taps pass over them while they are in the cache


class Blurring(LinearOperator):
    """Blur by correlation with a small kernel, zero beyond the border, same size out as in.

    It equals ``conv2d(x, kernel, padding="same")`` on each channel. On a CPU a one-channel
    ``conv2d`` is slow, so the sum is taken tap by tap: a shifted, weighted addition of the whole
    batch for each non-zero entry of the kernel.

    Args:
        img_shape: Nominal image size (H, W) in pixels; images of any size are accepted.
        kernel: Custom kernel, (k, k) with k odd, whose sum is not 0: a tensor, an array, or nested
            lists. Give this or ``kernel_type``.
        kernel_type: ``"motion"``, a straight streak of ``kernel_size`` taps, or ``"gaussian"``.
        kernel_size: Side k of the generated kernel, odd, in pixels.
        kernel_variance: Variance of the Gaussian, in pixels squared.
        motion_angle: Direction of the streak, in degrees, from the column axis towards larger rows.

    Attributes:
        kernel: The kernel, tensor (k, k). Generated kernels sum to 1.

    Raises:
        TypeError: An argument is of the wrong type, such as 9.0 for ``kernel_size``.
        ValueError: The kernel is not square with an odd side, sums to 0 or is not finite; a number
            is out of range; or no kernel is described.
    """

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
                f"came {'neither' if kernel is None else 'both'}"
            )
        if not isinstance(img_shape, Sequence) or len(img_shape) != 2:
            raise TypeError(f"img_shape is a {type(img_shape).__name__}; expected a pair (H, W)")
        check_counts(**{"img_shape[0]": img_shape[0], "img_shape[1]": img_shape[1]})
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
        centre = kernel.shape[0] // 2
        self._taps: Taps = [
            (int(row) - centre, int(col) - centre, float(kernel[row, col]))
            for row, col in kernel.nonzero()
        ]
        self._adjoint_taps: Taps = [(-dr, -dc, weight) for dr, dc, weight in self._taps]

    def _forward(self, x: Tensor) -> Tensor:
        return _Correlation.apply(x, self._taps)

    def _adjoint(self, y: Tensor) -> Tensor:
        return _Correlation.apply(y, self._adjoint_taps)


def motion_kernel(kernel_size: int, motion_angle: float) -> Tensor:
    """Return a straight motion streak, (k, k), sum 1.

    Args:
        kernel_size: Odd side k of the kernel, in pixels.
        motion_angle: Direction of the streak, in degrees.

    Raises:
        TypeError: An argument is not such a number.
        ValueError: An argument is out of range.
    """
    check_window("kernel_size", kernel_size)
    theta = math.radians(check_number("motion_angle", motion_angle, least=-LARGEST, most=LARGEST))
    kernel = torch.zeros(kernel_size, kernel_size)
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
        TypeError: An argument is not such a number.
        ValueError: An argument is out of range.
    """
    check_window("kernel_size", kernel_size)
    variance = check_number("kernel_variance", kernel_variance, least=1e-4, most=1e6)
    offset = torch.arange(kernel_size, dtype=torch.float32) - kernel_size // 2
    profile = torch.exp(-(offset**2) / (2 * variance))
    kernel = torch.outer(profile, profile)
    return kernel / kernel.sum()


def _custom_kernel(kernel: Tensor) -> Tensor:
    """Return a reader's own kernel as a tensor that can blur."""
    if not isinstance(kernel, Tensor):
        try:
            kernel = torch.as_tensor(kernel, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"kernel can't be made a (k, k) tensor: {error}") from error
    if not kernel.is_floating_point() and not kernel.is_complex():
        kernel = kernel.float()
    check_tensor("kernel", kernel, axes=(2,), expected="(k, k) with k odd")
    if kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2 == 0 or kernel.is_meta:
        raise ValueError(
            f"kernel has shape {tuple(kernel.shape)} on {kernel.device}; expected (k, k) with k "
            "odd. Pad it with a row and a column of zeros if need be."
        )
    check_window("kernel's side", kernel.shape[0])
    check_values("kernel", kernel, wait=True)
    if abs(kernel.double().sum()) <= 1e-6 * kernel.double().abs().sum():
        raise ValueError(
            "kernel sums to 0; expected a blur, which keeps some of the brightness. An edge filter "
            "is an operator of its own: subclass LinearOperator"
        )
    return kernel.detach()


class _Correlation(torch.autograd.Function):
    """Sum of shifted images; its derivative is the same sum with every shift reversed."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, taps: Taps) -> Tensor:
        ctx.taps = taps
        height, width = x.shape[-2:]
        overlaps = []
        for dr, dc, weight in taps:
            rows = slice(max(0, -dr), height - max(0, dr))  # of the output, where x has a value
            cols = slice(max(0, -dc), width - max(0, dc))
            if rows.start < rows.stop and cols.start < cols.stop:
                source_rows = slice(rows.start + dr, rows.stop + dr)
                source_cols = slice(cols.start + dc, cols.stop + dc)
                overlaps.append(((..., rows, cols), (..., source_rows, source_cols), weight))
        images = x.reshape(-1, height, width)
        total = torch.zeros_like(images, dtype=_accumulator(x.dtype))
        for part, image in zip(total.split(IN_CACHE), images.split(IN_CACHE), strict=True):
            for target, source, weight in overlaps:
                part[target].add_(image[source], alpha=weight)
        return total.to(x.dtype).view(x.shape)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        return _Correlation.apply(grad, [(-dr, -dc, weight) for dr, dc, weight in ctx.taps]), None


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    """Half precisions add up in float32: eight roundings to 8 bits would show."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
