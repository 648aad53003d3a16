"""Exercises on Vision Transformers in code: heads, attention, positions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ippy.exercises.core import Exercise
from ippy.exercises.diagnosis import Trial
from ippy.exercises.inputs import fresh
from ippy.exercises.judging import Code
from ippy.exercises.positions import POSITIONS


def split_heads(z: Tensor, heads: int) -> Tensor:
    """Split tokens (B, N, d) into (B, heads, N, d/heads)."""
    B, N, d = z.shape
    return z.reshape(B, N, heads, d // heads).transpose(1, 2)


SPLIT_HEADS = Code(
    right=split_heads,
    inputs=lambda: (
        {"z": fresh(B, N, heads * d_k, low=-1), "heads": heads}
        for B, N, heads, d_k in ((2, 5, 3, 4), (2, 4, 4, 4), (1, 3, 2, 5))
    ),
    examples=lambda: ({"z": torch.arange(12.0).reshape(1, 3, 4), "heads": 2},),
    mistakes={
        "A single `reshape` to (B, M, N, d/M) mixes the tokens: your first head holds all numbers "
        "of the first N/M tokens instead of d/M numbers of every token.": (
            lambda z, heads: z.reshape(z.shape[0], heads, z.shape[1], -1)
        ),
        "The split is right, but the axis of the heads has to come before the tokens: "
        "`Q @ K.transpose(-2, -1)` then works on each head by itself.": (
            lambda z, heads: z.reshape(*z.shape[:2], heads, -1)
        ),
        "Your heads take every M-th number of a token; expected a run of d/M neighbours.": (
            lambda z, heads: z.reshape(*z.shape[:2], -1, heads).permute(0, 3, 1, 2)
        ),
        "The last two axes are exchanged: the tokens come before the numbers.": (
            lambda z, heads: split_heads(z, heads).transpose(2, 3)
        ),
    },
    gradient=("z",),
)

LARGE_SCORE = 80.0
"""exp() of it is near the largest float32."""


def attention(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d_k)) V, as PyTorch computes it."""
    return F.scaled_dot_product_attention(Q, K, V)


def weighted(scale: Callable[..., float], axis: int = -1) -> Callable[..., Tensor]:
    """Return an attention whose scores are multiplied by another number than 1/sqrt(d_k)."""
    return lambda Q, K, V: (Q @ K.transpose(-2, -1) * scale(Q, K, V)).softmax(axis) @ V


def scaled(Q: Tensor, K: Tensor) -> Tensor:
    """The scores, (B, h, N, M), divided by sqrt(d_k)."""
    return Q @ K.transpose(-2, -1) / math.sqrt(Q.shape[-1])


def right_scale(Q: Tensor, K: Tensor, V: Tensor) -> float:
    """1/sqrt(d_k)."""
    return 1 / math.sqrt(Q.shape[-1])


def queries_keys_values() -> Iterator[dict[str, Any]]:
    """Draw numbers of both signs, with all sizes different in the second and third."""
    for B, heads, N, M, d_k, d_v, size in (
        (2, 3, 6, 6, 16, 16, 2),
        (2, 3, 4, 7, 8, 5, 2),
        (1, 2, 3, 5, 6, 4, 2),
        (2, 3, 4, 7, 8, 5, 300),  # scores of a thousand
    ):
        yield {
            "Q": fresh(B, heads, N, d_k, low=-size, high=size),
            "K": fresh(B, heads, M, d_k, low=-2, high=2),
            "V": fresh(B, heads, M, d_v, low=-1),
        }


