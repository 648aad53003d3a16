"""Lungs: parenchyma, vessel trees, airways and fissures."""

from __future__ import annotations

import numpy as np

from ippy.data.phantoms.canvas import Layer, blob, paint, texture, walk
from ippy.data.phantoms.frame import Frame


def paint_lungs(share: np.ndarray, frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Return the lung's own levels over the whole slice, to be shown where ``share`` says.

    Args:
        share: (256, 256) how much of each pixel is lung.
        frame: The slice's outlines.
        rng: For the small vessels.
    """
    levels = frame.patient.levels
    rows = np.linspace(-0.5, 0.5, share.shape[0], dtype=np.float32)[:, None]
    level = levels.lung * (1 + 0.35 * rows)  # denser where gravity pulls the blood
    grain = texture(rng, 1.0) * 0.5 + texture(rng, 1.7)
    lung = level * (1 + 0.16 * texture(rng, 18) + 0.12 * texture(rng, 6)) + 0.009 * grain
    if share.max() < 0.5:
        return lung
    _paint_fissures(lung, frame, rng)
    _paint_vessels(lung, share, frame, rng)
    _paint_airways(lung, frame, rng)
    return np.maximum(lung, 0)


def _hilum(frame: Frame, side: int) -> np.ndarray:
    x, y = 0.24 + 0.02 * frame.patient.drift(f"hilum{side}", frame.z)[0], 0.02
    return frame.point(side * x, y + 0.12 * (frame.z - 0.3))


def _paint_fissures(lung: np.ndarray, frame: Frame, rng: np.random.Generator) -> None:
    for side in (-1, 1):
        if rng.uniform() < 0.7:
            y = 0.45 - 0.9 * frame.z + 0.1 * frame.patient.drift(f"fissure{side}", frame.z)[0]
            line = walk(rng, frame.point(side * 0.95, y), np.pi / 2 + side * 1.4, 90, 0.02)
            level = frame.patient.levels.lung + rng.uniform(0.012, 0.05)
            paint(lung, line, level, width=rng.uniform(0.6, 1.6), soft=rng.uniform(0.3, 1.2))


def _branch(
    layer: Layer, rng: np.random.Generator, start: np.ndarray, heading: float, width: float
) -> None:
    """Draw one vessel and the branches that leave it."""
    line = walk(rng, start, heading, rng.uniform(3, 7) * (1 + width), 0.09)
    half = len(line) // 2
    shown = min(1.0, 0.35 + 0.5 * width)
    layer.line(line[: half + 1], shown, width)
    layer.line(line[half:], shown, 0.85 * width)
    if width > 0.7:
        for turn in (rng.uniform(0.2, 0.9), -rng.uniform(0.2, 0.9)):
            if rng.uniform() < 0.6:
                end = line[-1] if rng.uniform() < 0.6 else line[half]
                _branch(layer, rng, end, heading + turn, width * rng.uniform(0.5, 0.8))


def _paint_vessels(
    lung: np.ndarray, share: np.ndarray, frame: Frame, rng: np.random.Generator
) -> None:
    patient, blood = frame.patient, frame.patient.levels.blood
    rich = patient.vessel_density * np.clip(1.3 - 1.1 * abs(frame.z - 0.25), 0.4, None)
    layer = Layer()
    for side in (-1, 1):
        root = _hilum(frame, side)
        for _ in range(rng.poisson(2.2 * rich)):
            heading = (0.0 if side > 0 else np.pi) + rng.uniform(-1.5, 1.5)
            _branch(layer, rng, root + rng.normal(0, 8, 2), heading, rng.uniform(0.8, 2.9))
    ys, xs = np.nonzero(share > 0.9)
    chosen = rng.integers(0, max(len(xs), 1), rng.poisson(0.02 * rich * len(xs)))
    for spot in np.stack([xs[chosen], ys[chosen]], axis=1) + rng.uniform(0, 1, (len(chosen), 2)):
        away = spot - frame.point(np.sign(spot[0] - frame.centre[0]) * 0.24, 0.05)
        near = np.exp(-np.hypot(*away) / 45)
        width = np.clip(rng.gamma(2.0, 0.2) + 0.9 * near * rng.uniform(), 0.25, 3.0)
        level = np.clip(rng.beta(1.2, 3.4) + 0.8 * (width - 0.7), 0.08, 1.0)
        if rng.uniform() < 0.5:
            layer.dot(spot, 0.45 * width + 0.2, rng.uniform(0.8, 1.6), level)
        elif width > 1.0 and rng.uniform() < 0.5:
            _branch(layer, rng, spot, rng.uniform(0, 2 * np.pi), 0.8 * width)
        else:
            heading = np.arctan2(away[1], away[0]) + rng.normal(0, 0.6)
            layer.line(walk(rng, spot, heading, rng.gamma(2.0, 2.4) + 1.5, 0.1), level, width)
    lung += layer.cover() * (blood - lung)


def _paint_airways(lung: np.ndarray, frame: Frame, rng: np.random.Generator) -> None:
    levels = frame.patient.levels
    for _ in range(rng.poisson(5 * frame.patient.style.airways)):
        side = rng.choice([-1, 1])
        spot = _hilum(frame, side) + rng.normal(0, 11, 2) + [side * 7, 6]
        size = rng.uniform(0.9, 3.2) * np.array([1, rng.uniform(0.8, 1.5)])
        turn = rng.uniform(0, np.pi)
        paint(
            lung,
            blob(spot, size + rng.uniform(0.4, 0.9), turn=turn, count=24),
            rng.uniform(0.12, 0.35),
        )
        paint(lung, blob(spot, size, turn=turn, count=24), 0.3 * levels.lung)
        if rng.uniform() < 0.7:  # the artery that runs beside it
            paint(lung, blob(spot + size + 0.8, 0.8 * size, count=20), levels.blood, soft=0.2)
