"""What every model asks of its input, checked in one place."""

from __future__ import annotations

from torch import Tensor


def check_images(x: Tensor, channels: int, *, min_size: int = 1) -> None:
    """Check that ``x`` is a batch of images that a model can take.

    Args:
        x: What the model was called with; floating-point images of shape (B, C, H, W) are expected.
        channels: The C that the model was built for.
        min_size: Smallest height and width in pixels.

    Raises:
        TypeError: ``x`` does not hold floating-point numbers.
        ValueError: ``x`` has another number of axes or channels, or is too small.
    """
    if not x.is_floating_point():
        raise TypeError(f"images hold {x.dtype}; expected floating point, e.g. x.float() / 255")
    shape = tuple(x.shape)
    if x.ndim != 4 or shape[1] != channels:
        raise ValueError(
            f"images have shape {shape}; expected (B, {channels}, H, W). "
            "A single slice (H, W) becomes a batch by x[None, None]"
        )
    if min(shape[2:]) < min_size:
        raise ValueError(
            f"images are {shape[2]}x{shape[3]} pixels; this model needs at least "
            f"{min_size}x{min_size}"
        )


def check_residual(in_ch: int, out_ch: int) -> None:
    """Check the channels of a model that adds its input to its output.

    Raises:
        ValueError: ``in_ch`` and ``out_ch`` differ.
    """
    if in_ch != out_ch:
        raise ValueError(
            f"in_ch is {in_ch} and out_ch is {out_ch}; the model adds its input to its output, "
            "so they must be equal"
        )
