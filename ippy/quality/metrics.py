"""What is reported about a reconstruction: one number for each image of a batch.

Every metric is called as ``metric(x_hat, x)``, estimate first, on images (B, C, H, W) in [0, 1],
and returns a float tensor (B,). Arguments are checked as :mod:`ippy.base.images` says.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ippy.base.checks import LARGEST, check_number
from ippy.base.images import check_pair
from ippy.quality.features import MIN_SIZE, MISSING_FEATURES, check_colours, features_available


@dataclass(frozen=True)
class Metric:
    """A metric, and how a table or an axis shows it.

    Attributes:
        function: Called as ``function(x_hat, x)``.
        label: Name, with the unit if there is one.
        digits: After the decimal point.
        higher_is_better: Which way a better reconstruction changes it.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    label: str
    digits: int
    higher_is_better: bool


WINDOW = 7  # side of SSIM's windows in pixels


def available_metrics() -> list[str]:
    """Return the names of all metrics; without LPIPS where its features can't be had."""
    return [name for name in METRICS if name != "lpips" or features_available()]


def mse(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the mean squared error of each image, (B,).

    Raises:
        ValueError: Their shapes are not the same (B, C, H, W), or they hold NaN or infinity.
    """
    check_pair(x_hat, x, wait=True)
    return _mse(x_hat, x).float()


def psnr(x_hat: Tensor, x: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return the peak signal-to-noise ratio of each image in dB, (B,).

    PSNR = 10 log10(data_range^2 / MSE), infinite for equal images.

    Args:
        x_hat: Estimates (B, C, H, W).
        x: True images (B, C, H, W).
        data_range: Largest minus smallest possible grey level.

    Raises:
        ValueError: The shapes are not the same (B, C, H, W), the images hold NaN or infinity, ``x``
            does not fit ``data_range``, or that is not positive.
    """
    data_range = _check_range(data_range)
    check_pair(x_hat, x, data_range=data_range, wait=True)
    return (10 * torch.log10(data_range**2 / _mse(x_hat, x))).float()


def ssim(x_hat: Tensor, x: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return the structural similarity of each image, (B,), at most 1.

    Wang et al., Image quality assessment: from error visibility to structural similarity, IEEE TIP
    2004; the details are scikit-image's defaults: uniform 7x7 windows inside the image, sample
    covariances, the mean over windows and channels.

    Args:
        x_hat: Estimates (B, C, H, W), 7x7 pixels or more.
        x: True images (B, C, H, W).
        data_range: Largest minus smallest possible grey level.

    Raises:
        ValueError: The shapes are not the same (B, C, H, W), an image is smaller than a window or
            holds NaN or infinity, ``x`` does not fit ``data_range``, or that is not positive.
    """
    data_range = _check_range(data_range)
    check_pair(x_hat, x, min_size=WINDOW, data_range=data_range, wait=True)
    x_hat, x = (images.to(_precise(x.device)) for images in (x_hat, x))
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # for any number of images
        return _ssim(x_hat, x, data_range).float()
    pairs = zip(x_hat.split(1), x.split(1), strict=True)
    return torch.cat([_ssim(a, b, data_range) for a, b in pairs]).float()  # one fits the cache


def lpips(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the learned perceptual distance (AlexNet) of each image, (B,), 0 for equal images.

    Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric, CVPR 2018,
    by the authors' package. It has no gradient here; see :class:`ippy.quality.PerceptualLoss`.

    Args:
        x_hat: Estimates (B, 1 or 3, H, W) in [0, 1], 31x31 pixels or more.
        x: True images, the same.

    Raises:
        FileNotFoundError: The pretrained features can't be had.
        ValueError: The shapes are not the same (B, 1 or 3, H, W), or the images are too small, hold
            NaN or infinity, or are not on the scale of [0, 1].
    """
    check_pair(x_hat, x, min_size=MIN_SIZE, data_range=1, wait=True)
    check_colours(x)
    network = _lpips_network(x.device)
    scaled = [(2 * image.float() - 1).expand(-1, 3, -1, -1) for image in (x_hat, x)]
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        return network(*scaled).flatten()  # (B, 1, 1, 1) -> (B,)


def _mse(x_hat: Tensor, x: Tensor) -> Tensor:
    precise = _precise(x.device)
    return (x_hat.to(precise) - x.to(precise)).square().mean(dim=(1, 2, 3))  # (B,)


def _precise(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64


def _ssim(x_hat: Tensor, x: Tensor, data_range: float) -> Tensor:
    """Return the mean SSIM of each image (B, C, H, W): (B,).

    Both factors of SSIM are written as 1 minus a difference, with var(x_hat - x) in place of the
    covariance: 2 cov = var_hat + var - var(x_hat - x). Where the images nearly agree nothing is
    lost to rounding, even in float32; what that loses grows with the mean squared error.
    """
    C1, C2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    error = x_hat - x
    mu_hat, mu, squares, error_squares = _window_means(
        torch.stack([x_hat, x, x_hat * x_hat + x * x, error * error])
    ).unbind()  # (B, C, H-6, W-6) each
    mu_squares, mu_error_squares = mu_hat * mu_hat + mu * mu, (mu_hat - mu).square()
    sample = WINDOW**2 / (WINDOW**2 - 1)  # from mean squares to sample variances
    variances = (sample * (squares - mu_squares)).clamp(min=0)  # of x_hat plus of x
    error_variance = sample * (error_squares - mu_error_squares)
    # var(a - b) is at most 2 var(a) + 2 var(b): rounding must not break it on nearly flat images
    error_variance = torch.minimum(error_variance.clamp(min=0), 2 * variances)
    luminance = 1 - mu_error_squares / (mu_squares + C1)
    structure = 1 - error_variance / (variances + C2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _window_means(x: Tensor) -> Tensor:
    """Average over each 7x7 window inside the image: (..., H, W) -> (..., H-6, W-6)."""
    for axis in (-2, -1):
        n = x.shape[axis]
        two = x.narrow(axis, 0, n - 1) + x.narrow(axis, 1, n - 1)  # sums of 2 neighbours
        four = two.narrow(axis, 0, n - 3) + two.narrow(axis, 2, n - 3)  # of 4
        x = four.narrow(axis, 0, n - 6) + two.narrow(axis, 4, n - 6) + x.narrow(axis, 6, n - 6)
    return x / WINDOW**2


def _check_range(data_range: float) -> float:
    return check_number("data_range", data_range, least=1e-6, most=LARGEST)


@functools.cache
def _lpips_network(device: torch.device) -> nn.Module:
    """Return the authors' network on a device, built once."""
    if not features_available():
        raise FileNotFoundError(MISSING_FEATURES)
    from lpips import LPIPS

    default = torch.get_default_dtype()
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.device("cpu"):
        warnings.simplefilter("ignore")  # it calls torchvision by an older name of an argument
        torch.set_default_dtype(torch.float32)  # of its constants, whatever the caller's may be
        try:
            return LPIPS(net="alex", verbose=False).to(device).requires_grad_(False)
        finally:
            torch.set_default_dtype(default)


METRICS: dict[str, Metric] = {
    "mse": Metric(mse, "MSE", 6, False),
    "psnr": Metric(psnr, "PSNR (dB)", 2, True),
    "ssim": Metric(ssim, "SSIM", 4, True),
    "lpips": Metric(lpips, "LPIPS", 4, False),
}
"""The four metrics, by name."""
