"""A 256 x 256 canvas that paints shapes with true partial volume: 4 x 4 samples a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

SIZE = 256
SAMPLES = 4
Box = tuple[slice, slice]


def _draw(points: np.ndarray, margin: float, width: float | None) -> tuple[Box, np.ndarray] | None:
    """Cover the pixels under a polygon, or under a polyline of the given width in pixels."""
    pad = margin + (width or 0.0) + 2.0
    # Plain numbers: NumPy's own calls take longer than such small shapes take to draw.
    left, top = (min(max(floor(k - pad), 0), SIZE) for k in points.min(axis=0).tolist())
    right, bottom = (min(max(ceil(k + pad), 0), SIZE) for k in points.max(axis=0).tolist())
    if right <= left or bottom <= top:
        return None
    tile = Image.new("L", ((right - left) * SAMPLES, (bottom - top) * SAMPLES))
    path = ((points - (left, top)) * SAMPLES).ravel().tolist()
    if width is None:
        ImageDraw.Draw(tile).polygon(path, fill=255)
    else:
        ImageDraw.Draw(tile).line(
            path, fill=255, width=max(1, round(width * SAMPLES)), joint="curve"
        )
    cover = np.asarray(tile.reduce(SAMPLES), dtype=np.float32) / 255
    return (slice(top, bottom), slice(left, right)), cover


def coverage(points: np.ndarray, *, soft: float = 0.0) -> np.ndarray:
    """Return how much of each pixel a polygon covers.

    Args:
        points: (N, 2) corners as (x, y) in pixels.
        soft: Standard deviation of the edge in pixels, beyond one pixel's own extent.

    Returns:
        (256, 256) float32 in [0, 1].
    """
    full = np.zeros((SIZE, SIZE), np.float32)
    drawn = _draw(points, 3 * soft, None)
    if drawn is not None:
        box, cover = drawn
        full[box] = ndimage.gaussian_filter(cover, soft, truncate=3.0) if soft > 0.15 else cover
    return full


def paint(
    image: np.ndarray,
    points: np.ndarray,
    value: float | np.ndarray,
    *,
    soft: float = 0.0,
    width: float | None = None,
    within: np.ndarray | None = None,
) -> None:
    """Paint a shape into ``image`` in place.

    Args:
        image: (256, 256) float32.
        points: (N, 2) corners as (x, y) in pixels.
        value: The grey level, or a (256, 256) field of them.
        soft: Standard deviation of the edge in pixels.
        width: None fills the polygon; a number strokes the open line.
        within: (256, 256) in [0, 1]; paints only there.
    """
    drawn = _draw(points, 3 * soft, width)
    if drawn is None:
        return
    box, cover = drawn
    if soft > 0.15:
        cover = ndimage.gaussian_filter(cover, soft, truncate=3.0)
    if within is not None:
        cover = cover * within[box]
    level = value[box] if isinstance(value, np.ndarray) else np.float32(value)
    image[box] += cover * (level - image[box])


def varied_edge(points: np.ndarray, rng: np.random.Generator, widest: float) -> np.ndarray:
    """Return the coverage of a shape whose edge is sharp here and up to ``widest`` pixels there."""
    sharp = coverage(points, soft=0.3)
    soft = coverage(points, soft=rng.uniform(0.4, 1.0) * widest)
    mix = np.clip(0.5 + 0.7 * texture(rng, 40), 0, 1) ** 1.5
    return sharp + mix * (soft - sharp)


class Layer:
    """Many small lines and dots drawn together, at a fraction of the cost of one by one."""

    def __init__(self) -> None:
        self._tile = Image.new("L", (SIZE * SAMPLES, SIZE * SAMPLES))
        self._draw = ImageDraw.Draw(self._tile)

    def line(self, points: np.ndarray, level: float, width: float) -> None:
        """Draw an open line of the given width (pixels) at ``level`` in [0, 1]."""
        path = (points * SAMPLES).ravel().tolist()
        self._draw.line(path, fill=round(255 * level), width=max(1, round(width * SAMPLES)))

    def dot(self, centre: np.ndarray, radius: float, aspect: float, level: float) -> None:
        """Draw an upright ellipse: ``radius`` (pixels) across, ``radius * aspect`` down."""
        reach = np.array([radius, radius * aspect])
        box = np.concatenate([centre - reach, centre + reach]) * SAMPLES
        self._draw.ellipse(box.tolist(), fill=round(255 * level))

    def cover(self) -> np.ndarray:
        """Return (256, 256) float32 in [0, 1]: coverage times level."""
        return np.asarray(self._tile.reduce(SAMPLES), dtype=np.float32) / 255


def blob(
    centre: Sequence[float],
    radii: Sequence[float],
    *,
    turn: float = 0.0,
    waves: Sequence[float] = (),
    power: float = 2.0,
    count: int = 96,
) -> np.ndarray:
    """Return a closed superellipse with a wavy radius.

    Args:
        centre: (x, y) in pixels.
        radii: The two half axes in pixels.
        turn: Rotation in radians.
        waves: Relative amplitudes: cosine and sine of 2, 3, 4, ... waves a turn, alternately.
        power: 2 is an ellipse, more is boxier.
        count: Number of corners.

    Returns:
        (count, 2) corners as (x, y).
    """
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    radius = (np.abs(cos) ** power + np.abs(sin) ** power) ** (-1 / power)
    for i, amplitude in enumerate(waves):
        order = 2 + i // 2
        radius = radius * (1 + amplitude * (np.sin if i % 2 else np.cos)(order * angle))
    x, y = radii[0] * radius * cos, radii[1] * radius * sin
    return np.stack(
        [
            centre[0] + x * np.cos(turn) - y * np.sin(turn),
            centre[1] + x * np.sin(turn) + y * np.cos(turn),
        ],
        axis=1,
    )


def walk(
    rng: np.random.Generator,
    start: Sequence[float] | np.ndarray,
    heading: float,
    length: float,
    bend: float,
) -> np.ndarray:
    """Return a smoothly turning line: (N, 2) points, one about every 2 pixels."""
    steps = max(3, int(length / 2))
    turns = np.cumsum(
        np.cumsum(rng.normal(0, bend * 0.12, steps)) * 0.5 + rng.normal(0, bend, steps)
    )
    angle = heading + turns - turns[0]
    delta = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (length / steps)
    return np.concatenate([[start], np.asarray(start) + np.cumsum(delta, axis=0)])


def texture(rng: np.random.Generator, scale: float) -> np.ndarray:
    """Return smooth noise with unit standard deviation and structures of ``scale`` pixels."""
    small = max(4, int(np.ceil(SIZE / max(scale, 1.0))) + 3)
    coarse = rng.standard_normal((small, small), dtype=np.float32)
    zoom = Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    field = np.asarray(zoom)
    # Sums in float64: those of float32 differ from CPU to CPU.
    field = field - np.float32(field.mean(dtype=float))
    return field * np.float32(1 / np.sqrt(np.square(field).mean(dtype=float)))


def soften(image: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """Return an image whose edges are soft in a part of it, as where a slice grazes a surface.

    Args:
        image: (256, 256).
        rng: Where the part and the width of its edges come from.
        share: About how much of the image is softened; 0 is none.
    """
    if share == 0:
        return image
    soft = ndimage.gaussian_filter(image, rng.uniform(0.6, 2.0), truncate=3.0)
    mix = share * np.clip(0.5 + 0.7 * texture(rng, rng.uniform(15, 50)), 0, 1)
    return image + np.clip(mix, 0, 1) * (soft - image)
