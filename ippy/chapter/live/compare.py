"""Any two images of one slice on either side of a divider, and their errors below it."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import torch
from bokeh.models import ColumnDataSource, Range1d
from bokeh.palettes import Magma256
from matplotlib.figure import Figure
from torch import Tensor

from ippy.chapter.axes import as_pixels, draw_image
from ippy.chapter.live.plots import add_image, picture, to_levels
from ippy.chapter.live.publish import choice, publish, slider
from ippy.chapter.style import COLOURS
from ippy.quality import metrics

_LEVELS = 1023  # 10 bits: in 8, the errors of the better networks would be two or three steps
_ZOOMS = (1, 1.5, 2, 3, 4, 6, 8)
_DIVIDER = COLOURS[5]


def compare_slider(
    images: Mapping[str, Tensor],
    *,
    left: str,
    right: str,
    centre: tuple[int, int],
    brightest: float = 1.0,
    error_scale: float = 0.1,
) -> Figure:
    """Publish the live figure ``compare``, and draw it as it stands before it is touched.

    Args:
        images: Name -> image (1, 1, 256, 256) in [0, 1], the truth first.
        left: Which image lies left of the divider at first.
        right: Which lies right of it.
        centre: Row and column in the middle of the first enlargement.
        brightest: Grey value drawn white.
        error_scale: Absolute error drawn brightest.

    Returns:
        The still picture: the two halves and their errors.

    Raises:
        ValueError: The images are not of one square size, or ``left`` or ``right`` is not in them.
    """
    names = [*images]
    if not {left, right} <= {*names}:
        raise ValueError(f"no images are called {left!r} and {right!r}; expected two of {names}")
    shapes = {tuple(image.shape) for image in images.values()}
    if len(shapes) > 1 or (shape := shapes.pop())[:2] != (1, 1) or shape[2] != shape[3]:
        raise ValueError("expected images of one shape (1, 1, H, H), the truth first")
    truth, side = images[names[0]], shape[3]
    stack = np.stack([to_levels(as_pixels(image), _LEVELS) for image in images.values()])
    scores = [
        {"psnr": round(min(metrics.psnr(image, truth).item(), 99), 2),
         "ssim": round(metrics.ssim(image, truth).item(), 4)}
        for image in images.values()
    ]  # fmt: skip

    ranges = {"x_range": Range1d(0, side), "y_range": Range1d(0, side)}
    grey, error = (picture(name, side=side, **ranges) for name in ("wipe", "errors"))
    empty = np.zeros((side, side), np.float32)
    add_image(grey, "grey", empty, side=side, high=brightest)
    add_image(error, "error", empty, side=side, palette=Magma256, high=error_scale)
    for plot in (grey, error):
        source = ColumnDataSource({"x": [side / 2]}, name=f"{plot.name} divider")
        plot.vspan("x", source=source, line_color="black", line_width=4)
        plot.vspan("x", source=source, line_color=_DIVIDER, line_width=2)

    publish(
        "compare",
        {"The two images.": grey, "Their absolute errors.": error},
        [
            choice("left", "Left of the line", names, names.index(left)),
            choice("right", "Right of the line", names, names.index(right)),
            slider("divider", "Line", [f"{p} %" for p in range(101)], 50),
            slider("zoom", "Enlarge", [f"{zoom:g}×" for zoom in _ZOOMS]),
        ],
        {"images": stack},
        {"names": names, "scores": scores, "side": side, "levels": _LEVELS, "zooms": _ZOOMS,
         "centre": centre, "error_scale": error_scale},
    )  # fmt: skip
    return _still(images, names[0], left, right, brightest, error_scale)


def _still(
    images: Mapping[str, Tensor],
    truth: str,
    left: str,
    right: str,
    brightest: float,
    error_scale: float,
) -> Figure:
    middle = images[left].shape[-1] // 2
    halves = torch.cat([images[left][..., :middle], images[right][..., middle:]], dim=-1)
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 4.1))
    draw_image(axes[0], halves, f"{left} | {right}", vmax=brightest)
    look = {"vmax": error_scale, "cmap": "magma"}
    shown = draw_image(axes[1], (halves - images[truth]).abs(), "absolute errors", **look)
    for axis in axes:
        axis.axvline(middle - 0.5, color=_DIVIDER, linewidth=1.5)
    figure.colorbar(shown, ax=axes[1], shrink=0.85)
    return figure
