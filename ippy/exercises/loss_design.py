"""Exercises on loss functions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ippy.exercises import training_step
from ippy.exercises.calling import call
from ippy.exercises.core import Exercise
from ippy.exercises.judging import check_gradient, choice, compare, formula, fresh
from ippy.quality import FourierLoss


def judge_l1(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Images (B, C, H, W) -> the mean absolute error, one number with a gradient."""
    x_hat, x = fresh(3, 2, 7, 5), fresh(3, 2, 7, 5)
    error = x_hat - x
    compare(
        call(answer, x_hat=x_hat, x=x),
        error.abs().mean(),
        mistakes={
            "This is still the MSE: the error is squared.": error.square().mean(),
            "The root of the MSE has the unit of L1, but it still squares each error first: large "
            "ones dominate.": error.square().mean().sqrt(),
            "You sum over the pixels. Then the size of the batch and of the crops changes the "
            "gradient, and with it the right learning rate.": error.abs().sum(),
            "You sum within each image and average over the batch only: the size of the crops "
            "still changes the gradient.": error.abs().sum(dim=(1, 2, 3)).mean(),
            "The absolute value is missing: errors of opposite sign cancel.": error.mean(),
            "The absolute value comes after the mean: errors of opposite sign have cancelled "
            "already.": error.mean().abs(),
            "This is one number for each image; a loss to minimise is one number.": (
                error.abs().mean(dim=(1, 2, 3))
            ),
            "These are the errors pixel by pixel; their mean is asked for.": error.abs(),
        },
    )
    x_hat.requires_grad_()
    check_gradient(answer, F.l1_loss, x_hat=x_hat, x=x)
    partly = x.clone()
    partly[..., 0] += 0.1  # most pixels are already right
    check_gradient(answer, F.l1_loss, x_hat=partly.requires_grad_(), x=x)


