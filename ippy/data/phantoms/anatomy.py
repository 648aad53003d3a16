"""One CT-like slice of a generated patient: chest at ``z = 0``, abdomen at ``z = 1``."""

from __future__ import annotations

import numpy as np

from ippy.data.phantoms.abdomen import paint_abdomen
from ippy.data.phantoms.canvas import SIZE, blob, coverage, paint, texture, walk
from ippy.data.phantoms.frame import Frame
from ippy.data.phantoms.lungs import paint_lungs
from ippy.data.phantoms.mediastinum import paint_mediastinum
from ippy.data.phantoms.patient import Patient
from ippy.data.phantoms.section import Section
from ippy.data.phantoms.skeleton import paint_chest_wall
from ippy.data.phantoms.spine import paint_spine


def draw_slice(
    patient: Patient, z: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a noiseless slice.

    Args:
        patient: The patient.
        z: Position along the body, 0 (chest) to 1 (abdomen).
        rng: For what differs from slice to slice, such as small vessels.

    Returns:
        The image, (256, 256) float32 with air at 0, and the body's coverage of each pixel.
    """
    frame, levels = Frame(patient, z), patient.levels
    image = np.zeros((SIZE, SIZE), np.float32)
    _paint_couch(image, frame, rng)
    _paint_blanket(image, frame, rng)
    body = coverage(frame.outline(frame.body), soft=0.3)
    image += body * (levels.muscle - 0.02 - image)
    grain = texture(rng, 2.0) * texture(rng, 7.0)
    fat = levels.fat + 0.006 * texture(rng, 20) + 0.004 * grain
    paint(image, frame.outline(frame.body - rng.uniform(1.0, 1.7)), fat, soft=0.5)
    _paint_fat_strands(image, frame, rng)
    muscle = levels.muscle + 0.004 * texture(rng, 12) + 0.003 * grain
    paint(image, frame.outline(frame.wall), muscle, soft=rng.uniform(0.4, 1.2))
    inside = coverage(frame.outline(frame.cage), soft=0.4)
    section = Section(image, inside * (z < 0.86), inside, frame, rng)
    image += inside * (fat - 0.004 + 0.006 * texture(rng, 5) - image)
    paint_abdomen(section)
    paint_mediastinum(section)
    lung = paint_lungs(section.air_share, frame, rng)
    image += section.air_share * (lung - image)
    paint_chest_wall(section)
    paint_spine(section)
    if patient.arms:
        _paint_arms(image, frame)
    return image, body


def _paint_couch(image: np.ndarray, frame: Frame, rng: np.random.Generator) -> None:
    patient = frame.patient
    x = np.linspace(-12, 268, 90)
    top = float(frame.outline(frame.body)[:, 1].max()) + 1.5
    bend = patient.couch_bend * (x - 128) ** 2
    upper, lower = top - bend, top + patient.couch_gap - 0.85 * bend
    upper_line, lower_line = np.stack([x, upper], axis=1), np.stack([x, lower], axis=1)
    foam = np.concatenate([upper_line, lower_line[::-1]])
    paint(image, foam, rng.uniform(0.0, 0.02) + 0.003 * texture(rng, 3))
    paint(image, upper_line, patient.couch_level, width=rng.uniform(0.9, 2.0))
    paint(image, lower_line, patient.couch_level * 0.9, width=rng.uniform(1.0, 2.8))
    paint(image, upper_line - [0, 2.2], rng.uniform(0.02, 0.06), width=0.6)


def _paint_blanket(image: np.ndarray, frame: Frame, rng: np.random.Generator) -> None:
    patient, z = frame.patient, frame.z
    for k in range(round(patient.style.couch * rng.integers(1, 4))):
        lift = 3.0 + 4 * k + 3 * np.abs(patient.drift(f"blanket{k}", z)[0])
        folds = sum(
            c * np.sin((2 + 1.6 * i) * frame.angle + c)
            for i, c in enumerate(patient.drift(f"fold{k}", z, 6))
        )
        line = frame.outline(frame.body + np.clip(lift + 2.0 * folds, 0.6, None))
        front = np.sin(frame.angle) < rng.uniform(0, 0.5)
        first = int(np.argmax(front & ~np.roll(front, 1)))
        half = np.roll(line, -first, axis=0)[: int(front.sum())]
        paint(image, half, rng.uniform(0.03, 0.13), width=rng.uniform(0.3, 0.9))
    for _ in range(round(patient.style.couch * rng.integers(1, 5))):
        side = rng.choice([-1, 1])
        start = frame.at(np.pi / 2 - side * rng.uniform(0.9, 1.7), frame.body, rng.uniform(2, 14))
        line = walk(rng, start, rng.uniform(0, 2 * np.pi), rng.uniform(15, 130), 0.14)
        paint(image, line, rng.uniform(0.03, 0.15), width=rng.uniform(0.4, 1.2))
    for _ in range(int(rng.integers(0, 3))):
        spot = frame.at(rng.uniform(np.pi, 2 * np.pi), frame.body, rng.uniform(0.5, 5))
        paint(image, blob(spot, rng.uniform(0.7, 2.2, 2)), rng.uniform(0.1, 0.6))


def _paint_fat_strands(image: np.ndarray, frame: Frame, rng: np.random.Generator) -> None:
    levels = frame.patient.levels
    for _ in range(round(frame.patient.style.fat_planes * rng.integers(4, 16))):
        angle, mix = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.9)
        radius = mix * frame.body + (1 - mix) * frame.wall
        line = walk(rng, frame.at(angle, radius), angle + np.pi / 2, rng.uniform(5, 25), 0.06)
        level = levels.fat + rng.uniform(0.015, 0.06)
        paint(image, line, level, width=rng.uniform(0.3, 1.0), soft=0.3)


def _paint_arms(image: np.ndarray, frame: Frame) -> None:
    patient, levels, z = frame.patient, frame.patient.levels, frame.z
    for side in (-1, 1):
        place = frame.at(
            0.0 if side > 0 else np.pi, frame.body, 15 + 2 * patient.drift("arm", z)[0]
        )
        place = place + np.array([0, 12 + 3 * patient.drift("arm y", z)[0]])
        waves = patient.waves(f"arm{side}", z, 0.03)
        for radius, level in ((14, levels.muscle - 0.01), (13, levels.fat), (10.5, levels.muscle)):
            paint(image, blob(place, (radius, radius * 1.15), waves=waves), level, soft=0.4)
        paint(image, blob(place, (4.6, 4.2)), levels.cortex)
        paint(image, blob(place, (2.7, 2.4)), levels.marrow - 0.05, soft=0.5)
