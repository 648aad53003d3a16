"""Which slices are imported, in which order, and on which side of the split their patient is."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ippy.tools.dicom.headers import Slice
from ippy.tools.dicom.people import doubts, group

AXIAL = 0.7  # cosine between the slice normal and the body's axis: a tilt of up to 45 degrees
OTHER_SERIES = "another series of the patient has more slices"


@dataclass(frozen=True)
class Series:
    """One series, in order.

    Attributes:
        slices: From head to feet, where the positions are known.
        order: "position", "instance number", or "none" where neither tells.
    """

    slices: list[Slice]
    order: str

    @property
    def rank(self) -> tuple[int, int, float, str]:
        """Sort key, the best series first: places, slices, then what makes it definite."""
        # Places before slices: a perfusion or timing series repeats the same few.
        places = len({_depth(s) for s in self.slices} if _placed(self.slices) else self.slices)
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
        doubts: What speaks against their being one person and one series, as fixed phrases.
    """

    name: str
    split: str
    series: Series
    others: list[Series]
    doubts: list[str]


def plan(
    slices: list[Slice],
    *,
    seed: int,
    test_fraction: float,
    series: str,
    split_by: str,
    source: Path,
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
        split_by: What tells patients apart: "patient", "study" or "folder".
        source: The folder that was searched.

    Returns:
        The patients, and why each other slice is left out.
    """
    left_out: dict[Path, str] = {}
    chosen: dict[str, list[Series]] = {}
    found = group(_once(slices, left_out), split_by, source)
    for key, of_one in found.items():
        usable = []
        for one in _series(of_one):
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
        Patient(
            name,
            "test" if key in test else "train",
            chosen[key][0],
            chosen[key][1:],
            doubts(found[key], split_by) + _crowded(chosen[key][0]),
        )
        for key, name in names.items()
    ]
    return patients, left_out


def _crowded(series: Series) -> list[str]:
    """Say if two series under one identifier may have become one."""
    crowded = series.order == "position" and -series.rank[0] < len(series.slices)
    return ["several images at one position"] if crowded else []


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


def _once(slices: Iterable[Slice], left_out: dict[Path, str]) -> list[Slice]:
    """Return the first of all slices with the same identifier.

    Where slices of several places share it, an anonymiser gave it to all: it says nothing, and a
    duplicate is what lies beside another slice of the same place.
    """
    kept = []
    for alike in _split(slices, lambda s: (s.instance,)):
        several = len({(s.position, s.number) for s in alike}) > 1
        for same in _split(alike, _place if several else lambda s: ()):
            kept.append(same[0])
            left_out |= {s.path: "a duplicate of another file" for s in same[1:]}
    return sorted(kept, key=lambda s: s.path)


def _place(one: Slice) -> tuple:
    series = one.person, one.study, one.series, one.series_number, one.description
    return one.path.parent, series, one.position, one.number


def _series(slices: list[Slice]) -> list[list[Slice]]:
    """Return the series of a patient.

    Some anonymisers give all series one identifier, others each image one of its own: the series'
    number and description then tell what belongs together.
    """
    found = []
    several = len({s.person.id for s in slices} - {""}) > 1
    for key in (
        lambda s: (several and s.person.id, s.study, s.series, s.series_number, s.description),
        lambda s: (s.series, s.series_number, s.description),
        lambda s: (s.series_number, s.description),
    ):
        groups = _split(slices, key)
        found += [group for group in groups if len(group) > 1]
        slices = [group[0] for group in groups if len(group) == 1]
    return found + [[one] for one in slices]


def _split(slices: Iterable[Slice], key: Callable[[Slice], tuple]) -> list[list[Slice]]:
    found: dict[tuple, list[Slice]] = defaultdict(list)
    for one in slices:
        found[key(one)].append(one)
    return list(found.values())


def _arrange(slices: list[Slice], left_out: dict[Path, str]) -> list[Series]:
    """Return a series in order, without the slices that do not belong; none if it is not axial."""
    kept = _alike(slices, left_out)
    if any(s.orientation and abs(_normal(s)[2]) < AXIAL for s in kept):
        left_out |= {s.path: "a series that is not axial" for s in kept}
        return []
    if _placed(kept):
        kept.sort(key=lambda s: (_depth(s), _number(s), s.instance))
        if len(kept) == 1 or len({_depth(s) for s in kept}) > 1:
            return [Series(kept, "position")]
    else:
        missing = "no instance number, in a series where some positions are missing"
        left_out |= {s.path: missing for s in kept if s.number is None}
        kept = [s for s in kept if s.number is not None]
        kept.sort(key=lambda s: (s.number, s.instance))
    numbered = len({s.number for s in kept}) == len(kept)
    return [Series(kept, "instance number" if numbered else "none")] if kept else []


def _placed(slices: list[Slice]) -> bool:
    return all(s.position and s.orientation for s in slices)


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
