"""A generated patient: what stays the same from slice to slice, and what changes smoothly."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ippy.data.phantoms.style import AS_DRAWN, Style


@dataclass(frozen=True)
class Levels:
    """Grey levels of one patient, in [0, 1]."""

    air: float
    lung: float
    fat: float
    muscle: float
    blood: float
    organ: float
    marrow: float
    cortex: float


@lru_cache(maxsize=1000)  # a body has about a hundred, and its slices are made one after another
def _curves(
    entropy: tuple[int, ...], name: str, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the means, phases and paces of smooth curves."""
    rng = np.random.default_rng((*entropy, zlib.crc32(name.encode())))
    steady, phase = rng.normal(0, 0.8, count), rng.uniform(0, 2 * np.pi, count)
    return steady, phase, rng.uniform(0.6, 2.0, count)


class Patient:
    """Body shape, grey levels and scanner settings, drawn once from a patient's own seed.

    Positions are pixels; ``z`` is the position along the body: 0 at the upper chest, 1 in the
    middle of the abdomen.

    Args:
        entropy: What the patient is drawn from.
        style: How richly the parts are drawn.
    """

    def __init__(self, entropy: tuple[int, ...], style: Style = AS_DRAWN) -> None:
        self.entropy, self.style = entropy, style
        rng = np.random.default_rng(np.random.SeedSequence(entropy))
        self.centre = (128 + rng.normal(0, 4), 131 + rng.normal(0, 4))
        self.width = rng.uniform(84, 110)
        self.depth = min(self.width * rng.uniform(0.74, 0.94), 90)
        self.power = rng.uniform(2.1, 2.7)
        self.fat_layer = rng.uniform(3.0, 13.0)
        self.arms = rng.uniform() < 0.25 * style.arms
        self.top, self.bottom = rng.uniform(-0.02, 0.2), rng.uniform(0.85, 1.0)
        self.bone_density = rng.uniform(0.7, 1.2)
        self.couch_gap = rng.uniform(15, 24)
        self.couch_bend = rng.uniform(0.0008, 0.0022)
        self.couch_level = style.couch * rng.uniform(0.2, 0.6)
        self.vessel_density = style.vessels * rng.uniform(0.7, 1.5)

        def level(low: float, high: float) -> float:
            """Draw from a range, made wider or narrower about its middle."""
            middle, half = (low + high) / 2, style.levels * (high - low) / 2
            return rng.uniform(middle - half, middle + half)

        muscle = level(0.365, 0.415)
        air, lung, fat = level(0.009, 0.02), level(0.015, 0.048), level(0.045, 0.08)
        blood, organ, marrow = level(-0.005, 0.06), level(0.0, 0.045), level(0.015, 0.09)
        cortex = level(0.5, 0.78)
        agent = self._contrast_agent()
        self.levels = Levels(
            air=max(air, 0.0),
            lung=max(lung, 0.0),
            fat=muscle - fat,
            muscle=muscle,
            blood=muscle + blood + agent,
            organ=muscle + organ + 0.2 * agent,
            marrow=muscle + marrow,
            cortex=cortex,
        )
        self.noise_air = style.noise * rng.uniform(0.0018, 0.0048)
        self.noise_body = self.noise_air * rng.uniform(1.4, 2.6)
        self.blur = style.spread * rng.uniform(0.3, 0.6)
        self.peak = rng.uniform(0.3, 0.46)
        self.oriented = rng.uniform(0.2, 0.8)

    def _contrast_agent(self) -> float:
        """Return how much brighter a contrast agent makes the blood: 0 where none was given."""
        rng = np.random.default_rng((*self.entropy, zlib.crc32(b"contrast agent")))
        return rng.uniform(0.05, 0.3) if rng.uniform() < self.style.contrast else 0.0

    def drift(self, name: str, z: float, count: int = 1) -> np.ndarray:
        """Return ``count`` numbers of about unit size that change smoothly with ``z``.

        The same name gives the same curves, so a shape stays itself from slice to slice.
        """
        steady, phase, pace = _curves(self.entropy, name, count)
        return steady + 0.6 * np.sin(2 * np.pi * pace * z + phase)

    def waves(self, name: str, z: float, size: float) -> np.ndarray:
        """Return the ripples of a :func:`~ippy.data.phantoms.canvas.blob`, finer ones smaller."""
        return size * self.drift(name, z, 10) / np.repeat(np.arange(1, 6), 2)
