"""Exercises on comparing models, and on consistency with the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ippy.exercises.calling import call
from ippy.exercises.core import Exercise
from ippy.exercises.judging import (
    as_number,
    check_gradient,
    choice,
    compare,
    formula,
    fresh,
    fresh_integer,
    number,
)
from ippy.operators import Blurring, LinearOperator


def judge_standard_error(answer: Callable[[Tensor, Tensor], Any]) -> None:
    """Scores of two models on the same n slices, (n,) each -> standard error of the mean gain."""
    n = 12
    b = 30 + 8 * fresh(n)  # the slices differ much more than the models
    a = b + 0.5 + fresh(n)
    gain = a - b
    root = math.sqrt(n)
    value = call(answer, a=a, b=b)
    result = value if isinstance(value, Tensor) and value.ndim else torch.tensor(as_number(value))
    compare(
        result.float(),
        gain.std() / root,
        mistakes={
            "This treats the two models as scored on different slices. They saw the same ones: "
            "what one slice gains is what varies, and that is much less.": (
                ((a.var() + b.var()) / n).sqrt()
            ),
            "This is the standard deviation of the gain, how much one slice varies. The *mean* of "
            "n slices varies less.": gain.std(),
            "You divide by n; a mean of n independent numbers varies by 1/√n.": gain.std() / n,
            "You divide the squares by n; since the mean is estimated as well, it is n − 1.": (
                gain.std(correction=0) / root
            ),
            "This is the variance of the mean; its root is asked for.": gain.var() / n,
            "This is the mean gain; its standard error is asked for.": gain.mean(),
            "These are the gains, slice by slice. One number is asked for.": gain,
            "You subtract two standard deviations. Subtract the scores first, slice by slice.": (
                ((a.std() - b.std()) / root).abs()
            ),
        },
    )


def consistency_step(x: Tensor, y: Tensor, K: LinearOperator, t: float) -> Tensor:
    """One step of gradient descent on 1/2 ||K x - y||^2."""
    return x - t * K.T(K(x) - y)


def judge_data_step(answer: Callable[[Tensor, Tensor, LinearOperator, float], Tensor]) -> None:
    """Images x, measurements y (B, 1, H, W), operator K, step t -> x - t K^T(K x - y)."""
    for t in (1.0, 0.3):
        kernel = fresh(5, 5)  # not symmetric: K and its adjoint are different
        K = Blurring(kernel=kernel / kernel.sum())
        x, y = fresh(2, 1, 16, 12), fresh(2, 1, 16, 12)
        residual = K(x) - y
        compare(
            call(answer, x=x, y=y, K=K, t=t),
            consistency_step(x, y, K, t),
            mistakes={
                "The step goes uphill: the residual grows. Descent goes against the gradient, and "
                "the sign depends on how you write the residual.": x + t * K.T(residual),
                "The residual is mapped back with K. It lives where the measurement lives; the "
                "gradient needs the adjoint.": x - t * K(residual),
                "Both: K in place of its adjoint, and the step goes uphill.": x + t * K(residual),
                "The residual is not mapped back at all: the adjoint is missing.": x - t * residual,
                "The factor 2 comes from ‖Kx - y‖² without the ½ of the question.": (
                    x - 2 * t * K.T(residual)
                ),
                "The step size is missing.": x - K.T(residual),
                "This is the gradient alone; the step starts from x.": K.T(residual),
                "You compare x itself with y. What a measurement is compared with is K x.": (
                    x - t * K.T(x - y)
                ),
                "The residual is computed from the adjoint: K and Kᵀ are exchanged.": (
                    x - t * K(K.T(x) - y)
                ),
            },
        )
    x = fresh(1, 1, 8, 9).requires_grad_()
    check_gradient(answer, consistency_step, x=x, y=fresh(1, 1, 8, 9), K=K, t=0.5)


EXERCISES = (
    Exercise(
        name="standard-error",
        kind="code",
        hints=(
            "Both models saw the same slices. Which number do you have for each slice, before any "
            "averaging?",
            "Subtract slice by slice first, then look at how these differences scatter.",
            "The standard error of a mean of n independent numbers is their standard deviation "
            "(with n - 1) divided by √n.",
        ),
        why="Slices differ by several dB, the gains on them by less. Pairing removes what both "
        "models share, so the same slices tell far more.",
        judge=judge_standard_error,
    ),
    Exercise(
        name="how-many-slices",
        kind="number",
        hints=(
            "The interval is the mean difference ± 1.96 standard errors. When does it leave out 0?",
            "The standard error is 0.4/√n dB. Solve for n, and remember that a slice cannot be "
            "cut.",
        ),
        why="Half the difference needs four times the slices. Before a comparison is run, this "
        "line says whether its test set can answer the question at all.",
        judge=number(
            62,
            tolerance=0.01,
            unit="slices",
            mistakes={
                "With 61 slices the interval still holds 0, if only just.": 61,
                "Slices are whole: which is the first whole number that is enough?": 61.4656,
                "The standard error falls with √n, not with n: square what you have.": 7.84,
                "The standard error falls with √n, not with n: square what you have, then round "
                "up.": 8,
                "You ask that one standard error fits; for 95 % it is 1.96 of them.": 16,
                "You use 2·1.96: the whole width of the interval. Only its lower half must fit "
                "between 0 and the mean.": 246,
                "You use 2 in place of 1.96.": 64,
            },
        ),
    ),
    Exercise(
        name="many-tests",
        kind="number",
        hints=(
            "How many pairs can be formed of seven models?",
            "Each test of two equal models calls out falsely with probability 0.05. What is the "
            "expected number over all pairs?",
        ),
        why="One 'significant' pair among 21 is what pure chance delivers. Decide beforehand which "
        "comparison matters, or correct for the number of tests.",
        judge=number(
            1.05,
            tolerance=0.005,
            mistakes={
                "You count each pair twice: A against B is B against A.": 2.1,
                "You count a model against itself as well.": 1.4,
                "This is seven tests; every pair of models is one.": 0.35,
                "This is the number of pairs. How many of them are called by chance?": 21,
                "This is the probability of at least one false call (for independent tests). The "
                "expected number is asked for.": 1 - 0.95**21,
                "An expected number need not be a whole one.": 1,
                "You count all ordered pairs, each model with itself too.": 2.45,
            },
        ),
    ),
    Exercise(
        name="split-by-patient",
        kind="choice",
        hints=(
            "Slices 12 and 13 of one patient are a millimetre apart. Where may the two of them go "
            "in each kind of split?",
            "What has the network seen when it is tested on slice 13, having been trained on 12 "
            "and 14?",
        ),
        why="Neighbouring slices are nearly the same picture. A split by slices tests memory, a "
        "split by patients tests what will happen to the next patient.",
        judge=choice(
            "d",
            wrong={
                "a": "The number of training slices is the same in both splits.",
                "b": "Chance may move the score a little, but here every run agrees. What differs "
                "between the test sets?",
                "c": "If it were easier slices, the measurement's own PSNR would rise as well; the "
                "question says that it does not.",
            },
        ),
    ),
    Exercise(
        name="data-step",
        kind="code",
        hints=(
            "Write f(x) = ½‖Kx − y‖² and take the gradient: the chain rule puts one operator in "
            "front of the residual.",
            "The residual lives in the space of the measurement. Which of K and K.T leads back to "
            "images?",
            "Descent subtracts: x minus t times the gradient, with the residual as K x − y.",
        ),
        why="This step is where physics enters a network: unrolled and plug-and-play methods "
        "alternate it with a learned denoiser. It needs the exact adjoint.",
        judge=judge_data_step,
    ),
    Exercise(
        name="step-size",
        kind="formula",
        hints=(
            "In the direction of a singular vector of K with singular value s, what does a step do "
            "to the error in that coordinate?",
            "It multiplies it by 1 − t·s². For which t is that between −1 and 1?",
            "The largest singular value decides. It is the norm of K.",
        ),
        why="Our blur has positive taps that sum to 1, so its norm is at most 1 and t = 1 is safe. "
        "For another operator, measure its norm first.",
        judge=formula(
            lambda norm: 2 / norm**2,
            points=lambda: {"norm": 0.1 + 5 * fresh().item() + fresh_integer(0, 3)},
            example={"norm": 3.0},
            mistakes={
                "This is half of it: a step of 1/‖K‖² is safe, and the fastest one along the "
                "strongest direction, but larger ones still converge.": lambda norm: 1 / norm**2,
                "The norm enters squared: K and its adjoint both act in each step.": (
                    lambda norm: 2 / norm
                ),
                "The norm enters squared, and the bound is twice as large.": lambda norm: 1 / norm,
                "The larger the norm, the smaller the step must be.": lambda norm: 2 * norm**2,
                "This is the bound for ‖Kx − y‖² without the ½.": lambda norm: 0.5 / norm**2,
            },
        ),
    ),
)
