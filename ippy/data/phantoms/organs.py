"""Soft organs: heart and great vessels, liver, spleen, kidneys, stomach and bowel."""

from __future__ import annotations

import numpy as np

from ippy.data.phantoms.canvas import blob, coverage, paint, texture, walk
from ippy.data.phantoms.frame import Frame


def _grow(z: float, begin: float, end: float) -> float:
    """Return the relative radius of a dome cut at ``z``: 0 at ``begin``, 1 at ``end``."""
    return float(np.sqrt(np.clip((z - begin) / (end - begin), 0, 1)))


def varied_edge(points: np.ndarray, rng: np.random.Generator, widest: float) -> np.ndarray:
    """Cover pixels under a shape whose edge is sharp here and soft there."""
    sharp = coverage(points, soft=0.3)
    soft = coverage(points, soft=rng.uniform(0.4, 1.0) * widest)
    mix = np.clip(0.5 + 0.7 * texture(rng, 40), 0, 1) ** 1.5
    return sharp + mix * (soft - sharp)


def _solid(
    image: np.ndarray,
    air_share: np.ndarray,
    cover: np.ndarray,
    level: np.ndarray | float,
) -> None:
    image += cover * (level - image)
    air_share *= 1 - cover


def paint_mediastinum(
    image: np.ndarray, air_share: np.ndarray, frame: Frame, rng: np.random.Generator
) -> None:
    """Paint heart, great vessels, oesophagus and windpipe between the lungs, in place."""
    patient, levels, z = frame.patient, frame.patient.levels, frame.z
    fat = levels.fat + 0.008 * texture(rng, 4)
    if z < 0.75:
        for y, width, depth in (
            (-0.62, 5 * (z < 0.42), 24),
            (-0.35, 17, 20),
            (-0.02, 19, 21),
            (0.33, 11, 20),
        ):
            depth = depth * patient.depth / 85
            width = width * (1 + 0.2 * patient.drift(f"middle{y}", 2 * z)[0]) * patient.width / 95
            place = frame.point(0.02 * patient.drift(f"mid{y}", z)[0], y)
            shape = blob(place, (max(width, 0.4), depth), waves=patient.waves(f"m{y}", 2 * z, 0.1))
            _solid(image, air_share, varied_edge(shape, rng, 1.6) * (z < 0.86), fat)
    heart = min(_grow(z, 0.08, 0.3), _grow(-z, -0.72, -0.5)) * patient.width / 92
    if heart > 0.15:
        place = frame.point(0.09 + 0.12 * (z - 0.2) + 0.02 * patient.drift("heart x", z)[0], -0.27)
        shape = blob(
            place,
            heart * np.array([27 + 5 * z, 35]),
            turn=-0.35 - 0.4 * z,
            waves=patient.waves("heart", z, 0.05),
        )
        cover = varied_edge(shape, rng, 2.2 if heart > 0.6 else 3.5)
        _solid(image, air_share, cover, levels.fat + 0.01)
        inner = place + 0.93 * (shape - place)
        image += coverage(inner, soft=1.0) * (levels.muscle + 0.004 * texture(rng, 10) - image)
        for k in range(3):
            spot = (
                place
                + heart * np.array([(-11, -9), (10, 2), (-6, 13)][k])
                + 2 * patient.drift(f"c{k}", z, 2)
            )
            chamber = blob(
                spot, heart * np.array([11, 13]), turn=-0.4, waves=patient.waves(f"cc{k}", z, 0.08)
            )
            paint(image, chamber, levels.blood, soft=rng.uniform(0.8, 2.5))
        for _ in range(3):  # fat in the grooves
            line = walk(
                rng, place + rng.normal(0, 12, 2), rng.uniform(0, 6), rng.uniform(6, 20), 0.1
            )
            paint(image, line, levels.fat, width=rng.uniform(0.6, 2), soft=rng.uniform(0.5, 1.2))
    if z < 0.28:
        _paint_great_vessels(image, air_share, frame, rng)
    x = 0.10 * np.clip(1.3 - 1.4 * z, 0, 1) + 0.01 * patient.drift("aorta", z)[0]
    aorta = blob(
        frame.point(x, 0.27 + 0.02 * z),
        8.5 * (1.1 - 0.3 * z) * np.ones(2) * patient.width / 92,
        waves=patient.waves("aorta", z, 0.02),
    )
    _solid(image, air_share, coverage(aorta, soft=0.4), levels.blood)
    if rng.uniform() < 0.3:
        spot = aorta[rng.integers(len(aorta))]
        paint(
            image, blob(spot, rng.uniform(0.6, 1.8, 2), count=16), rng.uniform(0.55, 0.95), soft=0.2
        )
    if z < 0.6:
        tube = frame.point(0.03 * patient.drift("gullet", z)[0], 0.14)
        _solid(image, air_share, coverage(blob(tube, (5, 3.8)), soft=0.5), levels.muscle)
        if rng.uniform() < 0.4:
            paint(image, blob(tube, rng.uniform(0.6, 1.8, 2), count=20), 0.03, soft=0.3)
    if z < 0.35:
        apart = max(0.0, z - 0.12)
        for side in (-1, 1) if apart > 0 else (0,):
            place = frame.point(side * (0.05 + 0.75 * apart), 0.02 + 0.3 * apart)
            tube = blob(
                place,
                np.array([6.2, 5.6]) * (0.8 if side else 1.1),
                waves=patient.waves("tube", z, 0.04),
            )
            _solid(image, air_share, coverage(place + 1.25 * (tube - place)), levels.muscle - 0.02)
            paint(image, tube, 0.0, soft=0.2)


