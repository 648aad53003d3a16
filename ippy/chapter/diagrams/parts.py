"""The vocabulary of a diagram: boxes, circles, arrows, pictures, labels.

All is placed in the units of the axes, by its middle. What is drawn says where it lies, so that an
arrow leads from one side of it to another's: ``arrow(axis, a.right, b.left)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle
from torch import Tensor

from ippy.chapter.axes import as_pixels
from ippy.chapter.style import COLOURS

INK, PALE, LAYER = "#404040", "#595959", "#666666"
ENCODER, DECODER, ADDED, RESIDUAL = COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[3]

Point = tuple[float, float]


@dataclass(frozen=True)
class Place:
    """Where a part of a diagram lies: its middle, its width and its height."""

    x: float
    y: float
    width: float
    height: float

    def at(self, across: float, up: float) -> Point:
        """Return a point of it: (-1, -1) is the lower left corner, (1, 1) the upper right."""
        return self.x + across * self.width / 2, self.y + up * self.height / 2

    @property
    def left(self) -> Point:
        """The middle of the left side."""
        return self.at(-1, 0)

    @property
    def right(self) -> Point:
        """The middle of the right side."""
        return self.at(1, 0)

    @property
    def top(self) -> Point:
        """The middle of the upper side."""
        return self.at(0, 1)

    @property
    def bottom(self) -> Point:
        """The middle of the lower side."""
        return self.at(0, -1)


def canvas(axis: Axes, *, x: Point, y: Point) -> None:
    """Make empty axes without a frame, as wide as ``x`` and as high as ``y``, in equal units."""
    axis.set(xlim=x, ylim=y, aspect="equal")
    axis.axis("off")


def sheet(width: float, height: float, *, inches: float) -> tuple[Figure, Axes]:
    """Return a figure ``inches`` wide with one canvas of ``width`` by ``height`` units."""
    figure, axis = plt.subplots(figsize=(inches, inches * height / width))
    canvas(axis, x=(0, width), y=(0, height))
    return figure, axis


def tint(colour: str) -> np.ndarray:
    """Mix a colour with white."""
    return 1 - 0.16 * (1 - np.array(to_rgb(colour)))


def box(
    axis: Axes, place: Place, text: str, colour: str, *, upright: bool = False, size: float = 9
) -> Place:
    """Draw a layer or a feature map: a rounded box with its name, which may run upwards."""
    style = f"round,pad=0,rounding_size={0.2 * min(place.width, place.height)}"
    look = {"facecolor": tint(colour), "edgecolor": colour, "linewidth": 1.3, "zorder": 3}
    axis.add_patch(
        FancyBboxPatch(place.at(-1, -1), place.width, place.height, boxstyle=style, **look)
    )
    _middle(axis, place, text, size=size, rotation=90 if upright else 0)
    return place


def circle(axis: Axes, middle: Point, text: str, colour: str = INK, *, radius: float) -> Place:
    """Draw a small operation, such as a sum."""
    place = Place(*middle, 2 * radius, 2 * radius)
    fill = "white" if colour == INK else tint(colour)
    axis.add_patch(Circle(middle, radius, fc=fill, ec=colour, lw=1.3, zorder=3))
    _middle(axis, place, text, size=11, color=colour)
    return place


def arrow(
    axis: Axes,
    *points: Point,
    colour: str = INK,
    dashed: bool = False,
    bend: float = 0.0,
    weight: float = 1.1,
) -> None:
    """Draw a line through the points with a head at its end; ``bend`` makes one of two an arc."""
    style = {"color": colour, "linewidth": weight, "linestyle": (0, (3, 2)) if dashed else "-"}
    if len(points) > 2:
        axis.plot(*zip(*points[:-1], strict=True), **style, zorder=1)
    axis.add_patch(
        FancyArrowPatch(
            *points[-2:],
            arrowstyle="-|>",
            mutation_scale=8 * weight,
            shrinkA=0,
            shrinkB=0,
            connectionstyle=f"arc3,rad={bend}",
            zorder=2,
            **style,
        )
    )


def picture(axis: Axes, image: Tensor, place: Place, **look: Any) -> Place:
    """Draw an image (H, W) with a thin frame; ``look`` goes to ``imshow``."""
    (left, low), (right, high) = place.at(-1, -1), place.at(1, 1)
    look = {"zorder": 3} | look
    axis.imshow(as_pixels(image), extent=(left, right, low, high), **look)
    frame = {"fc": "none", "ec": INK, "lw": 0.7, "zorder": look["zorder"]}
    axis.add_patch(Rectangle((left, low), place.width, place.height, **frame))
    return place


def label(axis: Axes, place: Place, above: str = "", below: str = "", gap: float = 0.2) -> None:
    """Write a title above a place and, smaller, shapes below it."""
    (x, high), (_, low) = place.top, place.bottom
    axis.text(x, high + gap, above, ha="center", va="bottom", fontsize=11)
    axis.text(x, low - gap, below, ha="center", va="top", fontsize=9.5, color=PALE)


def _middle(axis: Axes, place: Place, text: str, *, size: float, **look: Any) -> None:
    """Write a text in the middle of a place; letters look centred a little below it."""
    down = 0 if look.get("rotation") else 0.04 * place.height
    look |= {"ha": "center", "va": "center", "fontsize": size, "zorder": 4}
    axis.text(place.x, place.y - down, text, **look)
