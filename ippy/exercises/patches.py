"""Exercises on Vision Transformers in code: cutting an image into patches, and joining them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ippy.exercises.core import Exercise
from ippy.exercises.inputs import fresh
from ippy.exercises.judging import Code
from ippy.models.vit import patchify, unpatchify


def images() -> Iterator[dict[str, Any]]:
    """Draw images of both signs, square and not, with one channel or several, one by one too."""
    for B, C, H_p, W_p, P in ((2, 1, 3, 3, 4), (2, 3, 2, 4, 5), (1, 2, 3, 2, 4)):
        yield {"x": fresh(B, C, H_p * P, W_p * P, low=-1, high=2), "patch_size": P}


def arranged(x: Tensor, P: int, *axes: int) -> Tensor:
    """Cut (B, C, H, W) into (B, C, H_p, P, W_p, P), then permute; -> (B, N, C*P*P)."""
    B, C, H, W = x.shape
    cut = x.reshape(B, C, H // P, P, W // P, P)
    return cut.permute(axes).reshape(B, (H // P) * (W // P), C * P * P)


def channels_as_patches(x: Tensor, patch_size: int) -> Tensor:
    """Cut each channel into patches of its own, (B, C*N, P*P)."""
    return patchify(x.flatten(0, 1)[:, None], patch_size).reshape(len(x), -1, patch_size**2)


PATCHIFY = Code(
    right=patchify,
    inputs=images,
    examples=lambda: (
        {"x": torch.arange(16.0).reshape(1, 1, 4, 4), "patch_size": 2},
        {"x": torch.arange(16.0).reshape(1, 2, 2, 4), "patch_size": 2},
    ),
    mistakes={
        "A `reshape` alone leaves the numbers in the order in which they lie in memory: each of "
        "your patches is a piece of a row of pixels, not a square.": (
            lambda x, patch_size: x.reshape(len(x), -1, x.shape[1] * patch_size**2)
        ),
        "The patches are numbered column by column; expected row by row.": (
            lambda x, patch_size: arranged(x, patch_size, 0, 4, 2, 1, 3, 5)
        ),
        "The patches are transposed: inside a patch the pixels run column by column.": (
            lambda x, patch_size: arranged(x, patch_size, 0, 2, 4, 1, 5, 3)
        ),
        "Both the patches and their pixels run column by column: rows and columns are exchanged "
        "throughout.": lambda x, patch_size: arranged(x, patch_size, 0, 4, 2, 1, 5, 3),
        "The channels come last within a patch; expected all pixels of the first channel, then all "
        "of the second.": lambda x, patch_size: arranged(x, patch_size, 0, 2, 4, 3, 5, 1),
        "The axes are exchanged: each patch is a column of your result. This is the order in which "
        "`F.unfold` gives them.": lambda x, patch_size: patchify(x, patch_size).transpose(1, 2),
        "The channels became patches of their own; expected all channels of a patch in one row.": (
            channels_as_patches
        ),
    },
    gradient=("x",),
)


def rows_of_patches() -> Iterator[dict[str, Any]]:
    """Draw patches of both signs for grids that are square and not."""
    for B, C, H_p, W_p, P in ((2, 3, 2, 4, 5), (2, 1, 3, 3, 4), (1, 2, 4, 3, 3)):
        patches = fresh(B, H_p * W_p, C * P * P, low=-1, high=2)
        yield {"patches": patches, "patch_size": P, "grid": (H_p, W_p)}


def joined(
    patches: Tensor, P: int, grid: tuple[int, int], *axes: int, last: bool = False
) -> Tensor:
    """Join patches after another permutation, or with the channels as the last axis of each."""
    (H_p, W_p), C = grid, patches.shape[2] // P**2
    parts = (P, P, C) if last else (C, P, P)
    x = patches.reshape(len(patches), H_p, W_p, *parts)
    return x.permute(axes).reshape(len(patches), C, H_p * P, W_p * P)


def filled_by_columns(patches: Tensor, patch_size: int, grid: tuple[int, int]) -> Tensor:
    """Take the patches as numbered column by column."""
    B, P, (H_p, W_p) = len(patches), patch_size, grid
    x = patches.reshape(B, W_p, H_p, -1, P, P).permute(0, 3, 2, 4, 1, 5)
    return x.reshape(B, -1, H_p * P, W_p * P)


UNPATCHIFY = Code(
    right=unpatchify,
    inputs=rows_of_patches,
    examples=lambda: (
        {"patches": torch.arange(16.0).reshape(1, 4, 4), "patch_size": 2, "grid": (2, 2)},
        {"patches": torch.arange(16.0).reshape(1, 2, 8), "patch_size": 2, "grid": (1, 2)},
    ),
    mistakes={
        "A `reshape` alone spreads every patch over whole rows of the image instead of over a "
        "square.": lambda patches, patch_size, grid: patches.reshape(
            len(patches), -1, grid[0] * patch_size, grid[1] * patch_size
        ),
        "The rows of the grid and the rows inside a patch are not interleaved: before the last "
        "`reshape`, the axis of a patch's rows must follow that of the grid's rows.": (
            lambda patches, patch_size, grid: joined(patches, patch_size, grid, 0, 3, 1, 2, 4, 5)
        ),
        "Every patch is in its place, but transposed.": (
            lambda patches, patch_size, grid: joined(patches, patch_size, grid, 0, 3, 1, 5, 2, 4)
        ),
        "You fill the grid column by column; the patches come row by row.": filled_by_columns,
        "The channels are taken as the last axis of a patch; they are the first.": (
            lambda patches, patch_size, grid: joined(
                patches, patch_size, grid, 0, 5, 1, 3, 2, 4, last=True
            )
        ),
        "Height and width of the grid are exchanged.": (
            lambda patches, patch_size, grid: unpatchify(patches, patch_size, grid[::-1])
        ),
    },
    gradient=("patches",),
)

EXERCISES = (
    Exercise(
        name="patchify",
        kind="code",
        hints=(
            "First split each of the two long axes in two, without moving anything: H into "
            "(H/P, P) and W into (W/P, P). That is one `reshape`.",
            "Then bring the six axes into the order in which they should vary: which of them "
            "number the patches, and which the pixels inside a patch?",
            "The slowest axis comes first: image, row of the grid, column of the grid, channel, "
            "row in the patch, column in the patch. One `permute`, then one `reshape`.",
        ),
        why="A mistake here raises no error. If pixels of different places get into one patch, a "
        "network trains all the same, but its patches are no longer squares of the image.",
        judge=PATCHIFY,
    ),
    Exercise(
        name="unpatchify",
        kind="code",
        hints=(
            "Go through your `patchify` from the last line to the first and undo each one.",
            "How many channels are there? The length of a patch and P say so.",
            "Unpack to (B, H/P, W/P, C, P, P). In the image, which two axes make up a row index? "
            "They must be neighbours before they are joined.",
        ),
        why="With its inverse at hand a reshape can be tested: cut, join, compare. That test is "
        "exact, since numbers are moved and nothing is computed.",
        judge=UNPATCHIFY,
    ),
)
