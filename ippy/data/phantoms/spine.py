"""The spine: vertebrae with canal and processes, or a disc, between the muscles of the back."""

from __future__ import annotations

import numpy as np

from ippy.data.phantoms.canvas import blob, paint, texture, walk
from ippy.data.phantoms.section import Section
from ippy.data.phantoms.skeleton import paint_bone


def paint_spine(section: Section) -> None:
    """Paint the muscles of the back, the vertebra with its canal and processes, in place."""
    patient, z = section.patient, section.z
    centre = section.frame.point(
        0.012 * patient.drift("spine", z)[0], 0.44 + 0.03 * patient.drift("back", 0)[0]
    )
    width = patient.width * (0.115 + 0.04 * z) * (1 + 0.04 * patient.drift("body of", 0)[0])
    radii = width * np.array([1.0, 0.85])
    back = centre + np.array([0, radii[1]])  # the hind end of the vertebra's body
    phase = (z * 9 + patient.drift("level", 0)[0]) % 1.0  # 0 at a disc, then down one vertebra
    for side in (-1, 1):
        _paint_back_muscle(section, back, radii[0], side)
        _paint_transverse_process(section, back, radii[0], side, shows=phase > 0.25)
    _paint_arch(section, back, phase)
    outline = blob(centre, radii, waves=patient.waves("vertebra", z, 0.025), power=2.3)
    hind = outline[:, 1] > centre[1]
    outline[:, 1] -= 1.8 * np.exp(-(((outline[:, 0] - centre[0]) / 6) ** 2)) * hind
    if phase < 0.15:
        _paint_disc(section, outline, centre, radii)
    else:
        _paint_vertebra(section, outline, centre, radii)


def _paint_back_muscle(section: Section, back: np.ndarray, half: float, side: int) -> None:
    """Paint the erector of one side, ``half`` a vertebra from the middle, and fat in it."""
    levels, rng = section.levels, section.rng
    muscle = blob(
        back + np.array([side * (half + 5), 13]),
        (half * 0.9 + 4, 9),
        turn=side * 0.25,
        waves=section.patient.waves(f"erector{side}", section.z, 0.04),
    )
    paint(section.image, muscle, levels.muscle + 0.004 * texture(rng, 4), soft=0.6)
    for _ in range(3):
        start = back + np.array([side * rng.uniform(6, 22), rng.uniform(5, 18)])
        line = walk(rng, start, rng.uniform(0, 3.2), rng.uniform(4, 12), 0.1)
        paint(section.image, line, levels.fat, width=rng.uniform(0.4, 1.4), soft=0.4)


def _paint_transverse_process(
    section: Section, back: np.ndarray, half: float, side: int, *, shows: bool
) -> None:
    rng = section.rng
    shape = blob(
        back + np.array([side * (half * 0.9 + 6), 3.5]),
        (rng.uniform(7, 13), rng.uniform(1.8, 3)),
        turn=side * rng.uniform(0.2, 0.7),
        waves=rng.normal(0, 0.08, 4),
        power=2.2,
    )
    if shows:
        paint_bone(section, shape, 1.0)


def _paint_arch(section: Section, back: np.ndarray, phase: float) -> None:
    """Paint the spinous process, the arch, and in it the canal with the cord."""
    muscle, rng = section.levels.muscle, section.rng
    spine = blob(
        back + np.array([0, 17 + 3 * phase]),
        (rng.uniform(1.6, 2.8), rng.uniform(6, 11)),
        turn=rng.normal(0, 0.06),
        waves=rng.normal(0, 0.06, 6),
    )
    paint_bone(section, spine, 0.9)
    waves = section.patient.waves("arch", 2 * section.z, 0.06)
    arch = blob(back + np.array([0, 4.5]), (9.0, 7.5), waves=waves, power=2.4)
    if phase > 0.2:
        paint_bone(section, arch, 1.3)
    else:
        paint(section.image, arch, muscle - 0.01, soft=0.7)
    paint(section.image, blob(back + np.array([0, 4.2]), (6.3, 5.2)), muscle - 0.015, soft=0.4)
    paint(section.image, blob(back + np.array([0, 4.6]), (3.8, 3.2)), muscle + 0.005, soft=0.6)


def _paint_disc(
    section: Section, outline: np.ndarray, centre: np.ndarray, radii: np.ndarray
) -> None:
    """Paint a disc: no shell, a soft rim."""
    levels, rng = section.levels, section.rng
    paint(section.image, outline, levels.muscle + 0.04, soft=0.8)
    paint(section.air_share, outline, 0.0, soft=0.4)
    spot = centre + np.array([rng.normal(0, 3), rng.normal(0, 3)])
    patch = blob(spot, radii * rng.uniform(0.4, 0.8, 2), waves=rng.normal(0, 0.1, 6))
    level = levels.marrow + rng.uniform(0, 0.1)
    paint(section.image, patch, level, soft=rng.uniform(0.5, 2.5))


def _paint_vertebra(
    section: Section, outline: np.ndarray, centre: np.ndarray, radii: np.ndarray
) -> None:
    """Paint a vertebra's body, in some slices with an end plate that the slice grazes."""
    levels, rng = section.levels, section.rng
    trabeculae = levels.marrow + 0.022 * texture(rng, 1.3) + 0.015 * texture(rng, 4)
    paint_bone(section, outline, rng.uniform(0.7, 1.3), trabeculae)
    if rng.uniform() < 0.4:
        patch = blob(centre, radii * rng.uniform(0.4, 0.8, 2), waves=rng.normal(0, 0.1, 6))
        level = levels.marrow + rng.uniform(0.03, 0.2)
        paint(section.image, patch, level, soft=rng.uniform(0.8, 3))
