"""The figures that the chapters share: slices, errors, maps and curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ippy.chapter.axes import as_pixels, draw_image, frame
from ippy.chapter.style import COLOURS

Zoom = tuple[int, int, int]  # row and column of the first pixel, side in pixels
Values = Sequence[float] | tuple[Sequence[float], Sequence[float]]


def show_slices(
    panels: Mapping[str, Tensor],
    *,
    columns: int = 4,
    zoom: Zoom | None = None,
    notes: Mapping[str, str] | None = None,
    cmap: str = "gray",
    vmin: float = 0.0,
    vmax: float = 1.0,
    size: float = 2.4,
) -> Figure:
    """Show images side by side on one grey scale.

    Args:
        panels: Title -> image, (H, W) or with leading axes of length 1.
        columns: Images per row.
        zoom: Square to enlarge below each row: row, column and side in pixels.
        notes: Title -> a line under that image, such as a score.
        cmap: Colour map.
        vmin: Value drawn darkest.
        vmax: Value drawn brightest.
        size: Width of a panel, in inches.

    Returns:
        The figure.
    """
    bands = 1 if zoom is None else 2
    height = size * bands + (0.5 if notes else 0.25)  # of a row: images, title, note
    figure, axes = _grid(len(panels), columns, size, height, bands)
    look = {"cmap": cmap, "vmin": vmin, "vmax": vmax}
    for number, (title, image) in enumerate(panels.items()):
        row, column = divmod(number, axes.shape[1])
        whole, last = axes[row * bands, column], axes[(row + 1) * bands - 1, column]
        note = (notes or {}).get(title, "")
        draw_image(whole, image, title, note if zoom is None else "", **look)
        if zoom is not None:
            top, left, side = zoom
            frame(whole, top, left, side)
            part = image[..., top : top + side, left : left + side]
            draw_image(last, part, note=note, **look)
            last.spines[:].set(visible=True, color=COLOURS[4], linewidth=1.2)
    return figure


def show_errors(
    panels: Mapping[str, Tensor],
    truth: Tensor,
    *,
    scale: float | None = None,
    columns: int = 4,
    size: float = 2.4,
) -> Figure:
    """Show the absolute error of each image on one scale, with a colour bar.

    Args:
        panels: Title -> estimate, (H, W) or with leading axes of length 1.
        truth: The true image.
        scale: Error drawn brightest; the largest 99.5 % quantile of the panels if None.
        columns: Images per row.
        size: Width of a panel, in inches.

    Returns:
        The figure.
    """
    errors = {title: (image - truth).abs() for title, image in panels.items()}
    scale = scale or max(float(np.quantile(as_pixels(e), 0.995)) for e in errors.values())
    look = {"cmap": "magma", "vmin": 0, "vmax": scale}
    return show_maps(errors, label="absolute error", columns=columns, size=size, **look)


def show_maps(
    maps: Mapping[str, Tensor],
    *,
    label: str = "",
    slices: Mapping[str, Tensor] | None = None,
    brightest: float = 1.0,
    notes: Mapping[str, str] | None = None,
    columns: int = 4,
    size: float = 2.4,
    **look: Any,
) -> Figure:
    """Show maps in colour on one scale, with a colour bar where it has a label.

    Args:
        maps: Title -> map, (H, W) or with leading axes of length 1. NaN is drawn grey.
        label: What the colours mean; without it there is no colour bar.
        slices: Title -> image in grey, drawn before the maps.
        brightest: Grey value drawn white.
        notes: Title -> a line under that map.
        columns: Images per row.
        size: Width of a panel, in inches.
        **look: Arguments of ``imshow`` for the maps: ``cmap``, ``vmin``, ``vmax``.

    Returns:
        The figure; its first axes are the panels, in order.
    """
    slices, notes = slices or {}, notes or {}
    height = size + (0.5 if notes else 0.25)
    figure, axes = _grid(len(slices) + len(maps), columns, size, height)
    panels = iter(axes.flat)
    for title, image in slices.items():
        draw_image(next(panels), image, title, vmax=brightest)
    for title, values in maps.items():
        axis = next(panels)
        axis.set_facecolor("0.85")
        drawn = draw_image(axis, values, title, notes.get(title, ""), **look)
    if label:
        figure.set_figwidth(figure.get_figwidth() + 0.7)
        figure.colorbar(drawn, ax=axes, label=label, shrink=0.85)
    return figure


def plot_curves(
    curves: Mapping[str, Values],
    *,
    xlabel: str,
    ylabel: str,
    log: bool = False,
    xlog: bool = False,
    title: str | None = None,
    styles: Mapping[str, Mapping[str, Any]] | None = None,
    levels: Mapping[str, float] | None = None,
    legend: bool = True,
    ax: Axes | None = None,
) -> Figure:
    """Plot curves in one pair of axes.

    Args:
        curves: Label -> values, or a pair (positions, values).
        xlabel: Label of the horizontal axis, with its unit.
        ylabel: Label of the vertical axis, with its unit.
        log: Logarithmic vertical axis.
        xlog: Logarithmic horizontal axis.
        title: Title of the axes.
        styles: Label -> arguments of ``plot`` for that curve, such as a marker.
        levels: Label -> value marked by a horizontal line, dotted, dashed or both in turn.
        legend: Explain the lines, where there are several.
        ax: Axes to draw in; a new figure's if None.

    Returns:
        The figure.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 3.4))
    for label, values in curves.items():
        if not isinstance(values, tuple):
            values = range(1, len(values) + 1), values
        ax.plot(*values, **{"label": label} | dict((styles or {}).get(label, {})))
    lines = itertools.cycle((":", "--", "-."))
    for (label, level), line in zip((levels or {}).items(), lines, strict=False):
        ax.axhline(level, color="#555555", linestyle=line, linewidth=1.4, label=label)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
    if log:
        ax.set_yscale("log")
    if xlog:
        ax.set_xscale("log")
    if legend and len(ax.get_legend_handles_labels()[1]) > 1:
        ax.legend()
    return ax.figure


def plot_intervals(table: pd.DataFrame, *, xlabel: str, ax: Axes, title: str = "") -> None:
    """Draw a bar from ``low`` to ``high`` with a tick at ``mean`` for each row, the first on top.

    A bar that contains zero is grey.

    Args:
        table: Columns ``mean``, ``low`` and ``high``; the index names the bars.
        xlabel: What they measure, with its unit.
        ax: Axes to draw in.
        title: Title of the axes.
    """
    places, sure = range(len(table)), (table["low"] > 0) | (table["high"] < 0)
    colours = [COLOURS[0] if excludes else COLOURS[6] for excludes in sure]
    ax.hlines(places, table["low"], table["high"], colors=colours, linewidth=7)
    ax.plot(table["mean"], places, "|", color="black", markersize=13, markeredgewidth=1.6)
    ax.axvline(0, color="black", linewidth=0.9)
    ax.set_yticks(places, table.index)
    ax.set(xlabel=xlabel, title=title)
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.grid(False, axis="y")


def _grid(
    panels: int, columns: int, width: float, height: float, bands: int = 1
) -> tuple[Figure, np.ndarray]:
    """Return a figure with room for so many panels; the axes that are left over are off."""
    columns = min(columns, panels)
    rows = math.ceil(panels / columns)
    size = (width * columns, height * rows)
    figure, axes = plt.subplots(rows * bands, columns, figsize=size, squeeze=False)
    for axis in axes[bands * (rows - 1) :, panels - columns * (rows - 1) :].flat:
        axis.axis("off")
    return figure, axes
