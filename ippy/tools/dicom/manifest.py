"""What ``import.json`` says of an import: how it was made, and no word of who it shows."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from ippy.base.files import write_json
from ippy.tools.dicom.headers import Slice
from ippy.tools.dicom.plan import Patient

MANIFEST = "import.json"
ORDERS = {
    "instance number": "Ordered by instance number, for want of positions",
    "none": "In no certain order, for want of positions and of instance numbers",
}


def read_manifest(target: Path) -> dict[str, Any]:
    """Return what an earlier import wrote here; ``{}`` if there was none."""
    path = target / MANIFEST
    if not path.is_file():
        return {}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        complete = {"patients", "left_out"} if manifest["complete"] else set()
        if {"plan", "source", *complete} - manifest.keys():
            raise ValueError("keys are missing")
        return manifest
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"cannot read {path}: expected the JSON file that `python -m ippy import-dicom` "
            "writes. Delete it together with the imported slices beside it, and import again."
        ) from error


def write_manifest(target: Path, manifest: dict[str, Any]) -> None:
    """Write ``import.json``."""
    write_json(target / MANIFEST, manifest)


def files_state(files: list[Path], settings: list[Any]) -> str:
    """Return what changes with the files or the settings; it depends on no name."""
    stats = [path.lstat() for path in files]
    sizes = sorted((stat.st_size, stat.st_mtime_ns) for stat in stats)
    return hashlib.sha256(json.dumps([settings, sizes]).encode()).hexdigest()


def plan_state(jobs: list[tuple[str, Slice]], settings: dict[str, Any]) -> str:
    """Return what changes with any slice or its place; it says nothing without the headers."""
    plan = [
        (name, one.person.id, one.study, one.series, one.instance, one.position, one.number)
        for name, one in jobs
    ]
    window = settings["version"], settings["window_hu"]
    return hashlib.sha256(json.dumps([window, plan]).encode()).hexdigest()


def is_whole(target: Path, manifest: dict[str, Any]) -> bool:
    """Return whether all slices of a finished import are still there."""
    return all(
        (target / patient["split"] / name / file).is_file()
        for name, patient in manifest["patients"].items()
        for file in patient["slices"]
    )


def record(patient: Patient, origins: dict[str, str]) -> dict[str, Any]:
    """Return what the manifest says of a patient; numbers only, as any text might hold a name."""
    first = patient.series.slices[0]
    folder = f"{patient.split}/{patient.name}/"
    return {
        "split": patient.split,
        "order": patient.series.order,
        "rows_columns": list(first.shape),
        "spacing_mm": first.spacing and list(first.spacing),
        "thickness_mm": first.thickness,
        "doubts": patient.doubts,
        "other_series": [
            {"slices": len(other.slices), "thickness_mm": other.slices[0].thickness}
            for other in patient.others
        ],
        "slices": {
            name.removeprefix(folder): origin
            for name, origin in origins.items()
            if name.startswith(folder)
        },
    }


def origins_of(manifest: dict[str, Any]) -> dict[str, str]:
    """Return the sha256 of the file behind each slice, by the slice's place below the target."""
    return {
        f"{patient['split']}/{name}/{file}": origin
        for name, patient in manifest.get("patients", {}).items()
        for file, origin in patient["slices"].items()
    }


def summary(manifest: dict[str, Any], target: Path) -> str:
    """Return what an import made, in a few lines."""
    patients = manifest["patients"]
    lines = []
    for split in ("train", "test"):
        counts = [len(p["slices"]) for p in patients.values() if p["split"] == split]
        people, slices = _many(len(counts), "patient"), _many(sum(counts), "slice")
        lines.append(f"{target / split}: {people}, {slices}")
    centre, width = manifest["window_hu"]["centre"], manifest["window_hu"]["width"]
    lines.append(
        f"Window: {centre - width / 2:g} HU is black and {centre + width / 2:g} HU white, 16 bits."
    )
    if len(patients) == 1 and 0 < manifest["test_fraction"] < 1:
        lines.append(
            "There is one patient only, so all slices are for training: slices of one body on both "
            "sides would make the test too easy. With --test-fraction 1 all are for testing."
        )
    for order, words in ORDERS.items():
        if names := [name for name, p in patients.items() if p["order"] == order]:
            lines.append(f"{words}: {', '.join(names)}")
    lines += _doubts(manifest)
    if left_out := manifest["left_out"]:
        lines.append(
            f"Left out {_many(sum(left_out.values()), 'file')} (--report FILE says which):"
        )
        lines += [f"{count:7d}  {reason}" for reason, count in left_out.items()]
    return "\n".join(lines)


def _doubts(manifest: dict[str, Any]) -> list[str]:
    """Return what makes it doubtful that each patient is one person, and what to do."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name, patient in manifest["patients"].items():
        if patient["doubts"]:
            alike["; ".join(patient["doubts"])].append(name)
    if not alike:
        return []
    lines = [f"  {', '.join(names)}: {why}" for why, names in alike.items()]
    return [
        "Look whether each of these is one person, and all of one:",
        *lines,
        f"  They were told apart by {manifest['split_by']}. If that is wrong, import into another "
        "folder with --split-by study, or with --split-by folder where each person has a folder "
        "in the source; slices of one body must not be on both sides.",
    ]


def _many(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