def judge_high_pass(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Images (B, C, H, W) -> mean |F(x_hat) - F(x)| over the frequencies of cutoff and above."""
    for shape, cutoff in (((2, 1, 16, 16), 0.2), ((2, 2, 12, 18), 0.33)):
        x_hat, x = 0.5 + 0.5 * fresh(*shape), fresh(*shape)  # too bright: the zero frequency counts
        H, W = shape[2:]
        a, b = (torch.fft.fft2(image, norm="ortho") for image in (x_hat, x))
        f, g = torch.fft.fftfreq(H)[:, None], torch.fft.fftfreq(W)[None, :]
        size, keep = (a - b).abs(), torch.hypot(f, g) >= cutoff
        half = torch.fft.rfft2(x_hat - x, norm="ortho").abs()
        square = torch.maximum(f.abs(), g.abs()) >= cutoff
        compare(
            call(answer, x_hat=x_hat, x=x, cutoff=cutoff),
            FourierLoss(high_pass=cutoff)(x_hat, x),
            mistakes={
                "These are the low frequencies: the mask is turned round.": size[..., ~keep].mean(),
                "All frequencies are compared; nothing is cut off.": size.mean(),
                "The mask is right, but the mean runs over all coefficients, the zeros included. "
                "Divide by the number of those that are compared.": (size * keep).mean(),
                'The transform is not orthonormal. With `norm="ortho"` the loss does not depend on '
                "the size of the image.": size[..., keep].mean() * (H * W) ** 0.5,
                "You compare moduli only, |F(x̂)| with |F(x)|. Two images can have the same moduli "
                "and look nothing alike: take the difference first.": (
                    (a.abs() - b.abs()).abs()[..., keep].mean()
                ),
                "The mask is laid out with the zero frequency in the middle, the spectrum with it "
                "in the corner. Use `fftshift` on neither or on both.": (
                    size[..., torch.fft.fftshift(keep)].mean()
                ),
                "Frequencies are counted in cycles per image, so everything but the mean passes. "
                "The cut-off is in cycles per pixel.": size[
                    ..., torch.hypot(f * H, g * W) >= cutoff
                ].mean(),
                "Your cut-off is a square: the frequency of a coefficient is the length of "
                "(f_row, f_column).": size[..., square].mean(),
                "Both frequencies are asked to be high. A vertical edge has a high frequency along "
                "the rows and none down the columns.": (
                    size[..., (f.abs() >= cutoff) & (g.abs() >= cutoff)].mean()
                ),
                "The moduli are squared; the question asks for the absolute value.": (
                    size[..., keep].square().mean()
                ),
                "`rfft2` keeps half of the frequencies, and its mean counts the columns f = 0 and "
                "f = ½ twice as much as the others. Use `fft2`.": (
                    half[..., torch.hypot(f, torch.fft.rfftfreq(W)[None, :]) >= cutoff].mean()
                ),
                "You sum over the coefficients; their mean is asked for.": size[..., keep].sum(),
            },
        )
    x_hat = fresh(1, 1, 9, 8).requires_grad_()
    check_gradient(
        answer,
        lambda x_hat, x, cutoff: FourierLoss(high_pass=cutoff)(x_hat, x),
        x_hat=x_hat,
        x=fresh(1, 1, 9, 8),
        cutoff=0.25,
    )


EXERCISES = (
    Exercise(
        name="l1",
        kind="code",
        hints=(
            "Two changes from the MSE: what is done with each error, and in which order is it done "
            "with the mean?",
            "Try it by hand: two pixels with the errors 0.1 and −0.3. The loss must be 0.2.",
            "If values are right and the gradient is not: keep to tensor operations, and to "
            "`abs()` in place of a square root of a square.",
        ),
        why="Its gradient has the same size for small and large errors. That keeps training when "
        "errors are small, and it is robust: an outlier pulls no harder than any other pixel.",
        judge=judge_l1,
    ),
    *training_step.EXERCISES,
    Exercise(
        name="high-pass",
        kind="code",
        hints=(
            "The Fourier transform is linear: transform the difference, once.",
            "`torch.fft.fftfreq(n)` gives the frequencies of an axis in cycles per pixel, in the "
            "order in which `fft2` puts them out. One axis as a column, one as a row.",
            "Boolean indexing, `spectrum[..., mask]`, keeps the coefficients that count. Then the "
            "modulus, then the mean.",
        ),
        why="Fine detail carries little of an image's energy, though after a blur most of the "
        "error sits there. This term looks at nothing else; alone it would not notice a wrong "
        "brightness.",
        judge=judge_high_pass,
    ),
    Exercise(
        name="ambiguity",
        kind="formula",
        hints=(
            "First: which one value t makes p·(t − a)² + (1 − p)·(t − b)² smallest?",
            "It is the mean, p·a + (1 − p)·b. Put it back in and simplify; a and b should appear "
            "only as their difference.",
        ),
        why="No network gets below this, however large: it is the variance of what the measurement "
        "leaves open. And at that minimum the network draws a value that is never true.",
        judge=formula(
            lambda p, a, b: p * (1 - p) * (a - b) ** 2,
            points=lambda: {"p": fresh().item(), "a": fresh().item(), "b": fresh().item()},
            example={"p": 0.25, "a": 1.0, "b": 0.0},
            mistakes={
                "This is the value that the network draws. What MSE is left when it draws it?": (
                    lambda p, a, b: p * a + (1 - p) * b
                ),
                "This is what is left when the network always draws b. There is a better value.": (
                    lambda p, a, b: p * (a - b) ** 2
                ),
                "This is what is left when the network always draws a. There is a better value.": (
                    lambda p, a, b: (1 - p) * (a - b) ** 2
                ),
                "This is right only for p = ½.": lambda p, a, b: (a - b) ** 2 / 4,
                "The difference enters squared.": lambda p, a, b: p * (1 - p) * abs(a - b),
                "This is what is left half-way between a and b. With p ≠ ½ the best value is "
                "nearer to the likelier one.": (
                    lambda p, a, b: p * (a - (a + b) / 2) ** 2 + (1 - p) * (b - (a + b) / 2) ** 2
                ),
            },
        ),
    ),
    Exercise(
        name="loss-values",
        kind="choice",
        hints=(
            "In which unit is each of the two numbers?",
            "What would each of the two losses be for the measurement itself?",
        ),
        why="A loss is a scale of its own. Networks trained with different losses are compared "
        "with metrics that neither of them was trained on, and by looking.",
        judge=choice(
            "c",
            wrong={
                "a": "The numbers have no common unit: one is a squared grey level, the other 1 "
                "minus a similarity.",
                "b": "More epochs would lower it, but not make it comparable.",
                "d": "A weight of 500 would scale the number, and the gradient with it; with Adam "
                "it would change next to nothing. Still not comparable.",
            },
        ),
    ),
    Exercise(
        name="metric-as-loss",
        kind="choice",
        hints=(
            "What does training do to the number that it minimises, whether or not the images get "
            "better?",
            "A metric is blind to some errors. Who finds out about these first: a network that is "
            "trained on it for hours, or one that has never met it?",
        ),
        why="When a measure becomes a target, it stops being a good measure (Goodhart's law). Keep "
        "at least one metric out of training, and look at the pictures.",
        judge=choice(
            "a",
            wrong={
                "b": "LPIPS has a gradient almost everywhere; the question is what the number "
                "means afterwards.",
                "c": "The gain in the number is real. But is it a gain in the images?",
                "d": "A test set guards against memory, not against a metric that was the target: "
                "its blind spots are the same on new slices.",
            },
        ),
    ),
)
