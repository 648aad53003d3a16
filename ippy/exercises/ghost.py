"""The exercises on a ghost: its adjoint, and attention that fetches what it is a copy of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ippy.exercises.core import Exercise
from ippy.exercises.inputs import fresh
from ippy.exercises.judging import Code
from ippy.operators import Ghost


def moved(y: Tensor, rows: int, columns: int = 0) -> Tensor:
    """Move images (B, C, H, W) down and right, circularly."""
    return y.roll((rows, columns), dims=(-2, -1))


def mixed(y: Tensor, copy: Tensor, a: float) -> Tensor:
    """Add a copy of strength a, and keep the brightness."""
    return (y + a * copy) / (1 + a)


def zeros_behind(y: Tensor, d: int) -> Tensor:
    """Move images up by d rows, and let zeros come in at the bottom, or at the top if d < 0."""
    copy = moved(y, -d)
    if d >= 0:
        copy[..., copy.shape[-2] - d :, :] = 0
    else:
        copy[..., :-d, :] = 0
    return copy


def measurements() -> Iterator[dict[str, Any]]:
    """Draw images of both signs, not square, with ghosts below and above."""
    for B, C, d, a in ((2, 1, 3, 0.7), (1, 2, -2, 0.4), (2, 1, 5, 0.9)):
        yield {"y": fresh(B, C, 12, 9, low=-1), "d": d, "a": a}


ADJOINT = Code(
    right=lambda y, d, a: Ghost(d, a).T(y),
    inputs=measurements,
    examples=lambda: (
        {"y": torch.tensor([[[[1.0], [0.0], [0.0], [0.0]]]]), "d": 1, "a": 0.5},
        {"y": torch.tensor([[[[4.0, 8.0], [2.0, 0.0], [1.0, 3.0]]]]), "d": 1, "a": 1.0},
    ),
    mistakes={
        "This is K itself. Its transpose moves the copy the other way.": (
            lambda y, d, a: Ghost(d, a)(y)
        ),
        "This takes the ghost away: it is, or is on the way to, the inverse of K. The adjoint is "
        "another map: the transpose of each term, and their sum.": (
            lambda y, d, a: (y - a * moved(y, d)) / (1 - a) if a < 1 else y,
            lambda y, d, a: (1 + a) * y - a * moved(y, d),
        ),
        "The copy is subtracted. That is a step of removing the ghost; the transpose of a sum is a "
        "sum.": lambda y, d, a: mixed(y, -moved(y, -d), a),
        "The copy moves along the columns. The ghost lies above or below: rows are the last axis "
        "but one.": (
            lambda y, d, a: mixed(y, moved(y, 0, -d), a),
            lambda y, d, a: mixed(y, moved(y, 0, d), a),
        ),
        "The shift is circular: what leaves at one side comes in at the other. Here zeros come "
        "in.": lambda y, d, a: mixed(y, zeros_behind(y, d), a),
        "The division by 1 + a is missing. A number before K stays where it is in its transpose.": (
            lambda y, d, a: y + a * moved(y, -d)
        ),
        "The division by 1 + a has to reach both terms: parentheses are missing.": (
            lambda y, d, a: y + a * moved(y, -d) / (1 + a)
        ),
        "The strength a belongs to the copy, not to the image itself.": (
            lambda y, d, a: (a * y + moved(y, -d)) / (1 + a)
        ),
        "The strength of the copy is missing.": lambda y, d, a: (y + moved(y, -d)) / (1 + a),
        "This is the copy alone. The image itself is a term, too.": (
            lambda y, d, a: moved(y, -d),
            lambda y, d, a: a * moved(y, -d),
            lambda y, d, a: a * moved(y, -d) / (1 + a),
        ),
    },
)


def looking(rows: int, columns: int, up: int, left: int = 0) -> Tensor:
    """Return the weights (N, N) of tokens that look so many rows up and columns left, circularly.

    Row i is 1 at the token that token i looks at, else 0.
    """
    places = torch.eye(rows * columns).view(rows, columns, -1)
    return places.roll((up, left), dims=(0, 1)).flatten(0, 1)


def up_to_the_top(rows: int, columns: int, up: int) -> Tensor:
    """Look up, but no farther than the top row."""
    places = torch.eye(rows * columns).view(rows, columns, -1)
    return places[(torch.arange(rows) - up).clamp(min=0)].flatten(0, 1)


LOOK_UP = Code(
    right=looking,
    inputs=lambda: (
        {"rows": rows, "columns": columns, "up": up}
        for rows, columns, up in ((6, 4, 2), (5, 7, 1), (8, 8, 3))
    ),
    examples=lambda: ({"rows": 3, "columns": 1, "up": 1}, {"rows": 3, "columns": 2, "up": 1}),
    mistakes={
        "Your tokens look down. The ghost lies *below* what it is a copy of, so they have to look "
        "up.": lambda rows, columns, up: looking(rows, columns, -up),
        "Your tokens look left or right. Along a row of the grid the number of a token grows by 1, "
        "from one row to the next by the number of columns.": (
            lambda rows, columns, up: looking(rows, columns, 0, up),
            lambda rows, columns, up: looking(rows, columns, 0, -up),
        ),
        "Your tokens look back along the sequence, `up` tokens and not `up` rows: from one row of "
        "the grid to the next the number of a token grows by the number of columns.": (
            lambda rows, columns, up: torch.eye(rows * columns).roll(-up, dims=1),
            lambda rows, columns, up: torch.eye(rows * columns).roll(up, dims=1),
        ),
        "The tokens are numbered row by row; here they are numbered column by column.": (
            lambda rows, columns, up: (
                torch.eye(rows * columns).view(columns, rows, -1).roll(up, dims=1).flatten(0, 1)
            )
        ),
        "The ghost is circular: a token near the top looks at one near the bottom. Yours look at "
        "the top row.": up_to_the_top,
        "Each token looks at itself.": lambda rows, columns, up: looking(rows, columns, 0),
        "These are scores. Softmax makes weights of them: large scores, one for each token, give "
        "weights near 1 and 0.": tuple(
            lambda rows, columns, up, size=size: size * looking(rows, columns, up)
            for size in (10, 20, 50, 100, 1000)
        ),
        "The weights are spread too evenly: softmax of ones and zeros is far from 1 and 0. "
        "Multiply the scores by a large number first.": tuple(
            lambda rows, columns, up, size=size: (size * looking(rows, columns, up)).softmax(-1)
            for size in (1, 2, 5)
        ),
    },
)

EXERCISES = (
    Exercise(
        name="ghost-adjoint",
        kind="code",
        hints=(
            "K is a sum of two maps, divided by a number. What is the transpose of a sum, and of a "
            "multiple?",
            "Write the circular shift by one row on three rows as a 3 × 3 matrix, and transpose "
            "it. Which way does it move things now?",
            "`y.roll(n, dims=-2)` moves an image down by n rows, circularly; up, if n is negative.",
        ),
        why="An adjoint is no inverse: it sends brightness back along the ways on which it came. "
        "Each gradient of a data term goes through it.",
        judge=ADJOINT,
    ),
    Exercise(
        name="ghost-attention",
        kind="code",
        hints=(
            "Row i of the matrix says where token i looks: all its weight is on one j. How do the "
            "numbers i and j differ, if both are in the same column?",
            "With `torch.eye(N)` as queries, each token asks for its own place. Which row of "
            "`torch.eye(N)` must be the key of the token that is to be found from there?",
            "`view(rows, columns, N)`, `roll` along the rows, and `flatten(0, 1)` move keys as on "
            "the grid. Then `softmax` of a large multiple of the scores.",
        ),
        why="So one head and one block are enough for a ghost, without any training. A network has "
        "to find these weights among all others, from examples alone: that is the hard part.",
        judge=LOOK_UP,
    ),
)