def shifted_by_all(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    """Subtract the largest of all scores in place of each row's own before exp()."""
    scores = scaled(Q, K)
    weights = (scores - scores.max()).exp()
    return weights / weights.sum(-1, keepdim=True) @ V


def overflow(trials: Sequence[Trial]) -> str:
    """Not finite where a score is large, and right where none is."""
    for trial in trials:
        large = scaled(trial.inputs["Q"], trial.inputs["K"]).abs().max() > LARGE_SCORE
        if not trial.passes and (trial.result.isfinite().all() or not large):
            return ""
    return (
        "For large scores the result is NaN: exp() overflows. `torch.softmax` subtracts the "
        "largest score of each row first, which changes nothing and keeps exp() small."
    )


ATTENTION = Code(
    right=attention,
    inputs=queries_keys_values,
    examples=lambda: tuple(
        {
            "Q": torch.tensor([[[query]]]),
            "K": torch.eye(2)[None, None],
            "V": torch.tensor([[[[1.0], [3.0]]]]),
        }
        for query in ([2.0, 0.0], [1000.0, 1002.0])
    ),
    mistakes={
        "The scores are not scaled: without the division by √d_k the softmax hardens as the "
        "queries get longer.": weighted(lambda Q, K, V: 1),
        "You divide by d_k; expected its square root.": weighted(lambda Q, K, V: 1 / Q.shape[-1]),
        "You multiply by √d_k instead of dividing.": weighted(lambda Q, K, V: Q.shape[-1] ** 0.5),
        "You divide by √d_v; the scores are products of queries and keys, so it is √d_k.": (
            weighted(lambda Q, K, V: V.shape[-1] ** -0.5)
        ),
        "The softmax runs over the queries. For each query the weights of the *keys* must sum to "
        "1.": weighted(right_scale, axis=-2),
        "The softmax runs over the heads, which should not know of each other.": (
            weighted(right_scale, axis=1)
        ),
        "The softmax runs over the batch: one image would change the answer for another.": (
            weighted(right_scale, axis=0)
        ),
        "The scale comes after the softmax; it belongs before it, on the scores.": (
            lambda Q, K, V: weighted(lambda *_: 1)(Q, K, V) / math.sqrt(Q.shape[-1])
        ),
        "You scale by the number of tokens; the scale depends on the length of a query.": (
            weighted(lambda Q, K, V: K.shape[-2] ** -0.5),
            weighted(lambda Q, K, V: Q.shape[-2] ** -0.5),
        ),
        "You scale by the number of heads; the scale depends on the length of a query.": (
            weighted(lambda Q, K, V: Q.shape[1] ** -0.5)
        ),
        "You subtract the largest of *all* scores. In a row far below it every exp() is 0, and the "
        "result is 0 divided by 0. Subtract each row's own.": shifted_by_all,
        "A power comes before a division: `d_k**1/2` is half of d_k. The root is `d_k**0.5`.": (
            weighted(lambda Q, K, V: 2 / Q.shape[-1]),
            weighted(lambda Q, K, V: 0.5 / Q.shape[-1]),
        ),
        "The softmax is missing: the scores themselves are used as weights.": (
            lambda Q, K, V: scaled(Q, K) @ V
        ),
        "These are the weights. The answer is the mean of the values with these weights.": (
            lambda Q, K, V: scaled(Q, K).softmax(-1)
        ),
    },
    aside=(F.scaled_dot_product_attention,),
    observations=(overflow,),
    gradient=("Q", "K", "V"),
)

EXERCISES = (
    Exercise(
        name="split-heads",
        kind="code",
        hints=(
            "Only the last axis may be split. Which `reshape` leaves (B, N) alone?",
            "After that, two axes have to change places.",
        ),
        why="The heads become a second batch axis, so one call computes all of them. They cost "
        "hardly any extra multiplications, for M products of width d/M replace one of width d.",
        judge=SPLIT_HEADS,
    ),
    Exercise(
        name="attention",
        kind="code",
        hints=(
            "Three steps: scores of all pairs (query, key), weights, weighted mean of the values. "
            "What is the shape after each?",
            "`K.transpose(-2, -1)` transposes the last two axes and leaves batch and heads alone. "
            "The last axis of the scores belongs to the keys.",
            "If q and k have d_k independent entries of variance 1, what is the standard deviation "
            "of their inner product? The scores should have 1.",
        ),
        why="These three lines are what all Transformers share. The one matrix that they pass "
        "through, N × N′, is also their price: it grows with the square of the tokens.",
        judge=ATTENTION,
    ),
    Exercise(
        name="positions",
        kind="code",
        hints=(
            "`F.interpolate` wants an image (1, d, rows, columns). In which order do the numbers "
            "lie in (1, G·G, d)?",
            "G is the square root of the number of positions. First (1, G, G, d), then the "
            "channels to the front; and the same way back.",
            "Look up `mode` and `align_corners` of `F.interpolate`, and remember that the new grid "
            "is (rows, columns).",
        ),
        why="It lets one trained ViT work on slices of any size: the neighbourhoods that it "
        "learned are kept, only their spacing changes.",
        judge=POSITIONS,
    ),
)
