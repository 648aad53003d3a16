"""What is drawn on axes: images without ticks, frames around pixels, ticks that are numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from torch import Tensor

from ippy.chapter.style import COLOURS


def as_pixels(image: Tensor) -> np.ndarray:
    """Return an image (..., H, W) with leading axes of length 1 as an array (H, W)."""
    pixels = image.detach().cpu().float().numpy()
    return pixels.reshape(pixels.shape[-2:])


def draw_image(
    axis: Axes, image: Tensor, title: str = "", note: str = "", **look: Any
) -> AxesImage:
    """Draw an image without ticks, with a title above and a line below.

    Args:
        axis: Axes to draw in.
        image: (H, W) or with leading axes of length 1.
        title: Above the image.
        note: Below it, such as a score.
        **look: Arguments of ``imshow``; grey from 0 to 1 where they do not say otherwise.
    """
    drawn = axis.imshow(as_pixels(image), **{"cmap": "gray", "vmin": 0, "vmax": 1} | look)
    axis.set(xticks=[], yticks=[], title=title)
    axis.grid(False)
    axis.spines[:].set_visible(False)
    axis.text(0.5, -0.04, note, transform=axis.transAxes, ha="center", va="top")
    return drawn


def frame(
    axis: Axes,
    row: float,
    column: float,
    height: float,
    width: float | None = None,
    *,
    colour: str = COLOURS[4],
    linewidth: float = 1.2,
) -> None:
    """Draw a frame around pixels of an image; a square if only its height is given."""
    corner, look = (column - 0.5, row - 0.5), {"ec": colour, "lw": linewidth}
    axis.add_patch(Rectangle(corner, width or height, height, fill=False, **look))


def set_number_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Put ticks at these values only, as plain numbers, also where the axis is logarithmic."""
    axis.set_ticks(values, [f"{value:g}" for value in values])
    axis.set_ticks([], minor=True)
