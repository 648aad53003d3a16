"""How far a network sees: its receptive field, measured, and where its attention goes."""

from __future__ import annotations

from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from ippy.models.vit import TransformerEncoderBlock


def receptive_field(model: nn.Module, y: Tensor) -> Tensor:
    """Return how much the middle pixel of a result depends on each pixel of the input.

    Args:
        model: Maps (B, 1, H, W) to (B, 1, H, W), in evaluation mode.
        y: Images (B, 1, H, W).

    Returns:
        Absolute derivatives, the mean over the images: (H, W). Where they are 0 it sees nothing.
    """
    y = y.detach().clone().requires_grad_()
    with torch.enable_grad():
        middle = model(y)[..., y.shape[-2] // 2, y.shape[-1] // 2].sum()
    (gradient,) = torch.autograd.grad(middle, y)
    return gradient.abs().mean(dim=(0, 1))


def rows_seen(field: Tensor) -> int:
    """Return how many rows up or down a receptive field (H, W) reaches from the middle."""
    rows = field.amax(dim=1).nonzero()[:, 0] - len(field) // 2
    return int(rows.abs().max()) if len(rows) else 0


@torch.no_grad()
def attention_by_offset(model: nn.Module, y: Tensor) -> Tensor:
    """Return how much attention goes how far, the mean over the tokens and images.

    Args:
        model: Maps (B, 1, H, W) to (B, 1, H, W) by transformer blocks on a square grid of tokens.
        y: Images (B, 1, H, W), H = W.

    Returns:
        (blocks, heads, G, G): the weight of the token that lies so many rows down and columns right
        of the one that looks, counted modulo G, the side of the grid. They sum to 1 over the grid.
        Without any such block an empty tensor.
    """
    found = []

    def look(block: TransformerEncoderBlock, inputs: tuple[Tensor], output: Tensor) -> None:
        weights = block.attention_weights(inputs[0]).mean(dim=0)  # (heads, N, N)
        side = isqrt(weights.shape[-1])
        looking = weights.unflatten(1, (side, side)).unflatten(3, (side, side))
        offsets = [
            looking[:, row, column].roll((-row, -column), dims=(1, 2))
            for row in range(side)
            for column in range(side)
        ]
        found.append(torch.stack(offsets).mean(dim=0))  # (heads, G, G)

    blocks = [part for part in model.modules() if isinstance(part, TransformerEncoderBlock)]
    hooks = [block.register_forward_hook(look) for block in blocks]
    try:
        model(y)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(found) if found else torch.empty(0)


def sight_of_ghost(model: nn.Module, y: Tensor, distance: int) -> dict[str, Any]:
    """Measure how far a network sees, and what it sees where a ghost comes from.

    Args:
        model: Maps (B, 1, H, W) to (B, 1, H, W), in evaluation mode, on any device.
        y: Measurements (B, 1, H, W), H = W, of :class:`~ippy.operators.Ghost`.
        distance: How far below the image its ghost is. Where that is no multiple of the pixels
            between two tokens, the ghost is of parts of two, and the farther one is looked at.

    Returns:
        ``rows_seen``: as of :func:`rows_seen`; ``ghost_seen``: the derivative with respect to the
        pixel that the ghost is of, as a fraction of that with respect to the pixel itself (None of
        a network that does not see this). Of the attention that goes straight up or down, in the
        head that sees the ghost best: ``attention_at_ghost`` and ``attention_by_rows``, from half
        the image up to half of it down.
    """
    y = y.to(next(model.parameters()).device)
    field = receptive_field(model, y)
    row, column = len(field) // 2, field.shape[1] // 2
    ghost = field[row - distance, column] / field[row, column]
    seen = {
        "rows_seen": rows_seen(field),
        "ghost_seen": round(float(ghost), 4) if ghost.isfinite() else None,
    }
    maps = attention_by_offset(model, y)
    if not len(maps):
        return seen
    straight = maps[..., 0].flatten(0, 1)  # (blocks * heads, G)
    source = -distance * maps.shape[-1] // len(field)
    best = straight[straight[:, source].argmax()]
    by_rows = best.roll(len(best) // 2).tolist()
    return seen | {
        "attention_at_ghost": round(float(best[source]), 4),
        "attention_by_rows": [round(weight, 4) for weight in by_rows],
    }
