"""The exercise on learned positions for another grid of patches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ippy.exercises.inputs import fresh
from ippy.exercises.judging import Code


def as_image(positions: Tensor) -> Tensor:
    """Lay positions (1, G*G, d) out as an image, (1, d, G, G)."""
    G = math.isqrt(positions.shape[1])
    return positions.transpose(1, 2).reshape(1, -1, G, G)


def resized(image: Tensor, grid: tuple[int, int], mode: str = "bicubic", **options: Any) -> Tensor:
    """Interpolate an image (1, d, G, G); -> positions (1, H_p*W_p, d)."""
    return F.interpolate(image, size=grid, mode=mode, **options).flatten(2).transpose(1, 2)


def resize_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Interpolate learned positions (1, G*G, d) bicubically; -> (1, H_p*W_p, d)."""
    return resized(as_image(positions), grid)


def antialiased(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """The same with a bicubic kernel that widens where the grid shrinks."""
    return resized(as_image(positions), grid, antialias=True)


def scrambled(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Reshape to an image without moving the channels to the front."""
    return resized(positions.reshape(as_image(positions).shape), grid)


def scrambled_back(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Reshape to tokens without moving the channels to the end."""
    image = F.interpolate(as_image(positions), size=grid, mode="bicubic")
    return image.reshape(1, -1, positions.shape[2])


def along_the_sequence_too(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """The same by the image that is one row high."""
    row = positions.transpose(1, 2)[:, :, None]
    return resized(row, (1, grid[0] * grid[1]))


def along_the_sequence(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Interpolate the tokens as if they lay in one row."""
    sequence = positions.transpose(1, 2)
    return F.interpolate(sequence, size=grid[0] * grid[1], mode="linear").transpose(1, 2)


def learned_positions() -> Iterator[dict[str, Any]]:
    """Draw positions of both signs, for larger, smaller, square and oblong grids."""
    for G, d, grids in ((6, 8, ((9, 9), (4, 8), (6, 6))), (5, 3, ((8, 4), (3, 2)))):
        for grid in grids:
            yield {"positions": fresh(1, G * G, d, low=-1), "grid": grid}


POSITIONS = Code(
    right=resize_positions,
    also_right=(antialiased,),
    inputs=learned_positions,
    examples=lambda: (
        {"positions": torch.tensor([[[0.0, 5.0], [1, 7], [2, 4], [4, 9]]]), "grid": (2, 3)},
        {"positions": torch.tensor([[[0.0], [1], [2], [4]]]), "grid": (4, 1)},
    ),
    mistakes={
        "`reshape` to (1, d, G, G) runs without complaint and scrambles everything: the numbers of "
        "one position lie side by side in memory, the channels must first be moved to the front.": (
            scrambled
        ),
        "The same on the way back: a `reshape` to (1, N, d) mixes channels and places. Flatten the "
        "places, then move the channels to the end.": scrambled_back,
        "You interpolate along the sequence, so the end of one row of patches is mixed with the "
        "beginning of the next. Lay the positions out as an image first.": (
            along_the_sequence,
            along_the_sequence_too,
        ),
        "With `align_corners=True` the first and the last patch stay at the corners and those "
        "between move apart. A patch is an area, not a point: use False.": (
            lambda positions, grid: resized(as_image(positions), grid, align_corners=True)
        ),
        "This is bilinear interpolation; the question asks for bicubic.": (
            lambda positions, grid: resized(as_image(positions), grid, "bilinear")
        ),
        "This takes the nearest neighbour, so positions repeat; the question asks for bicubic "
        "interpolation.": lambda positions, grid: resized(as_image(positions), grid, "nearest"),
        "Rows and columns of the grid are exchanged on the way.": (
            lambda positions, grid: resized(as_image(positions).transpose(2, 3), grid)
        ),
        "The new grid is (rows, columns); you use it as (columns, rows).": (
            lambda positions, grid: resized(as_image(positions), grid[::-1])
        ),
    },
)
