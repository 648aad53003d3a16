"""Exercises on convolutional networks."""

from __future__ import annotations

from ippy.exercises.core import Exercise
from ippy.exercises.judging import choice, formula, fresh_integer


def chain_parameters(n: int, q: int, L: int) -> int:
    """Count the parameters of L convolutions 1 -> n -> ... -> n -> 1, q x q kernels, biases."""
    return n * (q**2 + 1) + (L - 2) * n * (n * q**2 + 1) + (n * q**2 + 1)


EXERCISES = (
    Exercise(
        name="chain-parameters",
        kind="formula",
        hints=(
            "Write down the three kinds of layers one by one: the first has 1 channel in and n "
            "out, the last n in and 1 out, those between n in and n out. How many of each?",
            "A layer with C channels in and C' out has C·C'·q² weights, and one bias for each "
            "channel that comes out.",
            "Check with the course's CNN: n = 32, q = 3, L = 3 must give 9857.",
        ),
        why="Between the ends the count grows with n², with q², but only linearly with L. That is "
        "why depth with small kernels is the cheap way to see further.",
        judge=formula(
            chain_parameters,
            points=lambda: {
                "n": fresh_integer(1, 64),
                "q": 2 * fresh_integer(0, 4) + 1,
                "L": fresh_integer(2, 9),
            },
            example={"n": 32, "q": 3, "L": 3},
            mistakes={
                "The biases are missing: each channel that a layer puts out has one.": (
                    lambda n, q, L: 2 * n * q**2 + (L - 2) * n**2 * q**2
                ),
                "You count a bias for every pair of channels; there is one for each channel that "
                "comes out.": (lambda n, q, L: 2 * n * (q**2 + 1) + (L - 2) * n**2 * (q**2 + 1)),
                "You count L layers from n to n channels; the first and the last are different.": (
                    lambda n, q, L: L * n * (n * q**2 + 1)
                ),
                "You count one layer too many between the first and the last.": (
                    lambda n, q, L: chain_parameters(n, q, L + 1)
                ),
                "You forget how many kernels a layer between has: each of its n outputs looks at "
                "all n inputs.": (
                    lambda n, q, L: n * (q**2 + 1) + (L - 2) * n * (q**2 + 1) + (n * q**2 + 1)
                ),
            },
        ),
    ),
    Exercise(
        name="residual-start",
        kind="choice",
        hints=(
            "Follow the zero through the network: what does the last layer put out, and what is "
            "done with that?",
            "tanh(0) = 0. What is the correction added to?",
        ),
        why="A residual network starts from the measurement instead of from nothing, so every step "
        "of training goes into what is missing. Zeroing the last layer is a common way to start.",
        judge=choice(
            "c",
            wrong={
                "a": "Zero is what the last layer puts out, but not what the network returns.",
                "b": "The hidden layers are random, but the last layer multiplies all they say by "
                "zero.",
                "d": "The network would have to know the truth before it was trained. What is the "
                "one image that it has at hand?",
            },
        ),
    ),
)
