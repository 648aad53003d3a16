"""Bones: ribs, sternum, scapulae, vertebra; and the muscles between them."""

from __future__ import annotations

import numpy as np

from ippy.data.phantoms.canvas import blob, paint, texture, walk
from ippy.data.phantoms.frame import Frame


def _bone(
    image: np.ndarray,
    air_share: np.ndarray,
    outline: np.ndarray,
    shell: float,
    frame: Frame,
    rng: np.random.Generator,
    marrow: np.ndarray | float | None = None,
) -> None:
    """Paint a cortical shell of ``shell`` pixels around marrow."""
    levels = frame.patient.levels
    cortex = min(0.97, levels.cortex * frame.patient.bone_density * rng.uniform(0.85, 1.15))
    middle = outline.mean(axis=0)
    reach = np.hypot(*(outline - middle).T).mean()
    paint(image, outline, max(cortex, levels.marrow + 0.05), soft=rng.uniform(0.0, 0.4))
    paint(air_share, outline, 0.0)
    thick = shell * (1 + 0.4 * np.sin(np.arange(len(outline)) * 2 * np.pi / len(outline) * 2))
    inner = middle + (outline - middle) * np.clip(1 - thick / reach, 0.05, 1)[:, None]
    if reach > shell:
        paint(image, inner, levels.marrow if marrow is None else marrow, soft=0.35)


def paint_chest_wall(
    image: np.ndarray, air_share: np.ndarray, frame: Frame, rng: np.random.Generator
) -> None:
    """Paint ribs along the cage, fat between the muscles, sternum and scapulae, in place."""
    patient, levels, z = frame.patient, frame.patient.levels, frame.z
    for _ in range(int(rng.integers(8, 20))):  # fat planes between the muscles of the wall
        angle, mix = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.9)
        radius = mix * frame.cage + (1 - mix) * frame.wall
        arc = np.array(
            [frame.at(angle + t, radius) for t in np.linspace(0, rng.uniform(0.1, 0.7), 14)]
        )
        paint(image, arc, levels.fat, width=rng.uniform(0.5, 2.8), soft=0.4)
    reach = np.clip(1.15 - z, 0, 1)  # fewer ribs below the chest
    for side in (-1, 1):
        shift = patient.drift(f"rib{side}", 3 * z)[0] * 0.15
        for spread in np.linspace(-1.0, 1.05, 8):
            if rng.uniform() > 0.45 + 0.5 * reach or (z > 0.8 and spread < -0.2):
                continue
            angle = spread + shift + rng.normal(0, 0.03)
            angle = angle if side > 0 else np.pi - angle
            place = frame.at(angle, frame.cage, rng.uniform(0.8, 2.5))
            ahead = frame.at(angle + 0.03, frame.cage) - frame.at(angle - 0.03, frame.cage)
            turn = np.arctan2(ahead[1], ahead[0]) + rng.normal(0, 0.1)
            length = rng.uniform(4, 9) * (1.6 if spread > 0.8 else 1.0)
            if spread < -0.75:  # costal cartilage
                shape = blob(place, (length * 0.8, rng.uniform(2.5, 4)), turn=turn, power=2.6)
                paint(image, shape, levels.muscle + rng.uniform(0.02, 0.07), soft=0.6)
                paint(air_share, shape, 0.0)
                continue
            waves = rng.normal(0, 0.06, 4)
            shape = blob(place, (length, rng.uniform(1.8, 3.2)), turn=turn, waves=waves, power=2.4)
            _bone(image, air_share, shape, rng.uniform(0.7, 1.3), frame, rng)
    if z < 0.55:
        place = frame.at(1.5 * np.pi, frame.cage, 3.0 + 0.5 * patient.drift("sternum", z)[0])
        size = (rng.uniform(10, 14) * (1 - 0.8 * max(0, z - 0.2)), rng.uniform(3.2, 4.5))
        shape = blob(place, size, waves=patient.waves("sternum", z, 0.06), power=2.6)
        _bone(image, air_share, shape, 0.7, frame, rng, levels.marrow + 0.03 * texture(rng, 1.5))
    if z < 0.35:
        for side in (-1, 1):
            angle = 0.62 + 0.08 * patient.drift(f"scapula{side}", z)[0] + 0.5 * (z - 0.2)
            place = frame.at(
                angle if side > 0 else np.pi - angle, 0.45 * frame.cage + 0.55 * frame.wall
            )
            turn = side * (-0.85 + 0.15 * patient.drift(f"blade{side}", z)[0])
            length = 19 * np.clip((0.36 - z) / 0.25, 0.15, 1)
            shape = blob(place, (length, rng.uniform(1.4, 2.2)), turn=turn, power=1.7)
            shape = shape + 1.5 * np.sin(shape[:, :1] / 7 + patient.drift("curl", z)[0])
            _bone(image, air_share, shape, 0.7, frame, rng)


