"""The six convolutional networks, drawn on lines of equal resolution."""

from __future__ import annotations

from itertools import pairwise

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ippy.chapter.diagrams.parts import (
    ADDED,
    DECODER,
    ENCODER,
    Place,
    Point,
    arrow,
    box,
    canvas,
    circle,
)
from ippy.models import LABELS

_CHANNELS = (32, 64, 128, 256)  # from the finest level to the coarsest
_RADIUS = 0.17


def show_convolutional_networks() -> Figure:
    """Draw CNN, ResCNN and the four U-shaped networks.

    Returns:
        A figure with one pair of axes a network. A box is a feature map with its channels; its
        height says its resolution.
    """
    networks = {
        "CNN": _cnn,
        "ResCNN": _rescnn,
        "UNet": _unet,
        "ResidualUNet": _residual_unet,
        "AttentionUNet": _attention_unet,
        "UNetPP": _unet_pp,
    }
    figure, axes = plt.subplots(3, 2, figsize=(7.6, 7.2))
    for axis, (name, draw) in zip(axes.flat, networks.items(), strict=True):
        canvas(axis, x=(-1.75, 6.4), y=(-3.3, 0.85))
        axis.set_title(LABELS[name], fontweight="bold")
        for level in range(4):
            axis.axhline(-level, color="#f2f2f2", linewidth=9, zorder=0, xmin=0.11)
            size = {"ha": "left", "va": "center", "fontsize": 8, "color": "#777777"}
            axis.text(-1.7, -level, f"{256 // 2**level}²", **size)
        draw(axis)
    return figure


def _map(axis: Axes, x: float, level: int, channels: int, colour: str) -> Place:
    return box(axis, Place(x, -level, 0.64, 0.42), str(channels), colour)


def _ends(axis: Axes, first: Place, last: Place) -> Point:
    """Draw the measurement before the first box and the reconstruction after the last."""
    y, x_hat = (first.left[0] - 0.45, first.y), (last.right[0] + 0.48, last.y)
    look = {"ha": "center", "va": "center", "style": "italic", "fontsize": 11}
    axis.text(*y, "y", **look)
    axis.text(*x_hat, "x̂", **look)
    arrow(axis, (y[0] + 0.15, y[1]), first.left)
    arrow(axis, last.right, (x_hat[0] - 0.18, x_hat[1]))
    return y


def _chain(axis: Axes) -> list[Place]:
    """Draw three convolutions at full resolution."""
    maps = [(0.6, 32, ENCODER), (2.1, 32, ENCODER), (3.6, 1, DECODER)]
    places = [_map(axis, x, 0, channels, colour) for x, channels, colour in maps]
    for before, after in pairwise(places):
        arrow(axis, before.right, after.left)
    return places


def _cnn(axis: Axes) -> None:
    places = _chain(axis)
    _ends(axis, places[0], places[-1])


def _rescnn(axis: Axes) -> None:
    places = _chain(axis)
    total = circle(axis, (4.8, 0), "+", ADDED, radius=_RADIUS)
    arrow(axis, places[-1].right, total.left, colour=ADDED)
    axis.text(4.27, -0.4, "tanh", ha="center", fontsize=9, color=ADDED)
    x, y = _ends(axis, places[0], total)
    arrow(axis, (x + 0.05, y + 0.16), total.top, colour=ADDED, dashed=True, bend=-0.22)


def _u(axis: Axes) -> tuple[list[Place], list[Place]]:
    """Draw the way down and the way up; return both, the finest level first."""
    down = [_map(axis, 0.9 * i, i, width, ENCODER) for i, width in enumerate(_CHANNELS)]
    up = [_map(axis, 5.4 - 0.9 * i, i, width, DECODER) for i, width in enumerate(_CHANNELS[:3])]
    for above, below in pairwise(down):
        arrow(axis, above.at(0.3, -1), below.at(-0.5, 1))
    for below, above in pairwise([down[3], *up[::-1]]):
        arrow(axis, below.at(0.5, 1), above.at(-0.3, -1))
    _ends(axis, down[0], up[0])
    return down, up


def _skips(axis: Axes, down: list[Place], up: list[Place]) -> None:
    for start, end in zip(down, up, strict=False):
        arrow(axis, start.right, end.left, dashed=True)


def _unet(axis: Axes) -> None:
    _skips(axis, *_u(axis))


def _residual_unet(axis: Axes) -> None:
    down, up = _u(axis)
    _skips(axis, down, up)
    for place in down + up:
        arrow(axis, place.at(-0.75, 1), place.at(0.75, 1), colour=ADDED, bend=-1.1)


def _attention_unet(axis: Axes) -> None:
    down, up = _u(axis)
    coarser = [*up[1:], down[3]]
    for skip, end, below in zip(down, up, coarser, strict=False):
        gate = circle(axis, (end.x - 0.75, end.y), "σ", ADDED, radius=_RADIUS)
        arrow(axis, skip.right, gate.left, dashed=True)
        arrow(axis, gate.right, end.left, colour=ADDED)
        arrow(axis, below.at(0.06, 1), gate.bottom, colour=ADDED)


def _unet_pp(axis: Axes) -> None:
    """Draw the nodes (i, j), i poolings down and j steps across."""
    down, up = [(0, 0), (1, 0), (2, 0)], [(1, 1), (0, 2)]
    colours = dict.fromkeys(down, ENCODER) | dict.fromkeys(up, DECODER)
    nodes = {
        (i, j): _map(axis, 0.9 * i + 2.7 * j, i, _CHANNELS[i], colours.get((i, j), ADDED))
        for i in range(3)
        for j in range(3 - i)
    }
    for i in range(2):
        arrow(axis, nodes[i, 0].at(0.3, -1), nodes[i + 1, 0].at(-0.5, 1))
    for (i, j), node in nodes.items():
        if j:
            arrow(axis, nodes[i + 1, j - 1].at(0.5, 1), node.at(-0.5, -1))
            arrow(axis, nodes[i, j - 1].right, node.left, dashed=True)
    arrow(axis, nodes[0, 0].at(0.3, 1), nodes[0, 2].at(-0.3, 1), dashed=True, bend=-0.12)
    _ends(axis, nodes[0, 0], nodes[0, 2])
