"""Which slices are of one patient, and what speaks against it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ippy.tools.dicom.headers import Slice

SPLITS = ("patient", "study", "folder")

# What anonymisers and technicians write where an identifier should be.
PLACEHOLDER = re.compile(
    r"(anon[a-z]*|de-?identified|unknown|none|null|n/?a|removed|private|dummy|test|patient|subject"
    r"|no ?name|no ?id|id|x+|0+|1|[-._* ]+)",
    re.IGNORECASE,
)

Mark = tuple[int, str]  # slices that share a mark are of one patient; a low number is a strong mark
Marks = Callable[[Slice], tuple[Mark, ...]]


def group(slices: Sequence[Slice], split_by: str, source: Path) -> dict[str, list[Slice]]:
    """Return the slices of each patient, by a key that identifies the patient.

    By patient, slices that share an ID (a name where there is none), a study or a series are of
    one patient: better one patient too few than the same body on both sides of the split. By
    study, those that share a study or a series; by folder, those below the same folder of the
    source.

    Args:
        slices: All slices.
        split_by: "patient", "study" or "folder".
        source: The folder that was searched.
    """
    by_folder = partial(_folder, source=source)
    marks = {"patient": _person, "study": _scan, "folder": by_folder}[split_by]
    return _joined(slices, marks)


def _person(one: Slice) -> tuple[Mark, ...]:
    known = [(0, one.person.id)] if one.person.id else []
    if not known and one.person.name:
        known = [(1, one.person.name)]
    return (*known, *_scan(one))


def _scan(one: Slice) -> tuple[Mark, ...]:
    return (*([(2, one.study)] if one.study else []), (3, one.series))


def _folder(one: Slice, *, source: Path) -> tuple[Mark, ...]:
    return ((0, "/".join(one.path.parent.relative_to(source).parts[:1])),)


def _joined(slices: Sequence[Slice], marks: Marks) -> dict[str, list[Slice]]:
    """Return the slices that are connected by marks, under the strongest and least of these."""
    parent: dict[Mark, Mark] = {}

    def root(node: Mark) -> Mark:
        while (above := parent.setdefault(node, node)) != node:
            node = above
        return node

    for one in slices:
        first, *others = marks(one)
        for node in (first, *others):
            low, high = sorted((root(first), root(node)))
            parent[high] = low
    found: dict[str, list[Slice]] = defaultdict(list)
    for one in slices:
        kind, value = root(marks(one)[0])
        found[f"{kind} {value}"].append(one)
    return dict(found)


def doubts(slices: Sequence[Slice], split_by: str) -> list[str]:
    """Say why the slices of one patient may be of several people, or of part of one.

    Args:
        slices: The slices of one patient, as :func:`group` gives them.
        split_by: How they were grouped.

    Returns:
        Fixed phrases and numbers; no identifier is among them.
    """
    found = []
    people = {one.person for one in slices}
    ids = {person.id for person in people} - {""}
    scans = _joined(slices, _scan)
    if split_by == "patient" and len(scans) > 1:
        if all(len(scan) == 1 for scan in scans.values()) and len(scans) > 2:
            found.append("every image has a study and a series of its own")
        else:
            found.append(f"{len(scans)} studies under one patient ID")
            if any(PLACEHOLDER.fullmatch(name) for name in ids):
                found.append("the ID is a placeholder")
    if split_by != "folder" and len(ids) > 1:
        found.append("several patient IDs with a study or a series in common")
    for what in ("sex", "birth_date"):
        if len({getattr(person, what) for person in people} - {""}) > 1:
            found.append(f"more than one {what.replace('_', ' ')}")
    if len(ids) == 1 and len({person.name for person in people} - {""}) > 1:
        found.append("more than one name")
    if split_by != "folder" and len(slices) == 1 and not ids | {slices[0].person.name} - {""}:
        found.append("a single image without a patient ID")
    return found
