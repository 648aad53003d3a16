"""Import DICOM CT series as ``{train,test}/<patient>/<n>.png``."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from ippy.base.checks import check_choice, check_installed
from ippy.base.files import write_atomically
from ippy.data.generation import MANIFEST as GENERATED
from ippy.tools.dicom.headers import LeftOutError, Slice, files_below, scan
from ippy.tools.dicom.manifest import (
    MANIFEST,
    files_state,
    is_whole,
    origins_of,
    plan_state,
    read_manifest,
    record,
    write_manifest,
)
from ippy.tools.dicom.people import SPLITS
from ippy.tools.dicom.pixels import grey_levels, hounsfield
from ippy.tools.dicom.plan import Patient, plan

SEED = 2024
WINDOW = (300.0, 2600.0)  # -1000 to 1600 HU: air is black, soft tissue 0.40, compact bone white
TEST_FRACTION = 0.2
VERSION = 2  # of what an import makes from the same files


def import_dicom(
    source: Path,
    target: Path,
    *,
    window: tuple[float, float] = WINDOW,
    test_fraction: float = TEST_FRACTION,
    seed: int = SEED,
    series: str = "",
    split_by: str = "patient",
    report: Path | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Import the CT slices in a folder, split by patient, without a trace of who the patients are.

    Of each patient one axial series is taken, the one with the most slices. Slices are written at
    their own size as 16-bit greyscale PNG, numbered from head to feet. Called again it returns at
    once; interrupted, it goes on where it stopped. Nothing that is in the target is replaced.

    ``import.json`` in the target says how the slices were made, and names the file each came from
    by the sha256 of its content: whoever has the scans can tell, and nobody else.

    Args:
        source: Folder of DICOM files, nested in any way.
        target: Data folder, as ``Mayo/``.
        window: Centre and width in Hounsfield units.
        test_fraction: Part of the patients that goes to ``test/``, in [0, 1].
        seed: Seed of the split.
        series: Take only series whose description contains this, upper or lower case.
        split_by: What tells patients apart. "patient": images that share a patient ID, a study or
            a series are of one. "study": each study is a patient, where an anonymiser gave all
            of them one ID. "folder": each folder in the source is one, where the identifiers say
            nothing at all.
        report: Write here what became of each file, as CSV with the paths in the source. These
            may hold names, so it must lie outside ``target``.
        progress: Show bars.

    Returns:
        The content of ``import.json``.

    Raises:
        FileNotFoundError: There is no such source.
        ModuleNotFoundError: pydicom is not installed.
        ValueError: An option is out of range, no CT slice was found, or the target holds slices
            of another origin.
    """
    source, target = Path(source), Path(target)
    report = None if report is None else Path(report)
    _check(source, target, window, test_fraction, report)
    check_choice("split_by", split_by, SPLITS)
    old = read_manifest(target)
    files = files_below(source)
    settings = {
        "version": VERSION,
        "window_hu": {"centre": window[0], "width": window[1]},
        "seed": seed,
        "test_fraction": test_fraction,
        "split_by": split_by,
    }
    state = files_state(files, [settings, series])
    if old.get("complete") and old["source"] == state and report is None and is_whole(target, old):
        return old
    slices, left_out = scan(files, progress=progress)
    patients, not_chosen = plan(
        slices,
        seed=seed,
        test_fraction=test_fraction,
        series=series,
        split_by=split_by,
        source=source,
    )
    left_out |= not_chosen
    jobs = list(_jobs(patients))
    if not jobs:
        raise ValueError(
            f"no CT slices to import in {source}: {len(files)} files{_because(left_out.values())}"
        )
    manifest = settings | {
        "complete": False,
        "bits": 16,
        "source": state,
        "plan": plan_state(jobs, settings),
    }
    _check_target(target, [name for name, _ in jobs], old, manifest["plan"])
    if old.get("plan") != manifest["plan"]:
        write_manifest(target, manifest)
    earlier = origins_of(old) if old.get("plan") == manifest["plan"] else {}
    origins = _write_slices(target, jobs, window, earlier, left_out, progress)
    if origins:
        manifest |= {
            "complete": True,
            "patients": {p.name: record(p, origins) for p in patients},
            "left_out": dict(Counter(left_out.values()).most_common()),
        }
        write_manifest(target, manifest)
    if report is not None:
        results = {one.path: name for name, one in jobs if name in origins}
        _write_report(report, source, files, results | left_out)
    if not origins:
        raise ValueError(f"no slice in {source} could be read{_because(left_out.values())}")
    return manifest


