"""The patch size: how many tokens, at what price, and what one of them holds."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource, Range1d
from matplotlib.figure import Figure
from torch import Tensor

from ippy.chapter.axes import as_pixels, draw_image, frame
from ippy.chapter.live.plots import add_image, add_mark, curves, picture, to_levels
from ippy.chapter.live.publish import publish, slider
from ippy.chapter.style import COLOURS

_COLUMNS = ("tokens", "weights", "attention", "other", "copy")
_MARK = COLOURS[5]


def patch_size_slider(
    x: Tensor,
    copies: Mapping[int, Tensor],
    costs: pd.DataFrame,
    *,
    place: tuple[int, int],
    start: int = 8,
    brightest: float = 1.0,
) -> Figure:
    """Publish the live figure ``patches``, and draw it as it stands before it is touched.

    Args:
        x: One slice (1, 1, H, H) in [0, 1].
        copies: Patch size P in pixels -> what is left of ``x`` when each patch has gone through a
            token, (1, 1, H, H).
        costs: One row a patch size, with the columns ``tokens``; ``weights``, the entries of the
            attention matrices of a block; ``attention`` and ``other``, billions of
            multiplications; ``copy``, the PSNR of the copy in dB, infinite where it is exact.
        place: Row and column of a pixel of the patch marked first.
        start: The patch size shown first.
        brightest: Grey value drawn white.

    Returns:
        The still picture: slice, one patch and its copy for each patch size.

    Raises:
        ValueError: ``costs`` lacks a column, or its rows are not the patch sizes of ``copies``.
    """
    sizes = [*copies]
    missing = [column for column in _COLUMNS if column not in costs]
    if missing or [*costs.index] != sizes:
        raise ValueError(
            f"costs has the columns {[*costs.columns]} and the rows {[*costs.index]}; expected "
            f"{[*_COLUMNS]} and one row for each patch size in {sizes}"
        )
    side = x.shape[-1]
    slice_ = picture("slice", side=side)
    add_image(slice_, "slice pixels", to_levels(as_pixels(x)), side=side, high=255 * brightest)
    lines = ColumnDataSource({"x0": [], "y0": [], "x1": [], "y1": []}, name="grid")
    slice_.segment("x0", "y0", "x1", "y1", source=lines, color="white", alpha=0.45, line_width=0.7)
    add_mark(slice_, "token", _MARK)
    ranges = {"x_range": Range1d(0, start), "y_range": Range1d(0, start)}
    patch, copy = (picture(name, side=side, **ranges) for name in ("patch", "copy"))
    add_image(patch, "patch pixels", to_levels(as_pixels(x)), side=side, high=255 * brightest)
    add_image(copy, "copied", to_levels(as_pixels(x)), side=side, high=255 * brightest)

    labels = [str(size) for size in sizes]
    price = curves(
        "price", xlabel="patch size P", ylabel="multiplications (billion)", height=320,
        x_range=labels,
    )  # fmt: skip
    bars = {
        "P": labels, "attention": costs["attention"].round(3).tolist(),
        "other": costs["other"].round(3).tolist(), "alpha": [0.4] * len(sizes),
    }  # fmt: skip
    price.vbar_stack(
        ["other", "attention"], x="P", width=0.7, color=[COLOURS[4], COLOURS[0]],
        fill_alpha="alpha", line_color=None, source=ColumnDataSource(bars, name="bars"),
        legend_label=["all else", "attention"],
    )  # fmt: skip
    price.legend.background_fill_alpha = 0
    price.legend.border_line_color = None
    price.y_range.start = 0
    price.xgrid.visible = False

    publish(
        "patches",
        {
            "The slice, its grid and one patch.": slice_,
            "The patch: what one token covers.": patch,
            "What one slice costs.": price,
            "What a token of 128 numbers can keep of it.": copy,
        },
        [slider("size", "Patch size P", [f"{size} pixels" for size in sizes], sizes.index(start))],
        {
            "truth": to_levels(as_pixels(x)),
            "copies": np.stack([to_levels(as_pixels(copies[size])) for size in sizes]),
        },
        {
            "sizes": sizes,
            "side": side,
            "place": place,
            "costs": [
                {
                    "tokens": int(row.tokens),
                    "weights": int(row.weights),
                    "attention": round(float(row.attention), 4),
                    "other": round(float(row.other), 4),
                    "copy": round(float(row.copy), 2) if np.isfinite(row.copy) else None,
                }
                for row in costs.itertuples()
            ],
        },
    )
    return _still(x, copies, place, brightest)


def _still(
    x: Tensor, copies: Mapping[int, Tensor], place: tuple[int, int], brightest: float
) -> Figure:
    figure, axes = plt.subplots(3, len(copies), figsize=(7.6, 5.9))
    for (size, copy), (top, middle, bottom) in zip(copies.items(), axes.T, strict=True):
        row, column = (size * (p // size) for p in place)
        draw_image(top, x, f"P = {size}", vmax=brightest)
        lines, end = np.arange(0, x.shape[-1], size) - 0.5, x.shape[-1] - 1
        top.hlines(lines, 0, end, color="white", lw=0.3, alpha=0.6)
        top.vlines(lines, 0, end, color="white", lw=0.3, alpha=0.6)
        frame(top, row, column, size, colour=_MARK, linewidth=1.5)
        part = (..., slice(row, row + size), slice(column, column + size))
        draw_image(middle, x[part], vmax=brightest)
        draw_image(bottom, copy[part], vmax=brightest)
    for axis, label in zip(axes[:, 0], ("slice", "one patch", "its copy"), strict=True):
        axis.set_ylabel(label)
    return figure