def _paint_great_vessels(
    image: np.ndarray, air_share: np.ndarray, frame: Frame, rng: np.random.Generator
) -> None:
    patient, levels = frame.patient, frame.patient.levels
    for k, (x, y, size) in enumerate(
        ((-0.10, -0.24, 10), (-0.19, -0.18, 6), (0.10, -0.2, 10), (0.2, -0.02, 8), (-0.2, 0.0, 8))
    ):
        place = frame.point(x, y) + 2 * patient.drift(f"great{k}", frame.z, 2)
        shape = blob(
            place,
            size * rng.uniform(0.9, 1.2, 2),
            turn=rng.uniform(0, 3),
            waves=patient.waves(f"g{k}", frame.z, 0.06),
        )
        _solid(image, air_share, varied_edge(shape, rng, 1.2), levels.blood + rng.normal(0, 0.006))


def paint_abdomen(
    image: np.ndarray,
    air_share: np.ndarray,
    inside: np.ndarray,
    frame: Frame,
    rng: np.random.Generator,
) -> None:
    """Paint what lies under the diaphragm, in place; it pushes the lungs away."""
    patient, levels, z = frame.patient, frame.patient.levels, frame.z
    dome_left, dome_right = _grow(z, 0.46, 0.86), _grow(z, 0.36, 0.84)
    for side, size in ((1, dome_left), (-1, dome_right)):
        if size > 0.02:
            place = frame.point(side * 0.36, -0.2 + 0.12 * size)
            radii = size * np.array([0.72, 0.98]) * (patient.width, patient.depth)
            shape = blob(place, radii, waves=patient.waves(f"dome{side}", z, 0.05), power=2.2)
            cover = varied_edge(shape, rng, 1.0 + 3.5 * (1 - size)) * inside
            _solid(image, air_share, cover, levels.fat + 0.005 * texture(rng, 5))
    parenchyma = 0.003 * texture(rng, 1.6) + 0.003 * texture(rng, 14)
    if z > 0.85:
        for _ in range(rng.poisson(26)):  # vessels in the mesentery
            line = walk(
                rng,
                frame.point(*rng.uniform(-0.6, 0.6, 2)),
                rng.uniform(0, 6),
                rng.uniform(5, 22),
                0.12,
            )
            paint(image, line, levels.muscle, width=rng.uniform(0.5, 2.2), soft=0.4, within=inside)
    if dome_left > 0.25:
        _paint_bowel(image, inside, frame, rng, dome_left)
        spleen = blob(
            frame.point(0.62, 0.12),
            dome_left * np.array([15, 27]),
            turn=-0.35,
            waves=patient.waves("spleen", z, 0.07),
        )
        if z < 0.97:
            paint(
                image,
                spleen,
                levels.organ + 0.008 + parenchyma,
                soft=rng.uniform(0.4, 1.6),
                within=inside,
            )
    if dome_right > 0.03:
        size = dome_right * np.array([0.60, 0.84]) * (patient.width, patient.depth)
        size = size * (1 - 0.3 * np.clip((z - 0.85) / 0.15, 0, 1))
        liver = blob(
            frame.point(-0.36, -0.17 + 0.1 * dome_right),
            size,
            waves=patient.waves("liver", z, 0.07),
            power=2.3,
        )
        level = levels.organ + parenchyma
        cover = varied_edge(liver, rng, 0.8 + 3.5 * (1 - dome_right)) * inside
        _solid(image, air_share, cover, level)
        if 0.5 < z < 0.95:
            lobe = blob(
                frame.point(0.08, -0.48),
                dome_right * np.array([36, 20]),
                turn=0.25,
                waves=patient.waves("lobe", z, 0.1),
            )
            paint(image, lobe, level, soft=rng.uniform(0.4, 1.6), within=inside)
        for _ in range(rng.poisson(9 * dome_right)):
            line = walk(
                rng,
                frame.point(rng.uniform(-0.65, -0.1), rng.uniform(-0.5, 0.35)),
                rng.uniform(0, 6),
                rng.uniform(6, 24),
                0.07,
            )
            paint(
                image,
                line,
                levels.organ + rng.uniform(-0.03, 0.035),
                width=rng.uniform(0.8, 3.2),
                soft=rng.uniform(0.5, 1.5),
                within=cover,
            )
    if z > 0.78:
        for side in (-1, 1):
            _paint_kidney(image, inside, frame, rng, side)
        for side in (-1, 1):
            psoas = blob(
                frame.point(side * 0.24, 0.47), np.array([7, 10]) * (0.6 + 0.8 * (z - 0.7))
            )
            paint(image, psoas, levels.muscle, soft=0.6)
        paint(image, blob(frame.point(-0.13, 0.22), (8.5, 6.5)), levels.blood, soft=0.6)
    if z > 0.68:
        for side in (-1, 1):  # adrenals and crura: thin limbs beside the spine
            line = walk(rng, frame.point(side * 0.13, 0.18), side * 0.4 + np.pi / 2, 20, 0.06)
            paint(image, line, levels.muscle, width=rng.uniform(1.5, 3.5), soft=0.4)


