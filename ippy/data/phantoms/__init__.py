"""Generated CT-like slices: patients that nobody ever was, and clutter to train against.

Every slice is drawn from a seed of its own, so it does not matter in which order, or by how many
processes, slices are made. Sines, roots and sums are taken in float64: NumPy's vector routines for
float32 round differently from CPU to CPU, and the pixels shall be the same on every one.
"""

from __future__ import annotations

import re

import numpy as np

from ippy.base.checks import check_choice, check_integer, check_type
from ippy.data.phantoms.acquisition import acquire
from ippy.data.phantoms.anatomy import draw_slice
from ippy.data.phantoms.canvas import soften
from ippy.data.phantoms.clutter import draw_clutter, mix_clutter
from ippy.data.phantoms.patient import Patient
from ippy.data.phantoms.style import AS_DRAWN, Style

__all__ = ["AS_DRAWN", "VERSION", "Style", "generate_slice"]

VERSION = 2
SPLITS = ("train", "test")


def generate_slice(
    seed: int, split: str, patient: str, index: int, count: int, *, style: Style = AS_DRAWN
) -> np.ndarray:
    """Return one generated slice.

    Args:
        seed: Seed of the whole data set.
        split: ``"train"`` mixes clutter and odd intensities into a part of the slices;
            ``"test"`` does not.
        patient: A letter and a number: ``G..`` is a body, ``T..`` is clutter only.
        index: Position of the slice, 0 (chest) to ``count - 1`` (abdomen).
        count: Number of slices of this patient.
        style: How richly the parts of a body are drawn.

    Returns:
        (256, 256) uint8 greyscale.

    Raises:
        TypeError: A number is not an integer, or ``patient`` not a string.
        ValueError: A number is out of range, or the split or kind of patient is unknown.
    """
    check_integer("seed", seed)
    check_choice("split", split, SPLITS)
    check_type("patient", patient, str, "'G01'")
    if not re.fullmatch("[GT][0-9]{1,9}", patient):
        raise ValueError(f"patient is {patient!r}; expected 'G01' (a body), 'T01' (clutter) or so")
    check_integer("count", count, least=1)
    check_integer("index", index, most=count - 1)
    entropy = (seed, SPLITS.index(split), ord(patient[0]), int(patient[1:]))
    person = Patient(entropy, style)
    rng = np.random.default_rng(np.random.SeedSequence((*entropy, index)))
    training = split == "train"
    odd = training and rng.uniform() < 0.5 * style.scales
    scale = rng.uniform(0.6, 1.25) if odd else rng.uniform(0.93, 1.07)
    if patient[0] == "T":
        clean, body = draw_clutter(rng), np.full((256, 256), 0.5, np.float32)
    else:
        z = person.top + (person.bottom - person.top) * (index + 0.5) / count
        clean, body = draw_slice(person, z, rng)
        clean = soften(clean, rng, style.softness)
        if training and rng.uniform() < 0.35 * style.clutter:
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
