"""Which patches does a patch look at? For each block and head of a trained ViT."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from bokeh.models import ColumnDataSource, FixedTicker
from bokeh.palettes import Inferno256
from matplotlib.figure import Figure
from torch import Tensor

from ippy.chapter.axes import as_pixels, draw_image, frame
from ippy.chapter.live.plots import add_image, add_mark, picture, to_levels
from ippy.chapter.live.publish import publish, slider
from ippy.chapter.style import COLOURS
from ippy.models.vit import ViTReconstructor

_GAP = 2  # between two of the small maps, in patches
_MARK = COLOURS[5]


def attention_explorer(
    model: ViTReconstructor,
    y: Tensor,
    *,
    patch: tuple[int, int],
    block: int,
    head: int,
    brightest: float = 1.0,
) -> Figure:
    """Publish the live figure ``attention``, and draw it as it stands before it is touched.

    The reader's browser computes softmax(Q K^T / sqrt(d_k)) itself, for any patch, from queries and
    keys rounded to 8 bits.

    Args:
        model: The trained ViT, on the CPU.
        y: One measurement (1, 1, H, H) in [0, 1].
        patch: Row and column of the query patch shown first, counted from 0.
        block: The block shown first, counted from 1.
        head: The head shown first, counted from 1.
        brightest: Grey value drawn white.

    Returns:
        The still picture: the slice with the query patch, and the maps of all blocks and heads.

    Raises:
        ValueError: ``y`` is not one square image of the model's nominal size.
    """
    grid, P = model.grid_size, model.patch_size
    if y.shape != (1, 1, grid * P, grid * P):
        expected = (1, 1, grid * P, grid * P)
        raise ValueError(f"y has shape {tuple(y.shape)}; expected one slice, {expected}")
    queries, keys, scales = _rounded_queries_and_keys(model, y)
    blocks, heads = len(model.encoder), model.encoder[0].attn.num_heads

    slice_ = picture("slice", side=grid)
    add_image(slice_, "measurement", to_levels(as_pixels(y)), side=grid, high=255 * brightest)
    overlay = ColumnDataSource({"image": [np.zeros((grid, grid), np.uint32)]}, name="overlay")
    slice_.image_rgba(
        image="image", x=0, y=0, dw=grid, dh=grid, origin="top_left", anchor="bottom_left",
        source=overlay,
    )  # fmt: skip
    add_mark(slice_, "query", _MARK)

    side = heads * (grid + _GAP) - _GAP
    maps = picture("maps", side=side)
    empty = np.full((side, side), np.nan, np.float32)
    add_image(maps, "weights", empty, side=side, palette=Inferno256, low=0, high=1)
    add_mark(maps, "chosen", _MARK)
    add_mark(maps, "queries in maps", _MARK, width=1)
    centres = [(grid + _GAP) * i + grid / 2 for i in range(heads)]
    for axis, word, places in (
        (maps.xaxis[0], "head", centres),
        (maps.yaxis[0], "block", centres[::-1]),
    ):
        axis.visible = True
        axis.ticker = FixedTicker(ticks=places)
        axis.major_label_overrides = {c: f"{word} {i + 1}" for i, c in enumerate(places)}
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None
    maps.yaxis[0].major_label_orientation = "vertical"

    count = [str(i) for i in range(grid)]
    publish(
        "attention",
        {
            "The measurement; the marked patch asks, and orange shows where it looks.": slice_,
            "The same for all blocks (rows) and heads (columns), each on its own scale.": maps,
        },
        [
            slider("block", "Block", [str(i + 1) for i in range(blocks)], block - 1),
            slider("head", "Head", [str(i + 1) for i in range(heads)], head - 1),
            slider("row", "Row", count, patch[0]),
            slider("column", "Column", count, patch[1]),
        ],
        {"queries": queries, "keys": keys, "scales": scales},
        {"grid": grid, "patch": P, "blocks": blocks, "heads": heads, "gap": _GAP},
    )
    return _still(model, y, patch, block, head, brightest)


@torch.inference_mode()
def _rounded_queries_and_keys(
    model: ViTReconstructor, y: Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return queries and keys (blocks, N, d) as int8, and the scale of their products (blocks, d).

    The mean key is left out: it adds the same to all scores of a query, which softmax ignores.
    """
    h, _ = model.embed(y)  # (1, N, d)
    stored = []
    for block in model.encoder:
        qkv = block.queries_keys_values(block.norm1(h))  # (3, 1, heads, N, d_k)
        q, k, _ = qkv[:, 0].transpose(1, 2).flatten(2)  # (N, d) each
        k = k - k.mean(dim=0)
        q_scale, k_scale = q.abs().amax(dim=0) / 127, k.abs().amax(dim=0) / 127  # (d,)
        scale = q_scale * k_scale / math.sqrt(qkv.shape[-1])
        stored.append((q / q_scale, k / k_scale, scale))
        h = block(h)
    queries, keys, scales = (torch.stack(part).numpy() for part in zip(*stored, strict=True))
    return np.rint(queries).astype(np.int8), np.rint(keys).astype(np.int8), scales


@torch.inference_mode()
def _still(
    model: ViTReconstructor,
    y: Tensor,
    patch: tuple[int, int],
    block: int,
    head: int,
    brightest: float,
) -> Figure:
    maps = torch.cat(model.attention_maps(y))  # (blocks, heads, N, N)
    grid, (row, column) = model.grid_size, patch
    chosen = maps[:, :, row * grid + column].reshape(*maps.shape[:2], grid, grid)
    figure = plt.figure(figsize=(8.4, 4.2))
    left, right = figure.subfigures(1, 2)
    axis = left.subplots()
    extent = (-0.5, grid - 0.5, grid - 0.5, -0.5)
    draw_image(axis, y, f"block {block}, head {head}", vmax=brightest, extent=extent)
    weights = chosen[block - 1, head - 1]
    orange = np.zeros((grid, grid, 4))
    orange[..., :3] = np.array([0xE6, 0x9F, 0x00]) / 255
    orange[..., 3] = 0.9 * (weights / weights.max()).sqrt()
    axis.imshow(orange, extent=extent)
    small = right.subplots(*maps.shape[:2])
    for b, m in np.ndindex(*maps.shape[:2]):
        title = f"head {m + 1}" if b == 0 else ""
        draw_image(small[b, m], chosen[b, m], title, cmap="inferno", vmin=None, vmax=None)
        small[b, 0].set_ylabel(f"block {b + 1}")
    small[block - 1, head - 1].spines[:].set(visible=True, color=_MARK, linewidth=2.5)
    for ax in (axis, *small.flat):
        frame(ax, row, column, 1, colour=_MARK, linewidth=2 if ax is axis else 1)
    return figure