def _check(
    source: Path,
    target: Path,
    window: tuple[float, float],
    test_fraction: float,
    report: Path | None,
) -> None:
    check_installed("pydicom", "which reads DICOM files", "dicom")
    if not source.is_dir():
        raise FileNotFoundError(f"no folder {source}: expected a folder of DICOM files.")
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target} is a file: expected a folder to write to, as Mayo.")
    if not (len(window) == 2 and all(map(math.isfinite, window)) and window[1] > 0):
        raise ValueError(f"the window is {window}: expected a centre and a width above 0, in HU.")
    if not 0 <= test_fraction <= 1:
        raise ValueError(f"the test fraction is {test_fraction}: expected 0 to 1, as 0.2.")
    if target.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{target} lies in {source}: expected a target outside the source.")
    if report is not None and report.resolve().is_relative_to(target.resolve()):
        raise ValueError(
            f"the report {report} lies in {target}: it names the source files, and paths may hold "
            "the names of patients. Expected a file elsewhere."
        )


def _jobs(patients: list[Patient]) -> Iterator[tuple[str, Slice]]:
    """Yield each slice with its place below the target."""
    for patient in patients:
        for index, one in enumerate(patient.series.slices):
            yield f"{patient.split}/{patient.name}/{index}.png", one


def _check_target(target: Path, names: list[str], old: dict[str, Any], state: str) -> None:
    """Raise ``ValueError`` if the target holds slices that this import did not make."""
    same = old.get("plan") == state
    splits = {"test", "train"} if old and not same else {name.split("/")[0] for name in names}
    there = {p.relative_to(target).as_posix() for s in splits for p in target.glob(f"{s}/*/*.png")}
    others = there - set(names) if same else there
    if others:
        kind = "slices that were not imported"
        if old and not same:
            kind = "slices of an earlier import, from other scans or with other options"
        elif (target / GENERATED).is_file():
            kind += ", such as the generated ones"
        folders = " and ".join(str(target / split) for split in sorted(splits))
        raise ValueError(
            f"{target} holds {kind}, as {min(others)}: nothing was changed. Give another target, "
            f"or move {folders} away (and {target / MANIFEST}, if it is there) and import again."
        )


def _write_slices(
    target: Path,
    jobs: list[tuple[str, Slice]],
    window: tuple[float, float],
    earlier: dict[str, str],
    left_out: dict[Path, str],
    progress: bool,
) -> dict[str, str]:
    """Write the slices that are not there yet; return the sha256 of the file behind each.

    Raises:
        ValueError: A slice is there, and an earlier import made it from another file.
    """
    origins = {}
    for name, one in tqdm(jobs, desc="Importing slices", unit="slice", disable=not progress):
        path = target / name
        try:
            content = one.path.read_bytes()
        except OSError:
            left_out[one.path] = "the file cannot be read"
            continue
        origin = hashlib.sha256(content).hexdigest()
        if path.is_file():
            if earlier.get(name, origin) != origin:
                raise ValueError(
                    f"{path} was imported from a file that has changed since: move {path} away "
                    "and import again."
                )
        else:
            try:
                values = hounsfield(content)
            except LeftOutError as error:
                left_out[one.path] = str(error)
                continue
            image = Image.fromarray(grey_levels(values, centre=window[0], width=window[1]))
            # A higher level makes 16 bits of noise no smaller, only slower.
            save = partial(image.save, format="PNG", compress_level=3)
            write_atomically(path, save)
        origins[name] = origin
    for folder in {(target / name).parent for name, _ in jobs}:
        for half in folder.glob(".*.png.*"):  # what a killed run had begun
            half.unlink(missing_ok=True)
    return origins


def _because(reasons: Iterable[str]) -> str:
    counts = Counter(reasons).most_common(3)
    return "".join(f", {count} left out as {reason!r}" for reason, count in counts)


def _write_report(path: Path, source: Path, files: list[Path], results: dict[Path, str]) -> None:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["file", "slice or reason for leaving it out"])
    table.writerows([file.relative_to(source).as_posix(), results[file]] for file in files)
    content = text.getvalue().encode(errors="replace")
    write_atomically(path, lambda file: file.write(content), private=True)
