"""The Vision Transformer, from the measurement to the reconstruction, with real numbers in it."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor, nn

from ippy.chapter.diagrams.parts import (
    ADDED,
    DECODER,
    ENCODER,
    LAYER,
    PALE,
    RESIDUAL,
    Place,
    Point,
    arrow,
    box,
    circle,
    label,
    picture,
    sheet,
)
from ippy.models.vit import ViTReconstructor, patchify

_UPPER, _LOWER = 9.4, 3.2  # heights of the two rows
_PLUS = 0.33  # radius
_WEIGHT = 1.4  # of the lines
_ENTRIES = 14  # that are drawn of a token
_BRIGHTEST = 0.6  # grey value drawn white
_CELLS = 8  # patches a side that are drawn: fewer and larger ones than there are


@torch.inference_mode()
def show_vision_transformer(vit: ViTReconstructor, y: Tensor) -> Figure:
    """Draw the model around one measurement: its patches, tokens, positions and reconstruction.

    Args:
        vit: A trained ViT, on the CPU.
        y: One measurement (1, 1, H, H) in [0, 1], of the model's nominal size.
    """
    figure, axis = sheet(19.4, 12.9, inches=9.4)
    tokens = vit.patch_embed(y)[0][0]  # (N, d)
    grey = {"vmin": 0, "vmax": _BRIGHTEST, "cmap": "gray"}

    measurement = picture(axis, y, Place(2.0, _UPPER, 3.6, 3.6), **grey)
    _grid_lines(axis, measurement)
    size = " × ".join(str(side) for side in y.shape[1:])
    label(axis, measurement, "measurement $y$", size)
    _sequence(axis, vit, y, tokens, grey)
    arrow(axis, measurement.right, (4.55, _UPPER), weight=_WEIGHT)
    end_of_block = _block(axis, vit)
    stack = _tokens_on_grid(axis, vit, tokens)
    corners = ((19.1, _UPPER), (19.1, 5.8), (4.0, 5.8), (4.0, _LOWER))
    arrow(axis, end_of_block, *corners, stack.left, weight=_WEIGHT)
    correction = _decoder(axis, vit, stack)

    total = circle(axis, (13.2, _LOWER), "+", radius=_PLUS)
    arrow(axis, correction, total.left, weight=_WEIGHT)
    middle = (correction[0] + total.left[0]) / 2
    small = {"ha": "center", "va": "bottom", "fontsize": 9.5, "color": PALE}
    axis.text(middle, _LOWER + 0.15, "correction", **small)
    restored = picture(axis, vit(y), Place(16.0, _LOWER, 3.6, 3.6), **grey)
    arrow(axis, total.right, restored.left, weight=_WEIGHT)
    label(axis, restored, r"reconstruction $\hat x$", size)

    start = measurement.at(-0.8, -1)
    corners = ((start[0], 0.3), (total.x, 0.3))
    arrow(axis, start, *corners, total.bottom, colour=RESIDUAL, weight=_WEIGHT)
    pink = {"va": "bottom", "color": RESIDUAL, "fontsize": 11}
    axis.text(start[0] + 0.25, 0.4, "global residual: $+\\, y$", **pink)
    return figure


def _grid_lines(axis: Axes, place: Place) -> None:
    """Draw a grid with fewer, larger patches than the measurement has."""
    line = {"color": "white", "lw": 0.6, "alpha": 0.8, "zorder": 3}
    for k in range(1, _CELLS):
        share = 2 * k / _CELLS - 1
        axis.plot(*zip(place.at(share, -1), place.at(share, 1), strict=True), **line)
        axis.plot(*zip(place.at(-1, share), place.at(1, share), strict=True), **line)


def _sequence(axis: Axes, vit: ViTReconstructor, y: Tensor, tokens: Tensor, grey: dict) -> None:
    """Draw patches, tokens and positions: three neighbours, and one that is further down."""
    P, grid, positions = vit.patch_size, vit.grid_size, vit.pos_embed[0]
    patches = patchify(y, P)[0]  # (N, P*P)
    first = int(0.45 * grid) * grid + int(0.41 * grid)
    shown = (first, first + 1, first + 2, int(0.6 * grid) * grid + grid // 2)
    middle = {"ha": "center", "va": "center"}
    for height, j, name in zip((11.4, 10.5, 9.6, 7.3), shown, "123N", strict=True):
        patch = Place(5.06, height, 0.72, 0.72)
        picture(axis, patches[j].reshape(P, P), patch, **grey)
        token, position = Place(7.45, height, 1.7, 0.4), Place(9.8, height, 1.7, 0.4)
        for place, row, cmap in ((token, tokens[j], "PuOr"), (position, positions[j], "BrBG")):
            limit = row[:_ENTRIES].abs().max().item()
            picture(axis, row[None, :_ENTRIES], place, cmap=cmap, vmin=-limit, vmax=limit)
        arrow(axis, (patch.right[0] + 0.1, height), (token.left[0] - 0.1, height), weight=_WEIGHT)
        axis.text(5.95, height + 0.1, "$E$", fontsize=10, ha="center", va="bottom")
        axis.text(8.62, height, "+", fontsize=12, **middle)
        axis.text(10.75, height, f"$p_{{{name}}}$", fontsize=11, va="center")
    for x in (5.06, 7.45, 9.8):
        axis.text(x, 8.45, "⋮", fontsize=15, **middle)
    (N, d), column = tokens.shape, {"y": 9.35, "height": 4.8}
    label(axis, Place(5.06, width=0, **column), "patches", f"N × P²\n{N} × {P * P}")
    label(axis, Place(8.9, width=0, **column), "tokens + positions", f"N × d\n{N} × {d}")


def _block(axis: Axes, vit: ViTReconstructor) -> Point:
    """Draw one Transformer block; return the point where its result leaves it."""
    frame = Place(15.4, _UPPER + 0.25, 6.75, 4.2)
    look = {"fc": "0.97", "ec": "0.55", "ls": "--", "lw": 1.2, "zorder": 0}
    style = "round,pad=0,rounding_size=0.3"
    axis.add_patch(
        FancyBboxPatch(frame.at(-1, -1), frame.width, frame.height, boxstyle=style, **look)
    )
    label(axis, frame, f"Transformer block, {len(vit.encoder)} times", "N × d in, N × d out")
    attention = f"attention,\n{vit.encoder[0].attn.num_heads} heads"
    first = _half_block(axis, (11.45, _UPPER), 0.85, attention, ENCODER, width=1.1)
    return _half_block(axis, first.right, 0.2, "MLP", ADDED, width=0.75).right


def _half_block(
    axis: Axes, start: Point, lead: float, text: str, colour: str, *, width: float
) -> Place:
    """Draw a norm, a layer, the way around both, which begins ``lead`` after the start, and a sum.

    Returns:
        The place of the sum.
    """
    branch = start[0] + lead
    norm = Place(branch + 0.6, _UPPER, 0.7, 2.3)
    layer = Place(branch + 1.1 + width / 2, _UPPER, width, 2.3)
    box(axis, norm, "LayerNorm", LAYER, upright=True, size=9.5)
    box(axis, layer, text, colour, upright=True, size=9.5)
    total = circle(axis, (layer.right[0] + 0.6, _UPPER), "+", radius=_PLUS)
    around = ((branch, _UPPER), (branch, 11.1), (total.x, 11.1))
    arrow(axis, *around, total.top, weight=_WEIGHT)
    arrow(axis, start, norm.left, weight=_WEIGHT)
    arrow(axis, layer.right, total.left, weight=_WEIGHT)
    return total


def _tokens_on_grid(axis: Axes, vit: ViTReconstructor, tokens: Tensor) -> Place:
    """Draw five entries of all tokens as images, the first in front."""
    grid, d = vit.grid_size, tokens.shape[1]
    for k in range(4, -1, -1):
        place = Place(5.6 + 0.15 * k, _LOWER - 0.15 + 0.15 * k, 1.9, 1.9)
        entries = tokens[:, 3 * k].reshape(grid, grid)
        picture(axis, entries, place, cmap="PuOr", zorder=3 - 0.1 * k)
    stack = Place(5.9, _LOWER, 2.5, 2.8)
    label(axis, stack, "laid on the grid", f"d × H/P × W/P\n{d} × {grid} × {grid}", gap=0.1)
    return stack


def _decoder(axis: Axes, vit: ViTReconstructor, stack: Place) -> Point:
    """Draw the decoder's layers; return the point where the correction leaves them."""
    layers = [m for m in vit.decoder if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    left = 7.9
    arrow(axis, (stack.right[0] + 0.1, _LOWER), (left, _LOWER), weight=_WEIGHT)
    for k, layer in enumerate(layers):
        kind = "transp. conv" if isinstance(layer, nn.ConvTranspose2d) else "conv"
        place = Place(left + 0.32 + 0.72 * k, _LOWER, 0.64, 3.1)
        text = "{} {}×{}".format(kind, *layer.kernel_size)
        box(axis, place, text, DECODER, upright=True, size=9.5)
    channels = " → ".join(str(layer.out_channels) for layer in layers)
    middle = (left + place.right[0]) / 2
    whole = Place(middle, _LOWER, place.right[0] - left, 3.1)
    label(axis, whole, "decoder", f"{channels}\nchannels")
    return whole.right
