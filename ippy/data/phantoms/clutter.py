"""Slices of no body at all: dead leaves, texture and thin curves in the grey range of CT."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from ippy.data.phantoms.canvas import SAMPLES, SIZE, blob, texture, walk


def tissue_level(rng: np.random.Generator) -> float:
    """Return a grey level as frequent as in a CT slice: air, lung, soft tissue, bone, any."""
    kind = rng.uniform()
    if kind < 0.3:
        return float(rng.uniform(0.0, 0.08))
    if kind < 0.72:
        return float(rng.uniform(0.3, 0.48))
    if kind < 0.82:
        return float(rng.uniform(0.45, 0.95))
    return float(rng.uniform(0.0, 0.6))


def dead_leaves(rng: np.random.Generator, *, count: int, contrast: float = 1.0) -> np.ndarray:
    """Return shapes of power-law size that hide each other, and thin curves between them.

    Args:
        rng: Where everything comes from.
        count: Number of shapes.
        contrast: 1 draws levels as in CT; less draws them closer to one level.

    Returns:
        (256, 256) float32 in [0, 1]; edges are sharp in some places and soft in others.
    """
    base = tissue_level(rng)
    tile = Image.new("F", (SIZE * SAMPLES, SIZE * SAMPLES), base)
    draw = ImageDraw.Draw(tile)
    smallest, largest = rng.uniform(0.8, 3), rng.uniform(35, 110)
    steep = rng.uniform(0.4, 1.6)
    sizes = rng.uniform(largest**-steep, smallest**-steep, count) ** (-1 / steep)
    order = np.argsort(-sizes) if rng.uniform() < 0.5 else rng.permutation(count)
    for size in sizes[order]:
        level = base + contrast * (tissue_level(rng) - base)
        place, turn = rng.uniform(-8, SIZE + 8, 2), rng.uniform(0, np.pi)
        kind = rng.uniform()
        if kind < 0.25:
            line = walk(rng, place, 2 * turn, rng.uniform(8, 90), rng.uniform(0.02, 0.2))
            width = max(1, round(SAMPLES * rng.gamma(2.0, 0.5)))
            draw.line((line * SAMPLES).ravel().tolist(), fill=level, width=width)
            continue
        if kind < 0.4:
            corners = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 6))))
            shape = place + size * np.stack([np.cos(corners), np.sin(corners)], axis=1)
        else:
            radii = size * np.array([1.0, rng.uniform(0.25, 1.0)])
            waves = rng.normal(0, rng.uniform(0, 0.12), 6)
            shape = blob(place, radii, turn=turn, waves=waves, count=40)
        draw.polygon((shape * SAMPLES).ravel().tolist(), fill=level)
        if rng.uniform() < 0.15:  # a shell around a different inside, as in bone
            inner = place + (1 - min(0.7, rng.uniform(0.6, 2) / size)) * (shape - place)
            inside = base + contrast * (tissue_level(rng) - base)
            draw.polygon((inner * SAMPLES).ravel().tolist(), fill=inside)
    sharp = np.array(tile.reduce(SAMPLES))
    soft = ndimage.gaussian_filter(sharp, rng.uniform(0.6, 3.5), truncate=3.0)
    mix = np.clip(rng.uniform(-0.2, 0.7) + 0.8 * texture(rng, rng.uniform(15, 60)), 0, 1)
    return np.clip(sharp + mix * (soft - sharp), 0, 1)


def fine_texture(rng: np.random.Generator) -> np.ndarray:
    """Return (256, 256) zero-mean texture of varied scale, stronger here and weaker there."""
    field = texture(rng, rng.uniform(1, 3)) + rng.uniform(0, 1.5) * texture(rng, rng.uniform(2, 8))
    if rng.uniform() < 0.4:
        axis = np.arange(SIZE)
        angle, period = rng.uniform(0, np.pi), rng.uniform(2.5, 24)
        wave = np.cos(angle) * axis + np.sin(angle) * axis[:, None]
        field = field + rng.uniform(0, 2) * np.sin(
            2 * np.pi * (wave / period + texture(rng, 60) * 0.5)
        )
    return field * np.clip(0.3 + texture(rng, rng.uniform(20, 60)), 0, 2)


def draw_clutter(rng: np.random.Generator) -> np.ndarray:
    """Return a whole slice of clutter, (256, 256) float32 in [0, 1], without noise."""
    contrast = 1.0 if rng.uniform() < 0.75 else rng.uniform(0.05, 0.4)
    image = dead_leaves(rng, count=int(rng.integers(120, 700)), contrast=contrast)
    if rng.uniform() < 0.7:
        image = image + rng.gamma(1.5, 0.012) * fine_texture(rng) * (0.15 + 2 * image)
    if rng.uniform() < 0.3:
        image = image * np.clip(1 + 0.2 * texture(rng, 80), 0, 2)
    return np.clip(image, 0, 1)


def mix_clutter(image: np.ndarray, body: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a CT-like slice with clutter laid over a part of it, inside or outside the body."""
    clutter = dead_leaves(rng, count=int(rng.integers(40, 250)))
    kind = rng.uniform()
    if kind < 0.35:  # faint, all over the body
        return np.clip(image + body * rng.uniform(0.04, 0.25) * (clutter - clutter.mean()), 0, 1)
    region = np.clip(3 * (texture(rng, rng.uniform(25, 70)) - rng.uniform(0.2, 1.0)), 0, 1)
    if kind < 0.55:
        region = region * (1 - body)
    image = image + region * (clutter - image)
    if rng.uniform() < 0.5:
        image = image + body * rng.gamma(1.5, 0.008) * fine_texture(rng)
    return np.clip(image, 0, 1)
