"""Restore images of any size; large ones tile by tile, in memory that the size does not change."""

from __future__ import annotations

import math
from itertools import chain, product

import torch
from torch import Tensor, nn

from ippy.base.checks import check_integer, check_type
from ippy.base.images import check_tensor, check_values
from ippy.models.base import unwrap
from ippy.models.patches import pad_to_multiple
from ippy.problems import InverseProblem
from ippy.quality.inference import (
    arguments,
    in_evaluation_mode,
    knows_operator,
    run,
    takes_operator,
)

GRID = 8  # pixels: three poolings halve an image exactly where 8 divides its sides
SMALLEST_TILE = 64

Span = tuple[int, int, Tensor]  # of a tile on one axis: first pixel, end, weight of each pixel


@torch.no_grad()
def restore(
    model: nn.Module,
    y: Tensor,
    *,
    problem: InverseProblem | None = None,
    tile: int | None = None,
    overlap: int = 32,
) -> Tensor:
    """Restore measurements of any size, whole or tile by tile.

    The image is continued by reflection until 8 (and a ViT's patch) divides its sides, because a
    UNet that has to resize its features to an odd size shifts them. Tiles start on the same grid of
    8 pixels. Where two overlap, one fades into the other: a model knows least about the pixels at
    its border. A tile is an image of its own. So for a ViT, whose attention stays inside a tile,
    the tiles give another result than the whole image, which can be better or worse.

    Args:
        model: Maps (B, C, H, W) to (B, C', H, W). It runs where it is, in its own floating-point
            type and in evaluation mode, and is given back in the mode that it was in.
        y: Measurements (B, C, H, W), on any device; with ``problem`` those that it makes.
        problem: What was measured, where a measurement is no image or the model is shown more: it
            gets what ``problem.network_input`` makes of ``y``. If it takes the operator, it gets
            ``y`` whole; so does a method that knows its operator, with ``problem`` or without.
        tile: Side of the tiles in pixels, 64 or more, a multiple of 8; None for whole images, which
            is all that a method or network can do that gets the operator.
        overlap: Pixels that neighbouring tiles share, a multiple of 8, at most half a tile.

    Returns:
        The restored images, (B, C', H, W), on the device and in the type of ``y``, not clamped to
        [0, 1].

    Raises:
        TypeError: An argument is of the wrong type, or the model returns no tensor.
        ValueError: ``y`` has another shape or holds NaN or infinity, a number does not fit, or the
            model returns another size, or NaN.
    """
    check_type("model", model, nn.Module, "build('UNet')")
    check_tensor("y", y, axes=(4,), expected="(B, C, H, W)")
    check_values("y", y, wait=True)
    gets_operator = knows_operator(model) or takes_operator(model)
    overlap = check_integer("overlap", overlap)
    if tile is not None:
        tile = check_integer("tile", tile, least=SMALLEST_TILE)
        check_integer("overlap", overlap, most=tile // 2)
        if gets_operator:
            raise ValueError(
                f"tile is {tile}, and a {type(unwrap(model)).__name__} restores measurements "
                "whole; expected None"
            )
    device = next(chain(model.parameters(), model.buffers()), y).device
    if problem is not None or takes_operator(model):
        check_type("problem", problem, InverseProblem, "sparse_view_ct()")
        images = problem.network_input(y)
        if gets_operator:
            given = arguments(model, images.to(device), y.to(device), problem.known_operator)
            with in_evaluation_mode(model):
                return run("model", model, *given, size=images.shape[2:]).to(y.device)
        y = images
    elif knows_operator(model):
        size = getattr(getattr(unwrap(model), "operator", None), "in_shape", None)
        with in_evaluation_mode(model):
            return run("model", model, y.to(device), size=size).to(y.device)
    grid = math.lcm(GRID, getattr(unwrap(model), "patch_size", 1))
    if tile is not None and (tile % grid or overlap % grid):
        raise ValueError(f"tile is {tile}, overlap is {overlap}; expected multiples of {grid}")

    padded = pad_to_multiple(y, grid)  # (B, C, H', W')
    rows, columns = (_spans(length, tile, overlap) for length in padded.shape[2:])
    x_hat = None
    with in_evaluation_mode(model):
        for number, (top, bottom, down), (left, right, across) in product(
            range(len(y)), rows, columns
        ):
            window = (slice(number, number + 1), ..., slice(top, bottom), slice(left, right))
            part = run("model", model, padded[window].to(device)).to(y.device)  # (1, C', h, w)
            if x_hat is None:
                x_hat = part.new_zeros(len(y), part.shape[1], *padded.shape[2:])
            x_hat[window] += part * (down[:, None] * across).to(part)
    return x_hat[..., : y.shape[2], : y.shape[3]].contiguous()


def _spans(length: int, tile: int | None, overlap: int) -> list[Span]:
    """Cover one axis, up to its end, with tiles whose weights sum to 1 at each pixel."""
    exact = {"dtype": torch.float32, "device": "cpu"}  # whatever the defaults are
    if tile is None or length <= tile:
        return [(0, length, torch.ones(length, **exact))]
    ramp = torch.arange(1, overlap + 1, **exact) / (overlap + 1)  # in (0, 1)
    spans, total = [], torch.zeros(length, **exact)
    for start in [*range(0, length - tile, tile - overlap), length - tile]:
        weights = torch.ones(tile, **exact)
        if overlap and start > 0:
            weights[:overlap] *= ramp
        if overlap and start + tile < length:
            weights[-overlap:] *= ramp.flip(0)
        total[start : start + tile] += weights
        spans.append((start, start + tile, weights))
    return [(start, stop, weights / total[start:stop]) for start, stop, weights in spans]
