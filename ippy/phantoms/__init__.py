"""Generated CT-like slices: patients that nobody ever was, and clutter to train against.

Every slice is drawn from a seed of its own, so it does not matter in which order, or by how many
processes, slices are made.
"""

from __future__ import annotations

import numpy as np

from ippy.phantoms.acquisition import acquire
from ippy.phantoms.anatomy import draw_slice
from ippy.phantoms.clutter import draw_clutter, mix_clutter
from ippy.phantoms.patient import Patient

__all__ = ["VERSION", "generate_slice"]

VERSION = 1
SPLITS = ("train", "test")


def generate_slice(seed: int, split: str, patient: str, index: int, count: int) -> np.ndarray:
    """Return one generated slice.

    Args:
        seed: Seed of the whole data set.
        split: ``"train"`` mixes clutter and odd intensities into a part of the slices;
            ``"test"`` does not.
        patient: A letter and a number: ``G..`` is a body, ``T..`` is clutter only.
        index: Position of the slice, 0 (chest) to ``count - 1`` (abdomen).
        count: Number of slices of this patient.

    Returns:
        (256, 256) uint8 greyscale.

    Raises:
        ValueError: Unknown split or kind of patient.
    """
    if split not in SPLITS or patient[:1] not in ("G", "T"):
        raise ValueError(
            f"no generator for split {split!r}, patient {patient!r}: expected a split of {SPLITS} "
            "and a patient like 'G01' (a body) or 'T01' (clutter)"
        )
    entropy = (seed, SPLITS.index(split), ord(patient[0]), int(patient[1:]))
    person = Patient(entropy)
    rng = np.random.default_rng(np.random.SeedSequence((*entropy, index)))
    training = split == "train"
    scale = rng.uniform(0.6, 1.25) if training and rng.uniform() < 0.5 else rng.uniform(0.93, 1.07)
    if patient[0] == "T":
        clean, body = draw_clutter(rng), np.full((256, 256), 0.5, np.float32)
    else:
        z = person.top + (person.bottom - person.top) * (index + 0.5) / count
        clean, body = draw_slice(person, z, rng)
        if training and rng.uniform() < 0.35:
            clean = mix_clutter(clean, body, rng)
    loudness = scale * rng.uniform(0.8, 1.25)
    image = acquire(
        np.clip(scale * clean, 0, 1),
        body,
        rng,
        air=scale * person.levels.air,
        noise_air=loudness * person.noise_air,
        noise_body=loudness * person.noise_body,
        blur=person.blur,
        peak=person.peak,
        oriented=person.oriented,
    )
    return np.round(image * 255).astype(np.uint8)
