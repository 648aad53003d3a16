"""What lies under the diaphragm; it pushes the lungs away."""

from __future__ import annotations

import numpy as np

from ippy.data.phantoms.canvas import blob, paint, texture, varied_edge, walk
from ippy.data.phantoms.organs import (
    DIAPHRAGM,
    KIDNEYS,
    LEFT_LOBE,
    LIVER,
    PSOAS,
    SPLEEN,
    VENA_CAVA,
    Organ,
    paint_organ,
)
from ippy.data.phantoms.section import Section


def paint_abdomen(section: Section) -> None:
    """Paint what lies under the diaphragm, in place."""
    z, rng = section.z, section.rng
    for organ in DIAPHRAGM:
        if organ.shows(z):
            _paint_dome(section, organ)
    parenchyma = 0.003 * texture(rng, 1.6) + 0.003 * texture(rng, 14)
    if z > 0.85:
        _paint_mesentery(section)
    if z > 0.485:
        _paint_bowel(section)
    paint_organ(section, SPLEEN, grain=parenchyma, within=section.inside)
    if LIVER.shows(z):
        _paint_liver(section, parenchyma)
    for organ in KIDNEYS:
        if organ.shows(z):
            _paint_kidney(section, organ)
    for organ in PSOAS:
        paint_organ(section, organ, scale=0.6 + 0.8 * (z - 0.7))
    paint_organ(section, VENA_CAVA)
    if z > 0.68:
        _paint_adrenals(section)


def _paint_dome(section: Section, organ: Organ) -> None:
    """Paint the fat under one half of the diaphragm."""
    patient, rng, size = section.patient, section.rng, organ.grown(section.z)
    x, y = organ.place
    place = section.frame.point(x, y + 0.12 * size)
    scale = np.array([patient.width, patient.depth])
    shape = organ.outline(section, centre=place, scale=scale)
    cover = varied_edge(shape, rng, 1.0 + 3.5 * (1 - size)) * section.inside
    section.fill(cover, organ.grey(section) + 0.005 * texture(rng, 5))


def _paint_mesentery(section: Section) -> None:
    """Paint the vessels between the loops of the bowel."""
    rng = section.rng
    for _ in range(rng.poisson(26)):
        start = section.frame.point(*rng.uniform(-0.6, 0.6, 2))
        line = walk(rng, start, rng.uniform(0, 6), rng.uniform(5, 22), 0.12)
        width, level = rng.uniform(0.5, 2.2), section.levels.muscle
        paint(section.image, line, level, width=width, soft=0.4, within=section.inside)


def _paint_liver(section: Section, parenchyma: np.ndarray) -> None:
    """Paint the liver, its left lobe, and its vessels."""
    patient, z, rng, size = section.patient, section.z, section.rng, LIVER.grown(section.z)
    x, y = LIVER.place
    place = section.frame.point(x, y + 0.1 * size)
    below = 1 - 0.3 * np.clip((z - 0.85) / 0.15, 0, 1)  # it tapers off
    scale = below * np.array([patient.width, patient.depth])
    shape = LIVER.outline(section, centre=place, scale=scale)
    cover = varied_edge(shape, rng, 0.8 + 3.5 * (1 - size)) * section.inside
    section.fill(cover, LIVER.grey(section) + parenchyma)
    paint_organ(section, LEFT_LOBE, grain=parenchyma, within=section.inside)
    for _ in range(rng.poisson(9 * size)):
        start = section.frame.point(rng.uniform(-0.65, -0.1), rng.uniform(-0.5, 0.35))
        line = walk(rng, start, rng.uniform(0, 6), rng.uniform(6, 24), 0.07)
        level = section.levels.organ + rng.uniform(-0.03, 0.035)
        width, soft = rng.uniform(0.8, 3.2), rng.uniform(0.5, 1.5)
        paint(section.image, line, level, width=width, soft=soft, within=cover)


