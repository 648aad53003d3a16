"""Exercises on Vision Transformers in code: heads, attention, positions."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ippy.exercises.calling import call
from ippy.exercises.core import Exercise, Wrong
from ippy.exercises.judging import check_gradient, compare, fresh
from ippy.models.vit import ViTReconstructor


def split_heads(z: Tensor, heads: int) -> Tensor:
    """Split tokens (B, N, d) into (B, heads, N, d/heads)."""
    B, N, d = z.shape
    return z.reshape(B, N, heads, d // heads).transpose(1, 2)


def judge_split_heads(answer: Callable[[Tensor, int], Tensor]) -> None:
    """Tokens (B, N, d) -> (B, h, N, d/h); head m takes the m-th run of d/h numbers."""
    for B, N, heads, d_k in ((2, 5, 3, 4), (2, 4, 4, 4)):
        z = fresh(B, N, heads * d_k)
        compare(
            call(answer, z=z, heads=heads),
            split_heads(z, heads),
            mistakes={
                "A single `reshape` to (B, h, N, d/h) mixes the tokens: your first head holds all "
                "numbers of the first few tokens instead of a few numbers of every token.": (
                    z.reshape(B, heads, N, d_k)
                ),
                "The split is right, but the axis of the heads has to come before the tokens: "
                "`Q @ K.transpose(-2, -1)` then works on each head by itself.": (
                    z.reshape(B, N, heads, d_k)
                ),
                "Your heads take every h-th number of a token; expected a run of d/h neighbours.": (
                    z.reshape(B, N, d_k, heads).permute(0, 3, 1, 2)
                ),
                "The last two axes are exchanged: the tokens come before the numbers.": (
                    split_heads(z, heads).transpose(2, 3)
                ),
            },
        )
    check_gradient(answer, split_heads, z=fresh(1, 4, 6).requires_grad_(), heads=2)


def attention(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d_k)) V, as PyTorch computes it."""
    return F.scaled_dot_product_attention(Q, K, V)


