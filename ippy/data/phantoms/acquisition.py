"""What the scanner adds: its point spread, and noise that is coloured and oriented."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import fft, ndimage

from ippy.data.phantoms.canvas import SIZE


@cache
def _frequencies() -> tuple[np.ndarray, np.ndarray]:
    """Return radius (cycles a pixel) and direction (radians) of each rfft2 coefficient."""
    fy = np.fft.fftfreq(SIZE)[:, None]
    fx = np.fft.rfftfreq(SIZE)[None, :]
    radius, angle = np.hypot(fy, fx), np.arctan2(fy, fx)
    return radius, angle


@cache
def _position() -> tuple[np.ndarray, np.ndarray]:
    """Return each pixel's distance from the centre (pixels) and direction (radians)."""
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    return np.hypot(axis[:, None], axis), np.arctan2(axis[:, None], axis)


def scanner_noise(rng: np.random.Generator, *, peak: float, oriented: float) -> np.ndarray:
    """Return unit noise as a reconstruction from projections leaves it.

    The amplitude grows with the frequency, as the ramp filter's does, up to ``peak`` and falls
    beyond it. Off the centre, few of the rays that cross a pixel went through much of the body, so
    the noise is streaky along them: three fields of different directions are blended by position.

    Args:
        rng: Where the noise comes from.
        peak: Frequency of the largest amplitude, in cycles a pixel.
        oriented: 0 is isotropic, 1 strongly streaked.

    Returns:
        (256, 256) float64 with standard deviation 1.
    """
    radius, angle = _frequencies()
    ratio = radius / peak
    amplitude = (1.0 + ratio) * np.exp(-0.5 * ratio**4)
    away, direction = _position()
    streak = oriented * np.clip(away / 110, 0, 1)
    noise = np.zeros((SIZE, SIZE))
    for k in range(3):
        axis = k * np.pi / 3
        white = fft.rfft2(rng.standard_normal((SIZE, SIZE), dtype=np.float32).astype(float))
        shaped = amplitude * np.exp(0.9 * oriented * np.cos(2 * (angle - axis)))
        field = fft.irfft2(white * shaped, s=(SIZE, SIZE))
        # A wave along `axis` is a streak across it: seen where the centre lies across the axis.
        weight = 1 - streak * np.cos(2 * (direction - axis))
        noise += weight * field / field.std()
    return noise / noise.std()


def acquire(
    clean: np.ndarray,
    body: np.ndarray,
    rng: np.random.Generator,
    *,
    air: float,
    noise_air: float,
    noise_body: float,
    blur: float,
    peak: float,
    oriented: float,
) -> np.ndarray:
    """Return the slice as a scanner would give it.

    Args:
        clean: (256, 256) tissue levels.
        body: (256, 256) how much of each pixel the patient covers.
        rng: Where the noise comes from.
        air: Level that air is shown at.
        noise_air: Standard deviation far outside the patient.
        noise_body: Standard deviation in the middle of the patient.
        blur: Standard deviation of the point spread in pixels.
        peak: See :func:`scanner_noise`.
        oriented: See :func:`scanner_noise`.

    Returns:
        (256, 256) float32 in [0, 1].
    """
    image = ndimage.gaussian_filter(clean, blur, truncate=3.0) if blur > 0.15 else clean
    depth = ndimage.zoom(ndimage.gaussian_filter(body[::8, ::8], 2.0), 8, order=1)
    sigma = noise_air + (noise_body - noise_air) * depth
    image = air + (1 - air) * image + sigma * scanner_noise(rng, peak=peak, oriented=oriented)
    away, _ = _position()
    image = image * (away < 0.5 * SIZE * 1.38)  # the reconstructed field is a disc
    return np.clip(image, 0, 1).astype(np.float32)
