"""Measurement noise, relative to the signal."""

from __future__ import annotations

import torch
from torch import Tensor

from ippy.base.checks import check_generator, check_number
from ippy.base.images import COMPLEX, REAL, check_tensor, check_values

LARGEST_LEVEL = 1000.0  # noise a thousand times the signal


def gaussian_noise(
    y: Tensor, noise_level: float, generator: torch.Generator | None = None
) -> Tensor:
    r"""Draw white Gaussian noise whose norm is a fixed fraction of the measurement's.

    For each image, with a standard normal draw :math:`e`, the result is

    .. math:: \frac{e}{\lVert e\rVert_2}\,\lVert y\rVert_2\,\cdot\,\text{noise\_level}.

    Images are drawn one after the other, so a batch gets what its images would get one by one.

    Args:
        y: Clean measurement, (B, C, H, W), or one image, (C, H, W) or (H, W).
        noise_level: Ratio of the noise's norm to the image's norm, from 0 to 1000.
        generator: Source of randomness, on any device; torch's global one if None.

    Returns:
        The noise alone, same shape, dtype and device as ``y``.

    Raises:
        ValueError: ``noise_level`` is out of range, or ``y`` has another number of axes, is empty,
            or holds NaN or infinity.
    """
    check_measurable("y", y)
    check_values("y", y)
    check_generator(generator)
    return scaled_noise(y, check_noise_level(noise_level), generator)


def scaled_noise(y: Tensor, noise_level: float, generator: torch.Generator | None) -> Tensor:
    """Draw the noise that :func:`gaussian_noise` describes, for arguments that were checked."""
    images = y if y.ndim == 4 else y[None]
    axes = tuple(range(1, images.ndim))
    device = y.device if generator is None else generator.device
    dtype = torch.promote_types(y.dtype, torch.float32)  # a norm can overflow in half precision
    e = torch.stack(
        [
            torch.randn(image.shape, generator=generator, dtype=dtype, device=device)
            for image in images.unbind()
        ]
    ).to(y.device)
    norm_y = torch.linalg.vector_norm(images.to(dtype), dim=axes, keepdim=True)
    norm_e = torch.linalg.vector_norm(e, dim=axes, keepdim=True)
    return (e * (noise_level * norm_y / norm_e)).to(y.dtype).view(y.shape)


def check_measurable(name: str, images: Tensor) -> None:
    """Check that ``images``, called ``name``, can be measured: (B, C, H, W), (C, H, W) or (H, W).

    Raises:
        ValueError: They have another number of axes, or are empty.
    """
    shapes = "(B, C, H, W), (C, H, W) or (H, W)"
    check_tensor(name, images, axes=(2, 3, 4), expected=shapes, dtypes=REAL + COMPLEX)


def check_noise_level(noise_level: float) -> float:
    """Return the argument ``noise_level`` as a float, if it is a number from 0 to 1000."""
    return check_number("noise_level", noise_level, least=0, most=LARGEST_LEVEL)
