"""The bones of the chest wall: ribs, sternum and scapulae; and the fat between its muscles."""

from __future__ import annotations

import numpy as np

from ippy.data.phantoms.canvas import blob, paint, texture
from ippy.data.phantoms.section import Section


def paint_bone(
    section: Section,
    outline: np.ndarray,
    shell: float,
    marrow: np.ndarray | float | None = None,
) -> None:
    """Paint a cortical shell around marrow, in place.

    Args:
        section: The slice.
        outline: (N, 2) corners as (x, y) in pixels.
        shell: Mean thickness of the shell in pixels.
        marrow: Grey level inside, or a (256, 256) field; the patient's by default.
    """
    levels, rng = section.levels, section.rng
    density = section.patient.bone_density * rng.uniform(0.85, 1.15)
    cortex = min(0.97, levels.cortex * density)
    middle = outline.mean(axis=0)
    reach = np.hypot(*(outline - middle).T).mean()
    paint(section.image, outline, max(cortex, levels.marrow + 0.05), soft=rng.uniform(0.0, 0.4))
    paint(section.air_share, outline, 0.0)
    thick = shell * (1 + 0.4 * np.sin(np.arange(len(outline)) * 2 * np.pi / len(outline) * 2))
    inner = middle + (outline - middle) * np.clip(1 - thick / reach, 0.05, 1)[:, None]
    if reach > shell:
        paint(section.image, inner, levels.marrow if marrow is None else marrow, soft=0.35)


def paint_chest_wall(section: Section) -> None:
    """Paint ribs along the cage, fat between the muscles, sternum and scapulae, in place."""
    _paint_fat_planes(section)
    _paint_ribs(section)
    if section.z < 0.55:
        _paint_sternum(section)
    if section.z < 0.35:
        _paint_scapulae(section)


def _paint_fat_planes(section: Section) -> None:
    """Paint fat between the muscles of the wall."""
    frame, rng = section.frame, section.rng
    for _ in range(round(section.patient.style.fat_planes * rng.integers(8, 20))):
        angle, mix = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.9)
        radius = mix * frame.cage + (1 - mix) * frame.wall
        turns = np.linspace(0, rng.uniform(0.1, 0.7), 14)
        arc = np.array([frame.at(angle + turn, radius) for turn in turns])
        paint(section.image, arc, section.levels.fat, width=rng.uniform(0.5, 2.8), soft=0.4)


def _paint_ribs(section: Section) -> None:
    z, rng = section.z, section.rng
    reach = np.clip(1.15 - z, 0, 1)  # fewer ribs below the chest
    for side in (-1, 1):
        shift = section.patient.drift(f"rib{side}", 3 * z)[0] * 0.15
        for spread in np.linspace(-1.0, 1.05, 8):
            if rng.uniform() > 0.45 + 0.5 * reach or (z > 0.8 and spread < -0.2):
                continue
            angle = spread + shift + rng.normal(0, 0.03)
            _paint_rib(section, spread, angle if side > 0 else np.pi - angle)


def _paint_rib(section: Section, spread: float, angle: float) -> None:
    """Paint one rib: ``spread`` says how far back it is, from -1 to 1."""
    frame, rng = section.frame, section.rng
    place = frame.at(angle, frame.cage, rng.uniform(0.8, 2.5))
    ahead = frame.at(angle + 0.03, frame.cage) - frame.at(angle - 0.03, frame.cage)
    turn = np.arctan2(ahead[1], ahead[0]) + rng.normal(0, 0.1)
    length = rng.uniform(4, 9) * (1.6 if spread > 0.8 else 1.0)
    if spread < -0.75:  # costal cartilage
        shape = blob(place, (length * 0.8, rng.uniform(2.5, 4)), turn=turn, power=2.6)
        paint(section.image, shape, section.levels.muscle + rng.uniform(0.02, 0.07), soft=0.6)
        paint(section.air_share, shape, 0.0)
        return
    waves = rng.normal(0, 0.06, 4)
    shape = blob(place, (length, rng.uniform(1.8, 3.2)), turn=turn, waves=waves, power=2.4)
    paint_bone(section, shape, rng.uniform(0.7, 1.3))


def _paint_sternum(section: Section) -> None:
    frame, patient, z, rng = section.frame, section.patient, section.z, section.rng
    place = frame.at(1.5 * np.pi, frame.cage, 3.0 + 0.5 * patient.drift("sternum", z)[0])
    size = (rng.uniform(10, 14) * (1 - 0.8 * max(0, z - 0.2)), rng.uniform(3.2, 4.5))
    shape = blob(place, size, waves=patient.waves("sternum", z, 0.06), power=2.6)
    paint_bone(section, shape, 0.7, section.levels.marrow + 0.03 * texture(rng, 1.5))


def _paint_scapulae(section: Section) -> None:
    frame, patient, z = section.frame, section.patient, section.z
    for side in (-1, 1):
        angle = 0.62 + 0.08 * patient.drift(f"scapula{side}", z)[0] + 0.5 * (z - 0.2)
        radius = 0.45 * frame.cage + 0.55 * frame.wall
        place = frame.at(angle if side > 0 else np.pi - angle, radius)
        turn = side * (-0.85 + 0.15 * patient.drift(f"blade{side}", z)[0])
        length = 19 * np.clip((0.36 - z) / 0.25, 0.15, 1)
        shape = blob(place, (length, section.rng.uniform(1.4, 2.2)), turn=turn, power=1.7)
        shape = shape + 1.5 * np.sin(shape[:, :1] / 7 + patient.drift("curl", z)[0])
        paint_bone(section, shape, 0.7)
