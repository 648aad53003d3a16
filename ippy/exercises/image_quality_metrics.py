"""Exercises on image-quality metrics."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn import functional as F

from ippy.exercises.calling import call
from ippy.exercises.core import Exercise, Wrong
from ippy.exercises.judging import check_gradient, choice, compare, formula, fresh, number
from ippy.quality import metrics


def pair(B: int, *, data_range: float = 1.0) -> tuple[Tensor, Tensor]:
    """Draw smooth images and noisy estimates, each image at another noise: (B, 1, 24, 20) each."""
    x = F.interpolate(fresh(B, 1, 6, 5), scale_factor=4, mode="bilinear")
    noise = torch.linspace(0.1, 0.5, B).reshape(B, 1, 1, 1) * (fresh(B, 1, 24, 20) - 0.5)
    return data_range * (x + noise), data_range * x


def judge_psnr(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """PSNR of each image in dB, (B,), for any data range."""
    for data_range in (1.0, 255.0):
        x_hat, x = pair(3, data_range=data_range)
        mse = (x_hat - x).square().mean(dim=(1, 2, 3))  # (B,)
        right = metrics.psnr(x_hat, x, data_range=data_range)
        peak = x.amax(dim=(1, 2, 3))
        compare(
            call(answer, x_hat=x_hat, x=x, data_range=data_range),
            right,
            mistakes={
                "The mean runs over the whole batch: this is the PSNR of the mean MSE. Expected "
                "one number for each image; their mean is another number.": (
                    10 * torch.log10(data_range**2 / mse.mean())
                ),
                "This is the mean of the images' PSNRs; expected one number for each image.": (
                    right.mean()
                ),
                "This is the sum of the squared errors in the formula, not their mean.": (
                    10 * torch.log10(data_range**2 / (mse * x[0].numel()))
                ),
                "The data range is ignored: for images in [0, 255] it must be there, squared.": (
                    10 * torch.log10(1 / mse)
                ),
                "The data range is not squared. MSE is a squared grey level, so its counterpart "
                "must be one too.": 10 * torch.log10(data_range / mse),
                "You take the brightest pixel of the image for the data range. The range is what "
                "the images *could* have; the brightest pixel changes from slice to slice.": (
                    10 * torch.log10(peak**2 / mse)
                ),
                "The logarithm is the natural one; decibels need base 10.": (
                    10 * torch.log(data_range**2 / mse)
                ),
                "The factor is 20 and the ratio is already one of squares; that counts the square "
                "twice.": 20 * torch.log10(data_range**2 / mse),
                "The root is taken, but the factor stayed 10: with RMSE it is 20.": (
                    10 * torch.log10(data_range / mse.sqrt())
                ),
                "The sign is turned round: a smaller error must give a larger PSNR.": -right,
                "The factor 10 is missing: this is in bel, not in decibel.": right / 10,
                "This is the MSE; PSNR is its logarithm, relative to the data range.": mse,
            },
        )
    _, x = pair(2)
    equal = call(answer, x_hat=x.clone(), x=x, data_range=1.0)
    if not (equal == math.inf).all():
        raise Wrong(
            "For two equal images the PSNR is infinite; yours is not. A small number added to the "
            "MSE or a limit puts a ceiling on every good score."
        )


def ssim_map(
    x_hat: Tensor,
    x: Tensor,
    data_range: float,
    *,
    kernel: Tensor,
    constants: tuple[float, float] = (0.01, 0.03),
    power: int = 2,
    padding: int = 0,
) -> Tensor:
    """Compute SSIM window by window, with everything that can go wrong as an argument."""
    C1, C2 = ((c * data_range) ** power for c in constants)

    def mean(t: Tensor) -> Tensor:
        return F.conv2d(t, kernel, padding=padding)

    a, b = x_hat.double(), x.double()
    mu_a, mu_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mu_a**2, mean(b * b) - mu_b**2
    cov = mean(a * b) - mu_a * mu_b
    similar = (2 * mu_a * mu_b + C1) * (2 * cov + C2)
    return similar / ((mu_a**2 + mu_b**2 + C1) * (var_a + var_b + C2))


def gaussian_window(size: int, sigma: float) -> Tensor:
    """Return a normalised Gaussian window, (1, 1, size, size)."""
    profile = torch.exp(-((torch.arange(size).double() - size // 2) ** 2) / (2 * sigma**2))
    window = torch.outer(profile, profile)
    return (window / window.sum())[None, None]


def judge_ssim(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """SSIM of each image, (B,): Gaussian 11 x 11 windows, sigma 1.5, inside the image."""
    window = gaussian_window(11, 1.5)
    bare = torch.exp(-((torch.arange(11).double() - 5) ** 2) / (2 * 1.5**2))
    for data_range in (1.0, 255.0):
        x_hat, x = pair(3, data_range=data_range)
        right = [
            structural_similarity(
                a[0].double().numpy(),
                b[0].double().numpy(),
                data_range=data_range,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for a, b in zip(x_hat, x, strict=True)
        ]  # the reference implementation of the field: it leaves out the border of 5 pixels too

        def wrong(kernel: Tensor = window, **options: object) -> Tensor:
            values = ssim_map(x_hat, x, data_range, kernel=kernel, **options)  # noqa: B023
            return values.mean(dim=(1, 2, 3))

        compare(
            call(answer, x_hat=x_hat, x=x, data_range=data_range),
            torch.from_numpy(np.array(right)).float(),
            mistakes={
                "The mean runs over the whole batch; expected one number for each image.": (
                    wrong().mean()
                ),
                "This is the map, window by window; its mean over each image is asked for.": (
                    ssim_map(x_hat, x, data_range, kernel=window)
                ),
                "The windows run over the border, where zeros stand in for pixels: zeros in both "
                "images agree, and so does your border. Use no padding.": wrong(padding=5),
                "The window is uniform; the question asks for a Gaussian one.": (
                    wrong(torch.full((1, 1, 11, 11), 1 / 121, dtype=torch.float64))
                ),
                "This is SSIM with uniform windows of 7 × 7 pixels, the default of "
                "`ippy.quality.ssim` and of scikit-image.": (
                    metrics.ssim(x_hat, x, data_range=data_range)
                ),
                "The Gaussian is narrower than asked for: in the exponent it is i² / (2σ²).": (
                    wrong(gaussian_window(11, 1.5 / math.sqrt(2)))
                ),
                "The Gaussian is wider than asked for: in the exponent it is i² / (2σ²), with σ "
                "squared.": wrong(gaussian_window(11, math.sqrt(1.5))),
                "The window does not sum to 1, so it does not average. Divide it by its sum.": (
                    wrong(torch.outer(bare, bare)[None, None])
                ),
                "The constants do not know the data range: C1 = (0.01·R)² and C2 = (0.03·R)².": (
                    ssim_map(x_hat, x, 1.0, kernel=window).mean(dim=(1, 2, 3))
                ),
                "The constants are not squared.": wrong(power=1),
                "The two constants are exchanged.": wrong(constants=(0.03, 0.01)),
                "The constants are missing: where the image is flat you divide by almost zero.": (
                    wrong(constants=(0.0, 0.0))
                ),
                "This is 1 − SSIM, the loss. The metric is 1 for equal images.": 1 - wrong(),
            },
            tolerance=2e-4,
        )

    def reference(x_hat: Tensor, x: Tensor, data_range: float) -> Tensor:
        return ssim_map(x_hat, x, data_range, kernel=window).mean(dim=(1, 2, 3)).float()

    x_hat, x = pair(2)
    check_gradient(answer, reference, x_hat=x_hat.requires_grad_(), x=x, data_range=1.0)


def flat_ssim(a: float, b: float) -> float:
    """SSIM of two flat images with grey levels a and b, data range 1."""
    return (2 * a * b + 1e-4) / (a**2 + b**2 + 1e-4)


EXERCISES = (
    Exercise(
        name="psnr",
        kind="code",
        hints=(
            "One image at a time: over which axes does the mean of the squared errors run, and "
            "which one stays?",
            "PSNR compares two squared grey levels, the largest possible one and the mean squared "
            "error, as ten times the logarithm of their ratio.",
            "Try it by hand: an error of 0.1 in every pixel gives an MSE of 0.01 and must give "
            "20 dB for images in [0, 1].",
        ),
        why="Averaging first or last, and the data range, move a PSNR by more than most papers "
        "claim to gain. Now you know which one yours is.",
        judge=judge_psnr,
    ),
    Exercise(
        name="rounding",
        kind="number",
        hints=(
            "How large can the error of rounding be, compared with the step Δ = 1/255? Is any "
            "value in that range more likely than another?",
            "What is the mean square of a number that is evenly spread over [-Δ/2, Δ/2]?",
            "Integrate e² over that range and divide by its length. Then PSNR, with data range 1.",
        ),
        why="The exact slice itself scores no more than this against its 8-bit copy. Differences "
        "between methods near 59 dB are about rounding, not about restoration.",
        judge=number(
            10 * math.log10(12 * 255**2),
            tolerance=0.05,
            unit="dB",
            mistakes={
                "You take the largest possible error, half a step, for every pixel. Most are "
                "smaller.": 10 * math.log10(4 * 255**2),
                "You take a whole step as the error; rounding is wrong by half a step at most.": (
                    20 * math.log10(255)
                ),
                "Your mean square is Δ²/3: that is an error spread over [-Δ, Δ].": (
                    10 * math.log10(3 * 255**2)
                ),
                "The error is spread over [-Δ/2, Δ/2], so its mean *absolute* value is Δ/4. PSNR "
                "wants the mean of the squares.": 10 * math.log10(16 * 255**2),
                "A power ratio has the factor 10, not 20.": 20 * math.log10(12 * 255**2),
            },
        ),
    ),
    Exercise(
        name="flat-ssim",
        kind="formula",
        hints=(
            "What are the variances and the covariance of flat images? Which of the two factors of "
            "SSIM is left?",
            "Of C1 and C2, one cancels. Data range 1: C1 = 0.01².",
        ),
        why="The same difference of 0.02 costs nearly nothing in bright tissue and nearly "
        "everything in the dark: SSIM compares ratios. In CT, most of a slice is dark air.",
        judge=formula(
            flat_ssim,
            points=lambda: {"a": fresh().item(), "b": fresh().item()},
            example={"a": 0.02, "b": 0.0},
            mistakes={
                "C1 is missing. Without it, black against nearly black would be 0, however small "
                "the difference.": lambda a, b: 2 * a * b / (a**2 + b**2) if a or b else 1.0,
                "You use C2, which belongs to the contrasts; here only the brightness is left.": (
                    lambda a, b: (2 * a * b + 9e-4) / (a**2 + b**2 + 9e-4)
                ),
                "C1 is 0.01 squared.": lambda a, b: (2 * a * b + 0.01) / (a**2 + b**2 + 0.01),
                "The factor 2 in the numerator is missing: for a = b it would not be 1.": (
                    lambda a, b: (a * b + 1e-4) / (a**2 + b**2 + 1e-4)
                ),
            },
        ),
    ),
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
        why="Yours agrees with scikit-image to four digits. Window, border, constants and data "
        "range all have to be said before two SSIMs can be compared.",
        judge=judge_ssim,
    ),
    Exercise(
        name="worst-slice",
        kind="choice",
        hints=(
            "Compute the two MSEs before and after. Which of the two slices makes up nearly all of "
            "their mean?",
            "25 dB is an MSE of 0.0032, 45 dB one of 0.00003.",
        ),
        why="The mean of PSNRs is a vote in which each slice counts alike; the PSNR of the mean "
        "MSE looks at the worst slice nearly alone. Say which one you report, and why.",
        judge=choice(
            "b",
            wrong={
                "a": "The mean of the PSNRs is 35 dB before and after, that is right. But the "
                "other average is one of MSEs: compute them.",
                "c": "Look at the sizes: the good slice's MSE is a hundred times smaller than the "
                "bad one's, before and after.",
                "d": "25 + 45 = 28 + 42, so the mean of the PSNRs does not move.",
            },
        ),
    ),
)