def _paint_kidney(section: Section, organ: Organ) -> None:
    """Paint a kidney, the fat around it, and the fat in its middle."""
    z, rng, size = section.z, section.rng, organ.grown(section.z)
    image, fat, inside = section.image, section.levels.fat, section.inside
    side = int(np.sign(organ.place[0]))
    place = section.frame.point(*organ.place) + 2 * section.patient.drift(f"kidney{side}", z, 2)
    shape = organ.outline(section, centre=place)
    paint(image, place + 1.3 * (shape - place), fat, soft=0.8, within=inside)
    paint(image, shape, organ.grey(section), soft=0.5, within=inside)
    middle = place + np.array([-side * 3.0, 1.0])
    for _ in range(6):
        spot = middle + rng.normal(0, 3.0 * size + 0.1, 2)
        calyx = blob(spot, size * rng.uniform(1.5, 4, 2), count=24)
        paint(image, calyx, fat + rng.uniform(0, 0.02), soft=0.5, within=inside)


def _paint_adrenals(section: Section) -> None:
    """Paint adrenals and crura: thin limbs beside the spine."""
    rng = section.rng
    for side in (-1, 1):
        start = section.frame.point(side * 0.13, 0.18)
        line = walk(rng, start, side * 0.4 + np.pi / 2, 20, 0.06)
        paint(section.image, line, section.levels.muscle, width=rng.uniform(1.5, 3.5), soft=0.4)


def _paint_bowel(section: Section) -> None:
    """Paint stomach and bowel loops with wall, contents and gas."""
    patient, z, rng = section.patient, section.z, section.rng
    loops = [(0.28, -0.38, 20, 15)] if z < 0.98 else []  # the stomach
    drift = patient.drift("loops", z, 40)
    for k in range(int(2 + 10 * np.clip((z - 0.6) / 0.4, 0, 1))):
        x = np.clip(0.32 + 0.3 * drift[2 * k], -0.35, 0.72)
        y = np.clip(-0.12 + 0.27 * drift[2 * k + 1], -0.65, 0.3)
        loops.append((x, y, rng.uniform(5, 11), rng.uniform(5, 11)))
    size = 0.5 + 0.5 * SPLEEN.grown(z)  # grows with the left half of the diaphragm
    for k, (x, y, *radii) in enumerate(loops):
        place = section.frame.point(x, y)
        waves = patient.waves(f"loop{k}", z, 0.09)
        shape = blob(place, np.array(radii) * size, turn=drift[k], waves=waves)
        _paint_loop(section, place, shape, spread=0.25 * radii[0])


def _paint_loop(section: Section, place: np.ndarray, shape: np.ndarray, spread: float) -> None:
    """Paint one loop's wall and contents, and gas, above a level or as bubbles, in some."""
    muscle, rng = section.levels.muscle, section.rng
    image, inside = section.image, section.inside
    wall = muscle + rng.uniform(-0.01, 0.03)
    paint(image, shape, wall, soft=rng.uniform(0.4, 1.2), within=inside)
    inner = place + rng.uniform(0.55, 0.85) * (shape - place)
    content = muscle + rng.uniform(-0.04, 0.02) + rng.uniform(0, 0.02) * texture(rng, 3)
    paint(image, inner, content, soft=rng.uniform(0.4, 1.0), within=inside)
    kind, gas = rng.uniform(), section.patient.style.gas
    if kind < 0.3 * gas:
        level = float(np.quantile(inner[:, 1], rng.uniform(0.3, 0.9)))
        gas = np.minimum(inner, [np.inf, level])
        paint(image, gas, 0.0, soft=rng.uniform(0.1, 0.6), within=inside)
    elif kind < 0.5 * gas:
        for _ in range(int(rng.integers(1, 6))):
            spot = place + rng.normal(0, spread, 2)
            bubble = blob(spot, rng.uniform(0.5, 2.5, 2), count=20)
            paint(image, bubble, rng.uniform(0, 0.25), soft=0.3, within=inside)
