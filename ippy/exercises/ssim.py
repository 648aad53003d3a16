"""The exercise on SSIM with Gaussian windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn import functional as F

from ippy.exercises.core import Exercise
from ippy.exercises.inputs import fresh
from ippy.exercises.judging import Code
from ippy.quality import ssim

PIXELS = (1, 2, 3)
COUNT = 121  # pixels in a window


def gaussian_window(sigma: float = 1.5, *, normalised: bool = True) -> Tensor:
    """Return a Gaussian window, (1, 1, 11, 11), in float64."""
    profile = torch.exp(-((torch.arange(11).double() - 5) ** 2) / (2 * sigma**2))
    window = torch.outer(profile, profile)
    return (window / window.sum() if normalised else window)[None, None]


def ssim_map(
    x_hat: Tensor,
    x: Tensor,
    data_range: float,
    *,
    window: Callable[[], Tensor] = gaussian_window,
    constants: tuple[float, float] = (0.01, 0.03),
    power: int = 2,
    padding: int = 0,
    correction: float = 1.0,
    luminance: bool = True,
) -> Tensor:
    """Compute SSIM window by window in float64, with all that can go wrong as an argument.

    Args:
        x_hat: Estimates, (B, 1, H, W).
        x: True images, (B, 1, H, W).
        data_range: R.
        window: Makes the window, (1, 1, k, k).
        constants: sqrt(C1) / R and sqrt(C2) / R.
        power: What these are raised to.
        padding: Zeros around the images, in pixels.
        correction: Variances and covariance are multiplied by it.
        luminance: Whether the factor that compares the means is there.

    Returns:
        (B, 1, H - k + 1, W - k + 1) without padding.
    """
    C1, C2 = ((c * data_range) ** power for c in constants)
    kernel = window()

    def mean(image: Tensor) -> Tensor:
        return F.conv2d(image, kernel, padding=padding)

    a, b = x_hat.double(), x.double()
    mu_a, mu_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mu_a**2, mean(b * b) - mu_b**2
    cov = mean(a * b) - mu_a * mu_b
    contrast = (2 * correction * cov + C2) / (correction * (var_a + var_b) + C2)
    brightness = (2 * mu_a * mu_b + C1) / (mu_a**2 + mu_b**2 + C1)
    return brightness * contrast if luminance else contrast


def unweighted() -> float:
    """Return 1 - sum of w^2, by which a weighted variance is too small on average.

    In plain numbers: no default device or type of the session may reach what is made on import.
    """
    profile = [math.exp(-((i - 5) ** 2) / (2 * 1.5**2)) for i in range(11)]
    return 1 - (sum(w * w for w in profile) / sum(profile) ** 2) ** 2


def of_each(
    change: Callable[[Tensor], Tensor] = lambda m: m, **options: Any
) -> Callable[..., Tensor]:
    """Return an SSIM of each image, (B,), that differs from the right one in ``options``."""
    return lambda x_hat, x, data_range: change(ssim_map(x_hat, x, data_range, **options)).mean(
        dim=PIXELS
    )


def reference(x_hat: Tensor, x: Tensor, data_range: float) -> Tensor:
    """SSIM of each image by scikit-image, (B,): it leaves out the border of 5 pixels too."""
    values = [
        structural_similarity(
            *(image[0].double().numpy() for image in images),
            data_range=data_range,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for images in zip(x_hat, x, strict=True)
    ]
    return torch.from_numpy(np.array(values)).float()


def pairs() -> Iterator[dict[str, Any]]:
    """Draw images whose SSIMs depend on each part of the formula."""
    for B, data_range in ((5, 1.0), (5, 255.0), (1, 1.0)):
        x = F.interpolate(fresh(B, 1, 6, 5), scale_factor=4, mode="bilinear")  # (B, 1, 24, 20)
        x_hat = x + 0.3 * fresh(*x.shape, low=-1)
        if B > 1:
            x_hat[1] = 0.2 + 0.6 * x[1]  # brighter and with less contrast
            x_hat[2] = 1 - x[2]  # the negative: SSIM below 0
            x[3:] = 0.2 + 0.04 * fresh(2, 1, 24, 20, low=-1)  # variances near C2
            x_hat[3:] = x[3:].flip(-1)
            x[4] -= 0.2  # means near the root of C1
            x_hat[4] -= 0.17
        yield {"x_hat": data_range * x_hat, "x": data_range * x, "data_range": data_range}


def uniform_window() -> Tensor:
    """Return a window that weighs all its pixels alike, (1, 1, 11, 11), in float64."""
    return torch.full((1, 1, 11, 11), 1 / COUNT, dtype=torch.float64)


def equal_rows(*pattern: float) -> Tensor:
    """Return an image of one window, (1, 1, 11, 11), whose rows repeat a pattern."""
    return torch.tensor(pattern).repeat(11)[:11].expand(1, 1, 11, 11).clone()


SSIM = Code(
    right=reference,
    differentiable=of_each(),
    inputs=pairs,
    examples=lambda: (
        {"x_hat": equal_rows(0.02), "x": equal_rows(0.0), "data_range": 1.0},
        {"x_hat": equal_rows(0.2, 0.2, 0.24, 0.24), "x": equal_rows(0.2, 0.24), "data_range": 1.0},
        {"x_hat": equal_rows(0.3, 0.6), "x": equal_rows(0.7, 0.4), "data_range": 1.0},
    ),
    mistakes={
        "The mean runs over the whole batch; expected one number for each image.": (
            lambda x_hat, x, data_range: ssim_map(x_hat, x, data_range).mean()
        ),
        "This is the map, window by window; its mean over each image is asked for.": ssim_map,
        "The windows run over the border, where zeros stand in for pixels: zeros in both images "
        "agree, and so does your border. Use no padding.": of_each(padding=5),
        "The window is uniform; the question asks for a Gaussian one.": (
            of_each(window=uniform_window)
        ),
        "This is SSIM with uniform windows of 7 × 7 pixels, the default of `ippy.quality.ssim` and "
        "of scikit-image.": lambda x_hat, x, data_range: ssim(x_hat, x, data_range=data_range),
        "The Gaussian is narrower than asked for: in the exponent it is i² / (2σ²).": (
            of_each(window=partial(gaussian_window, 1.5 / math.sqrt(2)))
        ),
        "The Gaussian is wider than asked for: in the exponent it is i² / (2σ²), with σ squared.": (
            of_each(window=partial(gaussian_window, math.sqrt(1.5)))
        ),
        "The window does not sum to 1, so it does not average. Divide it by its sum.": (
            of_each(window=partial(gaussian_window, normalised=False))
        ),
        "Variances and covariance are larger by 121/120, the correction for n - 1; the question "
        "asks for none.": of_each(correction=COUNT / (COUNT - 1)),
        "Variances and covariance are divided by 1 − Σw², a correction for the estimated mean; the "
        "question asks for none.": of_each(correction=1 / unweighted()),
        "The factor that compares the means is missing.": of_each(luminance=False),
        "Windows where images contradict each other have an SSIM below 0; yours are set to 0.": (
            of_each(lambda values: values.clamp(min=0))
        ),
        "Windows where images contradict each other have an SSIM below 0; yours lost the sign.": (
            of_each(torch.abs)
        ),
        "Windows inside the image leave the border out by themselves; you cut it off once more.": (
            of_each(lambda values: values[..., 5:-5, 5:-5])
        ),
        "The constants do not know the data range: C1 = (0.01·R)² and C2 = (0.03·R)².": (
            lambda x_hat, x, data_range: of_each()(x_hat, x, 1.0)
        ),
        "The constants are not squared.": of_each(power=1),
        "The two constants are exchanged.": of_each(constants=(0.03, 0.01)),
        "The constants are missing: where the image is flat you divide by almost zero.": (
            of_each(constants=(0.0, 0.0))
        ),
        "This is 1 − SSIM, the loss. The metric is 1 for equal images.": of_each(lambda m: 1 - m),
    },
    tolerance=2e-4,
    scale=1.0,
    number=True,
    gradient=("x_hat",),
)

EXERCISES = (
    Exercise(
        name="ssim",
        kind="code",
        hints=(
            "Write a function that averages over the window around each pixel, as a convolution; "
            "call it on x, x̂, x², x̂² and x·x̂. Everything else follows from these five.",
            "Variance = mean of the square minus square of the mean; the covariance in the same "
            "way. Nothing is divided by n - 1.",
            "The window: exp(-(i² + j²) / (2σ²)) for i, j = -5 … 5, divided by its sum. The "
            "constants: (0.01·R)² and (0.03·R)², R the data range.",
        ),
        why="Yours agrees with scikit-image. Window, border, constants and data "
        "range all have to be said before two SSIMs can be compared.",
        judge=SSIM,
    ),
)
