"""The plots of the live figures: images without axes, and curves, legible on light and dark."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, LinearColorMapper, Range1d
from bokeh.plotting import figure as Plot
from torch import Tensor

GREY = [f"#{level:02x}{level:02x}{level:02x}" for level in range(256)]


def to_levels(image: Tensor | np.ndarray, largest: int = 255) -> np.ndarray:
    """Round values in [0, 1] to the integers 0 ... ``largest``."""
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
    dtype = np.uint8 if largest < 256 else np.uint16
    return np.rint(np.clip(array, 0, 1) * largest).astype(dtype)


def blank(name: str, **options: Any) -> Plot:
    """Return an empty plot that fills the width it is given and has no toolbar."""
    plot = Plot(
        name=name,
        tools="",
        toolbar_location=None,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        **options,
    )
    plot.toolbar.logo = None
    return plot


def picture(name: str, side: int = 256, **options: Any) -> Plot:
    """Return a square plot without axes; row r of an image lies at height ``side`` - r."""
    ranges = {"x_range": Range1d(0, side), "y_range": Range1d(0, side)} | options
    plot = blank(name, sizing_mode="scale_width", aspect_ratio=1, min_border=0, **ranges)
    plot.axis.visible = False
    plot.grid.visible = False
    return plot


def add_image(
    plot: Plot,
    name: str,
    values: np.ndarray,
    *,
    side: float = 256,
    palette: list[str] | tuple[str, ...] = GREY,
    low: float = 0.0,
    high: float = 255.0,
) -> None:
    """Draw an array (H, W) over the whole plot; scripts find its source by ``name``."""
    mapper = LinearColorMapper(palette=[*palette], low=low, high=high, nan_color="rgba(0,0,0,0)")
    source = ColumnDataSource({"image": [values]}, name=name)
    plot.image(
        image="image",
        x=0,
        y=0,
        dw=side,
        dh=side,
        origin="top_left",
        color_mapper=mapper,
        source=source,
    )


def add_mark(plot: Plot, name: str, colour: str, width: float = 3) -> None:
    """Add a frame, out of sight at first; scripts give its source x, y, width and height."""
    source = ColumnDataSource({"x": [-99], "y": [-99], "w": [1], "h": [1]}, name=name)
    for line, line_width in (("black", width + 2), (colour, width)):
        plot.rect(
            "x", "y", "w", "h", source=source, fill_alpha=0, line_color=line, line_width=line_width
        )


def curves(name: str, *, xlabel: str, ylabel: str, **options: Any) -> Plot:
    """Return a plot with labelled axes."""
    plot = blank(name, sizing_mode="stretch_width", min_border_right=12, **options)
    plot.xaxis.axis_label, plot.yaxis.axis_label = xlabel, ylabel
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.minor_tick_line_color = None
    plot.grid.grid_line_alpha = 0.35
    return plot