def _paint_kidney(
    image: np.ndarray, inside: np.ndarray, frame: Frame, rng: np.random.Generator, side: int
) -> None:
    patient, levels, z = frame.patient, frame.patient.levels, frame.z
    size = _grow(z, 0.76 + (0.03 if side < 0 else 0), 0.88)
    place = frame.point(side * 0.45, 0.34) + 2 * patient.drift(f"kidney{side}", z, 2)
    shape = blob(
        place, size * np.array([13, 18]), turn=-side * 0.5, waves=patient.waves(f"k{side}", z, 0.06)
    )
    paint(image, place + 1.3 * (shape - place), levels.fat, soft=0.8, within=inside)
    paint(image, shape, levels.organ - 0.006, soft=0.5, within=inside)
    middle = place + np.array([-side * 3.0, 1.0])
    for _ in range(6):
        spot = middle + rng.normal(0, 3.0 * size + 0.1, 2)
        paint(
            image,
            blob(spot, size * rng.uniform(1.5, 4, 2), count=24),
            levels.fat + rng.uniform(0, 0.02),
            soft=0.5,
            within=inside,
        )


def _paint_bowel(
    image: np.ndarray, inside: np.ndarray, frame: Frame, rng: np.random.Generator, grown: float
) -> None:
    """Paint stomach and bowel loops with wall, contents and gas."""
    patient, levels, z = frame.patient, frame.patient.levels, frame.z
    loops = [(0.28, -0.38, 20, 15)] if z < 0.98 else []
    drift = patient.drift("loops", z, 40)
    for k in range(int(2 + 10 * np.clip((z - 0.6) / 0.4, 0, 1))):
        x, y = 0.32 + 0.3 * drift[2 * k], -0.12 + 0.27 * drift[2 * k + 1]
        loops.append(
            (
                np.clip(x, -0.35, 0.72),
                np.clip(y, -0.65, 0.3),
                rng.uniform(5, 11),
                rng.uniform(5, 11),
            )
        )
    for k, (x, y, a, b) in enumerate(loops):
        place = frame.point(x, y)
        shape = blob(
            place,
            np.array([a, b]) * (0.5 + 0.5 * grown),
            turn=drift[k],
            waves=patient.waves(f"loop{k}", z, 0.09),
        )
        paint(
            image,
            shape,
            levels.muscle + rng.uniform(-0.01, 0.03),
            soft=rng.uniform(0.4, 1.2),
            within=inside,
        )
        inner = place + rng.uniform(0.55, 0.85) * (shape - place)
        content = levels.muscle + rng.uniform(-0.04, 0.02) + rng.uniform(0, 0.02) * texture(rng, 3)
        paint(image, inner, content, soft=rng.uniform(0.4, 1.0), within=inside)
        kind = rng.uniform()
        if kind < 0.3:
            level = float(np.quantile(inner[:, 1], rng.uniform(0.3, 0.9)))
            gas = inner.copy()
            gas[:, 1] = np.minimum(gas[:, 1], level)
            paint(image, gas, 0.0, soft=rng.uniform(0.1, 0.6), within=inside)
        elif kind < 0.5:
            for _ in range(int(rng.integers(1, 6))):
                spot = place + rng.normal(0, 0.25 * a, 2)
                paint(
                    image,
                    blob(spot, rng.uniform(0.5, 2.5, 2), count=20),
                    rng.uniform(0, 0.25),
                    soft=0.3,
                    within=inside,
                )
