"""Which slices are imported, in which order, and on which side of the split their patient is."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ippy.tools.dicom.headers import Slice

AXIAL = 0.7  # cosine between the slice normal and the body's axis: a tilt of up to 45 degrees
OTHER_SERIES = "another series of the patient has more slices"


@dataclass(frozen=True)
class Series:
    """One series, in order.

    Attributes:
        slices: From head to feet, where the positions are known.
        order: "position" or "instance number".
    """

    slices: list[Slice]
    order: str

    @property
    def rank(self) -> tuple[int, int, float, str]:
        """Sort key, the best series first: places, slices, then what makes it definite."""
        # Places before slices: a perfusion or timing series repeats the same few.
        places = len({_depth(s) for s in self.slices} if self.order == "position" else self.slices)
        first = self.slices[0]
        number = float("inf") if first.series_number is None else first.series_number
        return -places, -len(self.slices), number, first.series


@dataclass(frozen=True)
class Patient:
    """A patient under a new name.

    Attributes:
        name: P001, P002, …
        split: "train" or "test".
        series: The series that is imported.
        others: The series that are not.
    """

    name: str
    split: str
    series: Series
    others: list[Series]


def plan(
    slices: list[Slice], *, seed: int, test_fraction: float, series: str
) -> tuple[list[Patient], dict[Path, str]]:
    """Choose one series a patient and split the patients.

    The same scans and seed give the same plan, whatever the files are called and however they lie.
    A patient more moves at most one other to the other side.

    Args:
        slices: All CT slices found.
        seed: Seed of the split.
        test_fraction: Part of the patients that is for the test, in [0, 1]. Of two patients and
            more, one at least is on either side, unless it is 0 or 1; a single one is for training.
        series: Only series whose description contains this; empty for any.

    Returns:
        The patients, and why each other slice is left out.
    """
    left_out: dict[Path, str] = {}
    chosen: dict[str, list[Series]] = {}
    for key, series_of in _patients(_once(slices, left_out)).items():
        usable = []
        for one in series_of:
            if any(series.lower() in s.description for s in one):
                usable += _arrange(one, left_out)
            else:
                left_out |= {s.path: "a series with another description" for s in one}
        if usable:
            chosen[key] = sorted(usable, key=lambda s: s.rank)
            left_out |= {s.path: OTHER_SERIES for other in chosen[key][1:] for s in other.slices}
    # Numbered by a hash, or the order of the names would show.
    names = {key: f"P{i:03d}" for i, key in enumerate(sorted(chosen, key=_hash), 1)}
    count = round(test_fraction * len(chosen))
    if 0 < test_fraction < 1:
        count = min(max(count, 1), len(chosen) - 1)
    test = set(sorted(chosen, key=lambda key: _hash(f"{seed} {key}"))[: max(count, 0)])
    patients = [
        Patient(name, "test" if key in test else "train", chosen[key][0], chosen[key][1:])
        for key, name in names.items()
    ]
    return patients, left_out


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


def _once(slices: Iterable[Slice], left_out: dict[Path, str]) -> list[Slice]:
    """Return the first of all slices with the same identifier."""
    first: dict[str, Slice] = {}
    for one in slices:
        if first.setdefault(one.instance, one) is not one:
            left_out[one.path] = "a duplicate of another file"
    return list(first.values())


def _patients(slices: list[Slice]) -> dict[str, list[list[Slice]]]:
    """Return the series of each patient: slices that share an ID, a study or a series are of one.

    Better one patient too few than the same body on both sides of the split.
    """
    parent: dict[tuple[int, str], tuple[int, str]] = {}

    def root(node: tuple[int, str]) -> tuple[int, str]:
        while (above := parent.setdefault(node, node)) != node:
            node = above
        return node

    for one in slices:
        for node in one.identity:
            # The least becomes the root, so that a patient is known by the ID if there is one.
            low, high = sorted((root(one.identity[0]), root(node)))
            parent[high] = low
    found: dict[str, dict[str, list[Slice]]] = defaultdict(lambda: defaultdict(list))
    for one in slices:
        kind, value = root(one.identity[0])
        found[f"{kind} {value}"][one.series].append(one)
    return {key: list(series.values()) for key, series in found.items()}


def _arrange(slices: list[Slice], left_out: dict[Path, str]) -> list[Series]:
    """Return a series in order, without the slices that do not belong; none if it is not axial."""
    kept = _alike(slices, left_out)
    if any(s.orientation and abs(_normal(s)[2]) < AXIAL for s in kept):
        left_out |= {s.path: "a series that is not axial" for s in kept}
        return []
    if all(s.position and s.orientation for s in kept):
        kept.sort(key=lambda s: (_depth(s), _number(s), s.instance))
        return [Series(kept, "position")]
    missing = "no instance number, in a series where some positions are missing"
    left_out |= {s.path: missing for s in kept if s.number is None}
    kept = [s for s in kept if s.number is not None]
    kept.sort(key=lambda s: (s.number, s.instance))
    return [Series(kept, "instance number")] if kept else []


def _alike(slices: list[Slice], left_out: dict[Path, str]) -> list[Slice]:
    """Return the slices of the commonest size and, where it is given, orientation."""
    shape = _commonest(s.shape for s in slices)
    normals = {s.path: s.orientation and tuple(np.round(_normal(s), 2)) for s in slices}
    normal = _commonest(normals[s.path] for s in slices if s.shape == shape and s.orientation)
    kept = [s for s in slices if s.shape == shape and normals[s.path] in (normal, None)]
    odd = "another size or orientation than the rest of its series"
    left_out |= dict.fromkeys({s.path for s in slices} - {s.path for s in kept}, odd)
    return kept


def _commonest(values: Iterable[tuple]) -> tuple | None:
    """Return the value that occurs most; of several the greatest, so that it is always the same."""
    counts = Counter(values)
    return max(counts, key=lambda value: (counts[value], value), default=None)


def _number(one: Slice) -> float:
    return float("inf") if one.number is None else one.number


def _normal(one: Slice) -> np.ndarray:
    """Return the unit vector at right angles to a slice; its third part points to the head."""
    return np.cross(one.orientation[:3], one.orientation[3:])


def _depth(one: Slice) -> float:
    """Return the position along the slice normal in mm, larger towards the feet."""
    normal = _normal(one)
    return round(-float(np.sign(normal[2]) * (normal @ one.position)), 3)
