"""The figures that the chapters share, in one style."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B6B6B"]
"""Okabe and Ito's palette, safe for colour-blind readers (black replaced by grey)."""

DPI = 160
"""Pixels per inch: crisp on a dense screen, and a slice of 256 pixels is not drawn smaller."""

GREY_LEVELS = 128
"""Levels per channel of a stored figure. No pixel moves by more than one level of 255."""

Zoom = tuple[int, int, int]  # row and column of the first pixel, side in pixels


def use_course_style() -> None:
    """Set matplotlib's defaults to the course's, and let notebooks store small PNG files."""
    plt.rcParams.update(
        {
            "figure.dpi": DPI,
            "savefig.dpi": DPI,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 10.5,
            "axes.labelsize": 10,
            "axes.prop_cycle": plt.cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#6B6B6B",
            "axes.axisbelow": True,
            "axes.grid": True,
            "grid.alpha": 0.3,
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.8,
            "legend.frameon": False,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
        }
    )
    ipython = sys.modules.get("IPython")  # absent from a script, which stores no figures
    shell = ipython.get_ipython() if ipython else None
    if shell is not None:
        plt.switch_backend(plt.get_backend())  # the backend brings a formatter: load it first
        shell.display_formatter.formatters["image/png"].for_type(Figure, figure_png)


def figure_png(figure: Figure) -> bytes:
    """Draw a figure as a small PNG.

    Figures made of greys become greyscale files, the others get a palette of 256 colours: a
    third of what matplotlib writes for slices, whose noise compresses badly.

    Args:
        figure: Any figure with an opaque background.

    Returns:
        The file's bytes. It carries its resolution, so that a page knows its size in inches.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=figure.dpi, bbox_inches="tight")
    step = 255 / (GREY_LEVELS - 1)
    pixels = np.asarray(Image.open(drawn).convert("RGB"))  # (H, W, 3)
    pixels = np.rint(np.rint(pixels / step) * step).astype(np.uint8)
    if (pixels == pixels[..., :1]).all():
        image = Image.fromarray(pixels[..., 0])
    else:
        image = Image.fromarray(pixels).quantize(256, dither=Image.Dither.NONE)
    stored = io.BytesIO()
    image.save(stored, format="png", optimize=True, dpi=(figure.dpi, figure.dpi))
    return stored.getvalue()


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
    columns = min(columns, len(panels))
    bands = 1 if zoom is None else 2
    rows = math.ceil(len(panels) / columns)
    height = size * bands + (0.5 if notes else 0.25)  # of a row: images, title, note
    figure, axes = plt.subplots(
        rows * bands, columns, figsize=(size * columns, height * rows), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for number, (title, image) in enumerate(panels.items()):
        row, column = divmod(number, columns)
        pixels = _pixels(image)
        axis = axes[row * bands, column]
        axis.imshow(pixels, cmap=cmap, vmin=vmin, vmax=vmax)
        axis.set_title(title)
        last = axis
        if zoom is not None:
            top, left, side = zoom
            axis.add_patch(
                Rectangle((left, top), side, side, fill=False, edgecolor=COLOURS[4], linewidth=1.2)
            )
            last = axes[row * bands + 1, column]
            part = pixels[top : top + side, left : left + side]
            last.imshow(part, cmap=cmap, vmin=vmin, vmax=vmax)
            last.set(xticks=[], yticks=[])
            last.spines[:].set(visible=True, color=COLOURS[4], linewidth=1.2)
            last.axis("on")
        if notes and title in notes:
            last.text(0.5, -0.04, notes[title], transform=last.transAxes, ha="center", va="top")
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
    errors = {title: np.abs(_pixels(image) - _pixels(truth)) for title, image in panels.items()}
    scale = scale or max(float(np.quantile(error, 0.995)) for error in errors.values())
    columns = min(columns, len(errors))
    rows = math.ceil(len(errors) / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(size * columns + 0.7, (size + 0.25) * rows), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, (title, error) in zip(axes.flat, errors.items(), strict=False):
        drawn = axis.imshow(error, cmap="magma", vmin=0, vmax=scale)
        axis.set_title(title)
    figure.colorbar(drawn, ax=axes, label="absolute error", shrink=0.85)
    return figure


def plot_curves(
    curves: Mapping[str, Sequence[float] | tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    log: bool = False,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Plot curves in one pair of axes.

    Args:
        curves: Label -> values, or a pair (positions, values).
        xlabel: Label of the horizontal axis, with its unit.
        ylabel: Label of the vertical axis, with its unit.
        log: Logarithmic vertical axis.
        title: Title of the axes.
        ax: Axes to draw in; a new figure's if None.

    Returns:
        The figure.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 3.4))
    for label, values in curves.items():
        if isinstance(values, tuple):
            ax.plot(*values, label=label)
        else:
            ax.plot(range(1, len(values) + 1), values, label=label)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if log:
        ax.set_yscale("log")
    if title:
        ax.set_title(title)
    if len(curves) > 1:
        ax.legend()
    return ax.figure


def _pixels(image: Tensor) -> np.ndarray:
    pixels = image.detach().cpu().float().numpy()
    return pixels.reshape(pixels.shape[-2:])