def judge_attention(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Q (B, h, N, d_k), K (B, h, M, d_k), V (B, h, M, d_v) -> (B, h, N, d_v)."""
    for B, heads, N, M, d_k, d_v in ((2, 3, 6, 6, 16, 16), (2, 3, 4, 7, 9, 5)):
        Q, K = 4 * fresh(B, heads, N, d_k) - 2, 4 * fresh(B, heads, M, d_k)
        V = fresh(B, heads, M, d_v)
        scores = Q @ K.transpose(-2, -1)  # (B, h, N, M)
        scaled = scores / math.sqrt(d_k)
        compare(
            call(answer, Q=Q, K=K, V=V),
            attention(Q, K, V),
            mistakes={
                "The scores are not scaled: without the division by √d_k the softmax hardens as "
                "the queries get longer.": scores.softmax(-1) @ V,
                "You divide by d_k; expected its square root.": (scores / d_k).softmax(-1) @ V,
                "You multiply by √d_k instead of dividing.": (
                    (scores * math.sqrt(d_k)).softmax(-1) @ V
                ),
                "The softmax runs over the queries. For each query the weights of the *keys* must "
                "sum to 1.": scaled.softmax(-2) @ V,
                "The softmax runs over the heads, which should not know of each other.": (
                    scaled.softmax(1) @ V
                ),
                "The softmax runs over the batch: one image would change the answer for another.": (
                    scaled.softmax(0) @ V
                ),
                "The scale comes after the softmax; it belongs before it, on the scores.": (
                    scores.softmax(-1) @ V / math.sqrt(d_k)
                ),
                "You scale by the number of tokens; the scale depends on the length of a query.": (
                    (scores / math.sqrt(M)).softmax(-1) @ V
                ),
                "You scale by the number of heads; the scale depends on the length of a query.": (
                    (scores / math.sqrt(heads)).softmax(-1) @ V
                ),
                "The softmax is missing: the scores themselves are used as weights.": scaled @ V,
                "These are the weights. The answer is the mean of the values with these weights.": (
                    scaled.softmax(-1)
                ),
            },
        )
    Q, K, V = (fresh(1, 2, 5, 4) for _ in range(3))
    if not torch.as_tensor(call(answer, Q=1000 * Q, K=K, V=V)).isfinite().all():
        raise Wrong(
            "For large scores the result is NaN: exp() overflows. `torch.softmax` subtracts the "
            "largest score of each row first, which changes nothing and keeps exp() small."
        )
    for tensor in (Q, K, V):
        tensor.requires_grad_()
    check_gradient(answer, attention, Q=Q, K=K, V=V)


def judge_positions(answer: Callable[[Tensor, tuple[int, int]], Tensor]) -> None:
    """Learned positions (1, G*G, d) -> (1, H_p*W_p, d) for another grid, bicubic."""
    G, d, P = 6, 8, 2
    vit = ViTReconstructor(img_size=G * P, patch_size=P, embed_dim=d, depth=1, num_heads=1)
    positions = fresh(1, G * G, d)
    vit.pos_embed.data.copy_(positions)
    image = positions.transpose(1, 2).reshape(1, d, G, G)

    def resized(grid: tuple[int, int], mode: str, **options: bool) -> Tensor:
        return F.interpolate(image, size=grid, mode=mode, **options).flatten(2).transpose(1, 2)

    for grid in ((9, 9), (4, 8), (G, G)):
        scrambled = F.interpolate(
            positions.reshape(1, d, G, G), size=grid, mode="bicubic", align_corners=False
        )
        sequence = F.interpolate(positions.transpose(1, 2), size=grid[0] * grid[1], mode="linear")
        crossed = image.transpose(2, 3)
        crossed = F.interpolate(crossed, size=grid, mode="bicubic", align_corners=False)
        compare(
            call(answer, positions=positions, grid=grid),
            vit.positions(grid).detach(),
            mistakes={
                "`reshape` to (1, d, G, G) runs without complaint and scrambles everything: the "
                "numbers of one position lie side by side in memory, the channels must first be "
                "moved to the front.": scrambled.flatten(2).transpose(1, 2),
                "The same on the way back: a `reshape` to (1, N, d) mixes channels and places. "
                "Flatten the places, then move the channels to the end.": (
                    resized(grid, "bicubic", align_corners=False).transpose(1, 2).reshape(1, -1, d)
                ),
                "You interpolate along the sequence, so the end of one row of patches is mixed "
                "with the beginning of the next. Lay the positions out as an image first.": (
                    sequence.transpose(1, 2)
                ),
                "With `align_corners=True` the first and the last patch stay at the corners and "
                "those between move apart. A patch is an area, not a point: use False.": (
                    resized(grid, "bicubic", align_corners=True)
                ),
                "This is bilinear interpolation; the question asks for bicubic.": (
                    resized(grid, "bilinear", align_corners=False)
                ),
                "This takes the nearest neighbour, so positions repeat; the question asks for "
                "bicubic interpolation.": resized(grid, "nearest"),
                "Rows and columns of the grid are exchanged on the way.": (
                    crossed.flatten(2).transpose(1, 2)
                ),
                "The new grid is (rows, columns); you use it as (columns, rows).": (
                    resized((grid[1], grid[0]), "bicubic", align_corners=False)
                ),
            },
        )

    def right(positions: Tensor, grid: tuple[int, int]) -> Tensor:
        image = positions.transpose(1, 2).reshape(1, d, G, G)
        image = F.interpolate(image, size=grid, mode="bicubic", align_corners=False)
        return image.flatten(2).transpose(1, 2)

    check_gradient(answer, right, positions=positions.requires_grad_(), grid=(5, 7))


EXERCISES = (
    Exercise(
        name="split-heads",
        kind="code",
        hints=(
            "Only the last axis may be split. Which `reshape` leaves (B, N) alone?",
            "After that, two axes have to change places.",
        ),
        why="The heads become a second batch axis, so all of them are computed by the same matrix "
        "products as one. That is why heads cost hardly any extra multiplications.",
        judge=judge_split_heads,
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
        "through, N × M, is also their price: it grows with the square of the tokens.",
        judge=judge_attention,
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
        judge=judge_positions,
    ),
)
