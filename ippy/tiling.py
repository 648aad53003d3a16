"""Restore images of any size; large ones tile by tile, in memory that the size does not change."""

from __future__ import annotations

import math
from itertools import product

import torch
from torch import Tensor, nn

from ippy.checks import check_integer, check_tensor, check_values

GRID = 8  # pixels: three poolings work on blocks of 8, and a tile that starts on one meets the same
SMALLEST_TILE = 64

Span = tuple[int, int, Tensor]  # first row and end row of a tile, and the weight of each row


@torch.no_grad()
def restore(model: nn.Module, y: Tensor, *, tile: int | None = None, overlap: int = 32) -> Tensor:
    """Restore measurements of any size, whole or tile by tile.

    Tiles start on multiples of 8 pixels (and of a ViT's patch size), where the model pools or cuts
    the whole image too. Where two overlap, one fades into the other, because a model knows least
    about the pixels at its border. A tile is an image of its own: a ViT does best with the size it
    was trained for, 256, of which it has learned the positions.

    Args:
        model: Maps (B, C, H, W) to (B, C', H, W). It runs where it is, in evaluation mode.
        y: Measurements (B, C, H, W), on any device.
        tile: Side of the tiles in pixels, 64 or more, a multiple of 8; None for whole images.
        overlap: Pixels that neighbouring tiles share, a multiple of 8, at most half a tile.

    Returns:
        The restored images, (B, C', H, W), on the device of ``y``, not clamped to [0, 1].

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: ``y`` has another shape or holds NaN or infinity, a number does not fit, or the
            model returns another size, or NaN.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}; expected an nn.Module")
    check_tensor("y", y, axes=(4,), expected="(B, C, H, W)")
    check_values("y", y, wait=True)
    grid = math.lcm(GRID, getattr(model, "patch_size", 1))
    if tile is not None:
        check_integer("tile", tile, least=SMALLEST_TILE)
        check_integer("overlap", overlap, most=tile // 2)
        if tile % grid or overlap % grid:
            raise ValueError(f"tile is {tile}, overlap is {overlap}; expected multiples of {grid}")
    rows, columns = (_spans(length, tile, overlap, grid) for length in y.shape[2:])

    device = next((p.device for p in model.parameters()), y.device)
    was_training = model.training
    model.eval()
    try:
        x_hat = None
        for number, (top, bottom, down), (left, right, across) in product(
            range(len(y)), rows, columns
        ):
            window = (slice(number, number + 1), ..., slice(top, bottom), slice(left, right))
            part = model(y[window].to(device)).to(y.device)  # (1, C', h, w)
            if part.shape[2:] != y[window].shape[2:]:
                raise ValueError(
                    f"model maps {tuple(y[window].shape)} to {tuple(part.shape)}; expected one "
                    "that keeps height and width"
                )
            check_values("what model returns", part, wait=True)
            if x_hat is None:
                x_hat = part.new_zeros(len(y), part.shape[1], *y.shape[2:])
            x_hat[window] += part * (down[:, None] * across).to(part)
        return x_hat
    finally:
        model.train(was_training)


def _spans(length: int, tile: int | None, overlap: int, grid: int) -> list[Span]:
    """Cover one axis with tiles whose weights sum to 1 at each pixel.

    All but the last have ``tile`` pixels; the last starts on the grid too and is a little smaller.
    """
    if tile is None or length <= tile:
        return [(0, length, torch.ones(length))]
    last = math.ceil((length - tile) / grid) * grid
    starts = [*range(0, last, tile - overlap), last]
    ramp = torch.arange(1, overlap + 1) / (overlap + 1)  # in (0, 1)
    spans, total = [], torch.zeros(length)
    for start in starts:
        stop = min(start + tile, length)
        weights = torch.ones(stop - start)
        if overlap and start > 0:
            weights[:overlap] *= ramp
        if overlap and stop < length:
            weights[-overlap:] *= ramp.flip(0)
        total[start:stop] += weights
        spans.append((start, stop, weights))
    return [(start, stop, weights / total[start:stop]) for start, stop, weights in spans]
