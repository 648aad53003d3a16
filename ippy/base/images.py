"""What the public functions ask of tensors that hold images, in the same words everywhere.

**NaN and infinity** never pass in silence, nor do values so large (:data:`LARGEST`) that their
squares overflow. On a CPU every entry looks at the values; it costs one pass over the images. On an
accelerator a look makes the program wait for the device, so what a training step calls (operators,
noise, models, losses) looks there only while autograd is off, as under ``torch.no_grad()``; what
is called once an image (metrics, ``evaluate``, ``restore``) always looks. A NaN that arises in
training reaches the loss, and ``fit`` stops there. Inside ``torch.func.vmap``, a trace, an export
or a compilation a tensor has no values to look at, and nobody looks.

**Range** matters where constants belong to a scale: SSIM, PSNR, LPIPS and the perceptual loss
refuse a *truth* that spans more than twice their data range, such as 0 to 255 taken for 0 to 1. An
*estimate* may leave the range: networks overshoot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ippy.base.checks import LARGEST, check_type

REAL = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
COMPLEX = (torch.complex64, torch.complex128)


def check_tensor(
    name: str,
    x: Any,
    *,
    axes: Sequence[int],
    expected: str,
    sizes: Mapping[int, int] | None = None,
    dtypes: Sequence[torch.dtype] = REAL,
    empty: bool = False,
) -> None:
    """Check that ``x`` is a dense tensor of certain numbers and of a certain shape.

    Args:
        name: What the caller calls it.
        x: The argument.
        axes: Allowed numbers of axes.
        expected: The allowed shapes in words, e.g. ``"(B, C, H, W)"``.
        sizes: The lengths of axes, where they are fixed.
        dtypes: Allowed types of its numbers: some of real ones, of integers, or truth values.
        empty: It may have no entries.

    Raises:
        TypeError: It is no such tensor.
        ValueError: It has another shape, or no entries.
    """
    if torch.jit.is_tracing():
        return  # sizes belong to the trace, and a branch on one warns
    check_type(name, x, Tensor, "torch.from_numpy(pixels)")
    if x.layout != torch.strided or x.is_nested:
        raise TypeError(f"{name} is not a dense tensor ({x.layout}); use {name}.to_dense()")
    if x.dtype not in dtypes:
        scale = {torch.uint8: " / 255", torch.uint16: " / 65535"}.get(x.dtype, "")
        real = f"floating-point numbers, e.g. {name}.float(){scale}"
        other = "truth values" if torch.bool in dtypes else f"integers, e.g. {name}.long()"
        wanted = real if torch.float32 in dtypes else other
        raise TypeError(f"{name} holds {x.dtype}; expected {wanted}")
    shape = tuple(x.shape)
    if x.ndim not in axes or any(shape[axis] != size for axis, size in (sizes or {}).items()):
        hint = "" if x.ndim in axes else _how_to_batch(name, x)
        raise ValueError(f"{name} has shape {shape}; expected {expected}{hint or '.'}")
    if x.numel() == 0 and not empty:
        raise ValueError(f"{name} has shape {shape}, which is empty; expected {expected}")


def check_values(
    name: str,
    x: Tensor,
    *,
    least: float = -math.inf,
    most: float = LARGEST,
    span: float = math.inf,
    wait: bool = False,
) -> None:
    """Check that all entries of ``x`` are finite, not huge, and within the scale.

    Args:
        name: What the caller calls it.
        x: A tensor that passed :func:`check_tensor`.
        least: Smallest entry; ``-most`` if that is larger.
        most: Largest magnitude of an entry.
        span: Largest difference between two entries.
        wait: Look even where the program has to wait for the device (see the module's text).

    Raises:
        ValueError: They are not.
    """
    in_a_step = x.device.type != "cpu" and torch.is_grad_enabled()
    found = None if in_a_step and not wait else extremes(x)
    if found is None:
        return
    low, high = found
    least = max(least, -most)
    if not (least <= low and high <= most):
        what = "NaN" if math.isnan(low) else f"values from {low:.3g} to {high:.3g}"
        raise ValueError(f"{name} holds {what}; expected values from {least:.3g} to {most:.3g}")
    if high - low > span:
        raise ValueError(
            f"{name} goes from {low:.4g} to {high:.4g}; expected values on the scale of the data "
            "range, 1 for images in [0, 1]. Divide bytes by 255, or give data_range where that is "
            "an argument"
        )


def check_slice(name: str, x: Any, *, wait: bool = False) -> None:
    """Check one slice of a data set.

    Args:
        name: What the caller calls it, such as ``"dataset[3]"``.
        x: What the data set returned.
        wait: As for :func:`check_values`.

    Raises:
        TypeError: It is not a tensor of floating-point numbers.
        ValueError: It is not (1, H, W), or holds NaN or values that are off the scale of [0, 1].
    """
    check_tensor(name, x, axes=(3,), expected="(1, H, W)", sizes={0: 1})
    check_values(name, x, span=2, wait=wait)


def check_same_shape(index: int, x: Tensor, shape: tuple[int, ...]) -> None:
    """Check that a slice of a data set has the shape of the first."""
    if x.shape != shape:
        raise ValueError(
            f"dataset[{index}] has shape {tuple(x.shape)} and dataset[0] {tuple(shape)}; expected "
            "one shape for all slices"
        )


def extremes(x: Tensor) -> tuple[float, float] | None:
    """Return the smallest and the largest entry of ``x``, both NaN if one is.

    None where ``x`` has no values to look at, or the look would become a part of a program.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or x.is_meta or x.numel() == 0:
        return None
    x = x.detach()
    low, high = (torch.view_as_real(x.resolve_conj()) if x.is_complex() else x).aminmax()
    try:
        return float(low), float(high)
    except RuntimeError:  # inside a transform, such as vmap
        return None


def check_pair(
    x_hat: Any, x: Any, *, min_size: int = 1, data_range: float = math.inf, wait: bool = False
) -> None:
    """Check that ``x_hat`` and ``x`` are two batches of images that can be compared.

    Args:
        x_hat: Estimates, (B, C, H, W).
        x: True images, (B, C, H, W).
        min_size: Smallest height and width in pixels.
        data_range: The scale that the comparison takes for granted, if it does.
        wait: As for :func:`check_values`.

    Raises:
        TypeError: One of them is not a tensor of floating-point numbers.
        ValueError: They differ in shape or device, are not (B, C, H, W), are empty, too small, not
            finite, or off the scale.
    """
    if torch.jit.is_tracing():
        return  # as in check_tensor
    for name, images in (("x_hat", x_hat), ("x", x)):
        check_tensor(name, images, axes=(2, 3, 4), expected="(B, C, H, W)")
    if x_hat.shape != x.shape or x.ndim != 4:
        raise ValueError(
            f"x_hat has shape {tuple(x_hat.shape)} and x has {tuple(x.shape)}; expected the same "
            f"(B, C, H, W) for both{_how_to_batch('x', x)}"
        )
    if x_hat.device != x.device:
        raise ValueError(f"x_hat is on {x_hat.device} and x on {x.device}; use x.to(x_hat.device)")
    _check_size("x", x, min_size)
    check_values("x_hat", x_hat, wait=wait)
    check_values("x", x, span=2 * data_range, wait=wait)


def check_batch(name: str, x: Any, channels: int, *, min_size: int = 1) -> None:
    """Check that ``x`` is a batch of images (B, channels, H, W) of ``min_size`` pixels or more.

    Raises:
        TypeError: It is not a tensor of floating-point numbers.
        ValueError: It has another shape, is empty, too small, or not finite.
    """
    check_tensor(name, x, axes=(4,), expected=f"(B, {channels}, H, W)", sizes={1: channels})
    _check_size(name, x, min_size)
    check_values(name, x)


def check_match(name: str, x: Tensor, weight: Tensor) -> None:
    """Check that ``x`` is where a model's weights are and holds the same type of numbers.

    Raises:
        TypeError: It holds another type; under autocast any will do but float64, which it leaves.
        ValueError: It is on another device.
    """
    if x.device != weight.device:
        raise ValueError(
            f"{name} is on {x.device}, the model's weights are on {weight.device}; move one of "
            f"them, e.g. {name}.to({str(weight.device)!r})"
        )
    if x.dtype == weight.dtype:
        return
    cast = not x.is_meta and torch.is_autocast_enabled(x.device.type)
    if not cast or torch.float64 in (x.dtype, weight.dtype):
        raise TypeError(
            f"{name} holds {x.dtype}, the model's weights {weight.dtype}; use {name}.to("
            f"{weight.dtype})"
        )


def _how_to_batch(name: str, x: Tensor) -> str:
    """Say how one image alone becomes a batch, if ``x`` may be one."""
    index = {2: "[None, None]", 3: "[None]"}.get(x.ndim)
    return f". One image alone becomes a batch by {name}{index}" if index else ""


def _check_size(name: str, x: Tensor, min_size: int) -> None:
    H, W = x.shape[-2:]
    if not torch.jit.is_tracing() and min(H, W) < min_size:
        raise ValueError(f"{name} is {H}x{W} pixels; expected {min_size}x{min_size} at least")
