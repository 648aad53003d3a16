"""What lies between the lungs: fat, heart, great vessels, oesophagus and windpipe."""

from __future__ import annotations

import numpy as np

from ippy.data.phantoms.canvas import blob, coverage, paint, texture, varied_edge, walk
from ippy.data.phantoms.organs import AORTA, GREAT_VESSELS, MEDIASTINAL_FAT, OESOPHAGUS, dome
from ippy.data.phantoms.section import Section


def paint_mediastinum(section: Section) -> None:
    """Paint what lies between the lungs, in place."""
    _paint_fat(section)
    _paint_heart(section)
    _paint_great_vessels(section)
    _paint_aorta(section)
    _paint_oesophagus(section)
    _paint_windpipe(section)


def _paint_fat(section: Section) -> None:
    patient, z, rng = section.patient, section.z, section.rng
    fat = section.levels.fat + 0.008 * texture(rng, 4)
    for organ in MEDIASTINAL_FAT:
        if not organ.shows(z):
            continue
        y = organ.place[1]
        width = (1 + 0.2 * patient.drift(f"middle{y}", 2 * z)[0]) * patient.width / 95
        scale = np.array([width if organ.radii[0] > 1 else 1.0, patient.depth / 85])
        place = section.frame.point(0.02 * patient.drift(f"mid{y}", z)[0], y)
        shape = organ.outline(section, centre=place, scale=scale)
        section.fill(varied_edge(shape, rng, 1.6), fat)


def _paint_heart(section: Section) -> None:
    patient, levels, z, rng = section.patient, section.levels, section.z, section.rng
    size = min(dome(z, 0.08, 0.3), dome(-z, -0.72, -0.5)) * patient.width / 92
    if size <= 0.15:
        return
    x = 0.09 + 0.12 * (z - 0.2) + 0.02 * patient.drift("heart x", z)[0]
    place = section.frame.point(x, -0.27)
    radii = size * np.array([27 + 5 * z, 35])
    shape = blob(place, radii, turn=-0.35 - 0.4 * z, waves=patient.waves("heart", z, 0.05))
    section.fill(varied_edge(shape, rng, 2.2 if size > 0.6 else 3.5), levels.fat + 0.01)
    inner = place + 0.93 * (shape - place)
    paint(section.image, inner, levels.muscle + 0.004 * texture(rng, 10), soft=1.0)
    for k, offset in enumerate(np.array([(-11, -9), (10, 2), (-6, 13)])):
        spot = place + size * offset + 2 * patient.drift(f"c{k}", z, 2)
        waves = patient.waves(f"cc{k}", z, 0.08)
        chamber = blob(spot, size * np.array([11, 13]), turn=-0.4, waves=waves)
        paint(section.image, chamber, levels.blood, soft=rng.uniform(0.8, 2.5))
    for _ in range(3):  # fat in the grooves
        start = place + rng.normal(0, 12, 2)
        line = walk(rng, start, rng.uniform(0, 6), rng.uniform(6, 20), 0.1)
        width, soft = rng.uniform(0.6, 2), rng.uniform(0.5, 1.2)
        paint(section.image, line, levels.fat, width=width, soft=soft)


def _paint_great_vessels(section: Section) -> None:
    patient, z, rng = section.patient, section.z, section.rng
    for k, organ in enumerate(GREAT_VESSELS):
        if organ.shows(z):
            place = section.frame.point(*organ.place) + 2 * patient.drift(f"great{k}", z, 2)
            scale, turn = rng.uniform(0.9, 1.2, 2), rng.uniform(0, 3)
            shape = organ.outline(section, centre=place, scale=scale, turn=turn)
            cover = varied_edge(shape, rng, 1.2)
            section.fill(cover, organ.grey(section) + rng.normal(0, 0.006))


def _paint_aorta(section: Section) -> None:
    patient, z, rng = section.patient, section.z, section.rng
    x = 0.10 * np.clip(1.3 - 1.4 * z, 0, 1) + 0.01 * patient.drift("aorta", z)[0]
    place = section.frame.point(x, AORTA.place[1] + 0.02 * z)
    scale = (1.1 - 0.3 * z) * patient.width / 92
    shape = AORTA.outline(section, centre=place, scale=scale)
    section.fill(coverage(shape, soft=AORTA.soft), AORTA.grey(section))
    if rng.uniform() < 0.3:  # calcium in the wall
        spot = shape[rng.integers(len(shape))]
        calcium = blob(spot, rng.uniform(0.6, 1.8, 2), count=16)
        paint(section.image, calcium, rng.uniform(0.55, 0.95), soft=0.2)


def _paint_oesophagus(section: Section) -> None:
    patient, z, rng = section.patient, section.z, section.rng
    if not OESOPHAGUS.shows(z):
        return
    place = section.frame.point(0.03 * patient.drift("gullet", z)[0], OESOPHAGUS.place[1])
    shape = OESOPHAGUS.outline(section, centre=place)
    section.fill(coverage(shape, soft=OESOPHAGUS.soft), OESOPHAGUS.grey(section))
    if rng.uniform() < 0.4:  # a little gas
        gas = blob(place, rng.uniform(0.6, 1.8, 2), count=20)
        paint(section.image, gas, 0.03, soft=0.3)


def _paint_windpipe(section: Section) -> None:
    patient, z = section.patient, section.z
    if z >= 0.35:
        return
    apart = max(0.0, z - 0.12)  # it divides into two bronchi
    for side in (-1, 1) if apart > 0 else (0,):
        place = section.frame.point(side * (0.05 + 0.75 * apart), 0.02 + 0.3 * apart)
        radii = np.array([6.2, 5.6]) * (0.8 if side else 1.1)
        tube = blob(place, radii, waves=patient.waves("tube", z, 0.04))
        wall = place + 1.25 * (tube - place)
        section.fill(coverage(wall), section.levels.muscle - 0.02)
        paint(section.image, tube, 0.0, soft=0.2)
