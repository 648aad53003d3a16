"""The exercise on PSNR."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ippy.exercises.core import Exercise
from ippy.exercises.diagnosis import Trial
from ippy.exercises.inputs import fresh
from ippy.exercises.judging import Code
from ippy.quality import psnr

PIXELS = (1, 2, 3)


def pair(B: int, C: int, *, data_range: float = 1.0) -> tuple[Tensor, Tensor]:
    """Draw smooth images, and estimates whose noise differs by image and channel, (B, C, 24, 20).

    The noise leaves the range of the images on both sides.
    """
    x = F.interpolate(fresh(B, C, 6, 5), scale_factor=4, mode="bilinear")
    size = torch.linspace(0.1, 0.6, B * C).reshape(B, C, 1, 1)
    return data_range * (x + size * fresh(B, C, 24, 20, low=-1)), data_range * x


def pairs() -> Iterator[dict[str, Any]]:
    """Draw batches of one channel and of three, of one image and of several, some without error."""
    for B, C, data_range in ((3, 1, 1.0), (3, 3, 255.0), (1, 3, 1.0)):
        x_hat, x = pair(B, C, data_range=data_range)
        if B > 1:
            x_hat[-1] = x[-1]
        yield {"x_hat": x_hat, "x": x, "data_range": data_range}


def mse(x_hat: Tensor, x: Tensor) -> Tensor:
    """The mean squared error of each image, (B,)."""
    return (x_hat - x).square().mean(dim=PIXELS)


def from_mse(formula: Callable[[Tensor, float], Tensor]) -> Callable[..., Tensor]:
    """Return a PSNR with another formula for mean squared error and data range."""
    return lambda x_hat, x, data_range: formula(mse(x_hat, x), data_range)


def by_channel(x_hat: Tensor, x: Tensor, data_range: float) -> Tensor:
    """The PSNR of each channel, (B, C)."""
    return 10 * torch.log10(data_range**2 / (x_hat - x).square().mean(dim=(2, 3)))


def of_brightest(x_hat: Tensor, x: Tensor, data_range: float) -> Tensor:
    """PSNR with each image's brightest pixel for the data range."""
    return 10 * torch.log10(x.amax(dim=PIXELS).square() / mse(x_hat, x))


def ceiling(trials: Sequence[Trial]) -> str:
    """Finite where it should not be, and right elsewhere."""
    for trial in trials:
        result, right = trial.result, trial.right[0]
        finite = right.isfinite()
        if result.shape != right.shape or not result.isfinite().all():
            return ""
        if not torch.allclose(result[finite].float(), right[finite], rtol=1e-3):
            return ""
    return (
        "For two equal images the PSNR is infinite; yours is not. A small number added to the MSE "
        "or a limit puts a ceiling on every good score."
    )


PSNR = Code(
    right=lambda x_hat, x, data_range: psnr(x_hat, x, data_range=data_range),
    inputs=pairs,
    examples=lambda: (
        {
            "x_hat": torch.tensor([[[[0.5, 0.2]]]]),
            "x": torch.tensor([[[[0.4, 0.5]]]]),
            "data_range": 1.0,
        },
        {
            "x_hat": torch.tensor([[[[5.0]], [[2.0]]]]),
            "x": torch.tensor([[[[4.0]], [[5.0]]]]),
            "data_range": 10.0,
        },
    ),
    mistakes={
        "The mean runs over the whole batch: this is the PSNR of the mean MSE. Expected one number "
        "for each image; their mean is another number.": (
            from_mse(lambda mse, R: 10 * torch.log10(R**2 / mse.mean()))
        ),
        "This is the mean of the images' PSNRs; expected one number for each image.": (
            from_mse(lambda mse, R: (10 * torch.log10(R**2 / mse)).mean())
        ),
        "You average the PSNRs of the channels. The mean of the squared errors runs over all "
        "pixels and channels of an image, and the logarithm comes after it.": (
            lambda x_hat, x, data_range: by_channel(x_hat, x, data_range).mean(dim=1)
        ),
        "This is one number for each channel; expected one for each image.": by_channel,
        "This is the sum of the squared errors in the formula, not their mean.": (
            lambda x_hat, x, data_range: (
                10 * torch.log10(data_range**2 / (mse(x_hat, x) * x[0].numel()))
            )
        ),
        "The data range is ignored: for images in [0, 255] it must be there, squared.": (
            from_mse(lambda mse, R: 10 * torch.log10(1 / mse))
        ),
        "The data range is not squared. MSE is a squared grey level, so its counterpart must be "
        "one too.": from_mse(lambda mse, R: 10 * torch.log10(R / mse)),
        "You take the brightest pixel of the image for the data range. The range is what the "
        "images *could* have; the brightest pixel changes from slice to slice.": of_brightest,
        "You take the brightest pixel of the batch for the data range. The range is what the "
        "images *could* have.": (
            lambda x_hat, x, data_range: 10 * torch.log10(x.max() ** 2 / mse(x_hat, x))
        ),
        "These are absolute errors; in the formula the errors are squared before the mean.": (
            lambda x_hat, x, data_range: (
                20 * torch.log10(data_range / (x_hat - x).abs().mean(dim=PIXELS))
            ),
            lambda x_hat, x, data_range: (
                10 * torch.log10(data_range**2 / (x_hat - x).abs().mean(dim=PIXELS))
            ),
        ),
        "The channels are added up; the mean runs over pixels and channels.": (
            lambda x_hat, x, data_range: (
                10 * torch.log10(data_range**2 / (mse(x_hat, x) * x.shape[1]))
            )
        ),
        "You clamp the estimate to the data range first, which hides its largest errors. The "
        "question asks for the PSNR of the images as they come.": (
            lambda x_hat, x, data_range: (
                10 * torch.log10(data_range**2 / mse(x_hat.clamp(0, data_range), x))
            )
        ),
        "The logarithm is the natural one; decibels need base 10.": (
            from_mse(lambda mse, R: 10 * torch.log(R**2 / mse))
        ),
        "The factor is 20 and the ratio is already one of squares; that counts the square twice.": (
            from_mse(lambda mse, R: 20 * torch.log10(R**2 / mse))
        ),
        "The root is taken, but the factor stayed 10: with RMSE it is 20.": (
            from_mse(lambda mse, R: 10 * torch.log10(R / mse.sqrt()))
        ),
        "The root is taken of the error, and the range is squared all the same.": (
            from_mse(lambda mse, R: 10 * torch.log10(R**2 / mse.sqrt()))
        ),
        "The sign is turned round: a smaller error must give a larger PSNR.": (
            from_mse(lambda mse, R: -10 * torch.log10(R**2 / mse))
        ),
        "The factor 10 is missing: this is in bel, not in decibel.": (
            from_mse(lambda mse, R: torch.log10(R**2 / mse))
        ),
        "This is the MSE; PSNR is its logarithm, relative to the data range.": (
            from_mse(lambda mse, R: mse)
        ),
    },
    observations=(ceiling,),
    number=True,
)

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
        judge=PSNR,
    ),
)