def paint_spine(
    image: np.ndarray, air_share: np.ndarray, frame: Frame, rng: np.random.Generator
) -> None:
    """Paint the back muscles, the vertebra with its canal and processes, in place."""
    patient, levels, z = frame.patient, frame.patient.levels, frame.z
    x, y = frame.point(
        0.012 * patient.drift("spine", z)[0], 0.44 + 0.03 * patient.drift("back", 0)[0]
    )
    size = (
        np.array([1.0, 0.85])
        * patient.width
        * (0.115 + 0.04 * z)
        * (1 + 0.04 * patient.drift("body of", 0)[0])
    )
    back = y + size[1]
    phase = (z * 9 + patient.drift("level", 0)[0]) % 1.0  # 0 at a disc, then down one vertebra
    for side in (-1, 1):
        muscle = blob(
            (x + side * (size[0] + 5), back + 13),
            (size[0] * 0.9 + 4, 9),
            turn=side * 0.25,
            waves=patient.waves(f"erector{side}", z, 0.04),
        )
        paint(image, muscle, levels.muscle + 0.004 * texture(rng, 4), soft=0.6)
        for _ in range(3):
            spot = (x + side * rng.uniform(6, 22), back + rng.uniform(5, 18))
            line = walk(rng, spot, rng.uniform(0, 3.2), rng.uniform(4, 12), 0.1)
            paint(image, line, levels.fat, width=rng.uniform(0.4, 1.4), soft=0.4)
        shape = blob(
            (x + side * (size[0] * 0.9 + 6), back + 3.5),
            (rng.uniform(7, 13), rng.uniform(1.8, 3)),
            turn=side * rng.uniform(0.2, 0.7),
            waves=rng.normal(0, 0.08, 4),
            power=2.2,
        )
        if phase > 0.25:
            _bone(image, air_share, shape, 1.0, frame, rng)
    spine = blob(
        (x, back + 17 + 3 * phase),
        (rng.uniform(1.6, 2.8), rng.uniform(6, 11)),
        turn=rng.normal(0, 0.06),
        waves=rng.normal(0, 0.06, 6),
    )
    _bone(image, air_share, spine, 0.9, frame, rng)
    arch = blob((x, back + 4.5), (9.0, 7.5), waves=patient.waves("arch", 2 * z, 0.06), power=2.4)
    if phase > 0.2:
        _bone(image, air_share, arch, 1.3, frame, rng)
    else:
        paint(image, arch, levels.muscle - 0.01, soft=0.7)
    paint(image, blob((x, back + 4.2), (6.3, 5.2)), levels.muscle - 0.015, soft=0.4)
    paint(image, blob((x, back + 4.6), (3.8, 3.2)), levels.muscle + 0.005, soft=0.6)
    shape = blob((x, y), size, waves=patient.waves("vertebra", z, 0.025), power=2.3)
    shape[:, 1] -= 1.8 * np.exp(-(((shape[:, 0] - x) / 6) ** 2)) * (shape[:, 1] > y)
    if phase < 0.15:  # a disc: no shell, soft rim
        paint(image, shape, levels.muscle + 0.04, soft=0.8)
        paint(air_share, shape, 0.0, soft=0.4)
        patch = blob(
            (x + rng.normal(0, 3), y + rng.normal(0, 3)),
            size * rng.uniform(0.4, 0.8, 2),
            waves=rng.normal(0, 0.1, 6),
        )
        paint(image, patch, levels.marrow + rng.uniform(0, 0.1), soft=rng.uniform(0.5, 2.5))
    else:
        trabeculae = levels.marrow + 0.022 * texture(rng, 1.3) + 0.015 * texture(rng, 4)
        _bone(image, air_share, shape, rng.uniform(0.7, 1.3), frame, rng, trabeculae)
        if rng.uniform() < 0.4:  # the slice grazes an end plate
            patch = blob((x, y), size * rng.uniform(0.4, 0.8, 2), waves=rng.normal(0, 0.1, 6))
            paint(image, patch, levels.marrow + rng.uniform(0.03, 0.2), soft=rng.uniform(0.8, 3))
