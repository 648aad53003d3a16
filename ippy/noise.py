"""Measurement noise, relative to the signal."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_noise(
    y: Tensor, noise_level: float, generator: torch.Generator | None = None
) -> Tensor:
    r"""Draw white Gaussian noise whose norm is a fixed fraction of the measurement's.

    For each image, with a standard normal draw :math:`e`, the result is

    .. math:: \frac{e}{\lVert e\rVert_2}\,\lVert y\rVert_2\,\cdot\,\text{noise\_level}.

    Images are drawn one after the other, so a batch gets what its images would get one by one.

    Args:
        y: Clean measurement, (B, C, H, W), or one image, (C, H, W) or (H, W).
        noise_level: Ratio of the noise's norm to the image's norm, 0 or more.
        generator: Source of randomness, on any device; torch's global one if None.

    Returns:
        The noise alone, same shape, dtype and device as ``y``.

    Raises:
        ValueError: ``noise_level`` is negative or not finite, or ``y`` has fewer than two axes.
    """
    if not 0 <= noise_level < float("inf"):
        raise ValueError(f"noise_level is {noise_level}; expected a finite number, 0 or more")
    if not 2 <= y.ndim <= 4:
        raise ValueError(
            f"y has shape {tuple(y.shape)}; expected (B, C, H, W), (C, H, W) or (H, W)"
        )
    device = y.device if generator is None else generator.device
    e = torch.empty(y.shape, dtype=y.dtype, device=device)
    for image in e if y.ndim == 4 else [e]:
        image.normal_(generator=generator)
    e = e.to(y.device)
    axes = tuple(range(1, 4)) if y.ndim == 4 else None
    norm_y = torch.linalg.vector_norm(y, dim=axes, keepdim=True)
    norm_e = torch.linalg.vector_norm(e, dim=axes, keepdim=True)
    return e * (noise_level * norm_y / norm_e)
