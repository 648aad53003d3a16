"""Which files of a folder are CT slices, from their headers alone."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from pydicom import Dataset

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MULTI_FRAME_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
DICOMDIR = "1.2.840.10008.1.3.10"
# Raw projections of the DICOM-CT-PD format pass for CT images but for this private tag
# (Chen et al., Med. Phys. 48, 2021, doi:10.1002/mp.14594).
DETECTOR_ROWS = 0x70291010
MOST_BITS = 32  # of a stored value; a damaged number would not fit a float
MAX_SIDE = 4096  # no CT is larger; a damaged number could ask for all the memory there is
TAGS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber",
    "SeriesDescription", "PatientID", "PatientName", "PatientSex", "PatientBirthDate", "Modality",
    "ImageType", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient",
    "PixelSpacing", "SliceThickness", "SamplesPerPixel", "PhotometricInterpretation",
    "NumberOfFrames", "Rows", "Columns", "BitsStored", "PixelRepresentation", "RescaleSlope",
    "RescaleIntercept", "RescaleType", "BurnedInAnnotation", DETECTOR_ROWS,
]  # fmt: skip


class LeftOutError(Exception):
    """A file is no slice to import. The message is a fixed text: it never quotes the file."""


@dataclass(frozen=True, slots=True)
class Person:
    """What a header says of the patient; each is empty if it is not given."""

    id: str
    name: str
    sex: str
    birth_date: str


@dataclass(frozen=True, slots=True)
class Slice:
    """What the header of one CT slice says. Names and identifiers stay in memory.

    Attributes:
        path: The file.
        person: The patient.
        study: StudyInstanceUID, empty if not given.
        instance: SOPInstanceUID, the slice's own identifier.
        series: SeriesInstanceUID.
        series_number: Number of the series in its study, if given.
        description: The series' description, lower case.
        number: InstanceNumber, if given.
        position: Centre of the first pixel, (x, y, z) in mm; x to the left, y to the back, z to
            the head. None if not given.
        orientation: Directions along a row and down a column, six cosines. None if not given.
        shape: Rows and columns.
        spacing: Distance of rows and of columns in mm, if given.
        thickness: Slice thickness in mm, if given.
    """

    path: Path
    person: Person
    study: str
    instance: str
    series: str
    series_number: int | None
    description: str
    number: int | None
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    shape: tuple[int, int]
    spacing: tuple[float, ...] | None
    thickness: float | None


def files_below(folder: Path) -> list[Path]:
    """Return all files below a folder in the order of their paths.

    Links to folders, which are not followed, and folders that cannot be opened stand among them,
    so that they are reported.
    """
    found: list[Path] = []
    closed: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=closed.append):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        found += [Path(parent, name) for name in files + links]
    found += [Path(error.filename) for error in closed]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def scan(files: Iterable[Path], *, progress: bool) -> tuple[list[Slice], dict[Path, str]]:
    """Read the headers of files.

    Args:
        files: The files.
        progress: Show a bar.

    Returns:
        The CT slices in the order of the files, and for every other file why it is left out.
    """
    slices, left_out = [], {}
    for path in tqdm(files, desc="Reading headers", unit="file", disable=not progress):
        try:
            slices.append(_slice(path, _header(path)))
        except LeftOutError as error:
            left_out[path] = str(error)
    return slices, left_out


def _header(path: Path) -> Dataset:
    """Return a file's header without the pixels."""
    from pydicom import dcmread

    try:
        if not path.is_file():  # a pipe would never end
            raise LeftOutError("a closed folder, a link to a folder or no regular file")
        with path.open("rb") as file:
            start = file.read(132)
            # Old exports have no preamble and begin with the first element, of group 0008.
            if start[128:] != b"DICM" and start[:2] not in (b"\x08\x00", b"\x02\x00"):
                raise LeftOutError("not a DICOM file")
            file.seek(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return dcmread(file, stop_before_pixels=True, force=True, specific_tags=TAGS)
    except LeftOutError:
        raise
    except OSError as error:
        raise LeftOutError("the file cannot be read") from error
    except Exception as error:  # a damaged file makes the parser raise anything
        raise LeftOutError("a damaged header") from error


def _slice(path: Path, header: Dataset) -> Slice:
    """Return what the header says.

    Raises:
        LeftOutError: It is not a CT slice, or lacks what an import needs.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if reason := _why_no_slice(header) or _why_no_units(header):
            raise LeftOutError(reason)
        thickness = _floats(header, "SliceThickness", 1)
        return Slice(
            path=path,
            person=Person(
                id=_text(header, "PatientID"),
                name=_text(header, "PatientName").lower(),
                sex=_text(header, "PatientSex").upper(),
                birth_date=_text(header, "PatientBirthDate"),
            ),
            study=_text(header, "StudyInstanceUID"),
            instance=_text(header, "SOPInstanceUID"),
            series=_text(header, "SeriesInstanceUID"),
            series_number=_integer(header, "SeriesNumber"),
            description=_text(header, "SeriesDescription").lower(),
            number=_integer(header, "InstanceNumber"),
            position=_floats(header, "ImagePositionPatient", 3),
            orientation=_orientation(header),
            shape=(_integer(header, "Rows"), _integer(header, "Columns")),
            spacing=_floats(header, "PixelSpacing", 2),
            thickness=thickness[0] if thickness else None,
        )


def _why_no_slice(header: Dataset) -> str | None:
    """Return why a header is not that of a single grey CT image; None if it is."""
    meta = getattr(header, "file_meta", {})
    kind = _text(header, "SOPClassUID") or str(meta.get("MediaStorageSOPClassUID", ""))
    modality, image_type = (_text(header, name).upper() for name in ("Modality", "ImageType"))
    several = kind in MULTI_FRAME_CT or (_integer(header, "NumberOfFrames") or 1) > 1
    display = _text(header, "PhotometricInterpretation").upper()
    sides = [_integer(header, name) or 0 for name in ("Rows", "Columns")]
    grey = display.startswith("MONOCHROME") and _integer(header, "SamplesPerPixel") in (None, 1)
    kinds = (CT_IMAGE, *MULTI_FRAME_CT, "")
    return _first({
        "a DICOMDIR, which is an index and no image": kind == DICOMDIR,
        "not a CT image": kind not in kinds or modality not in ("CT", "" if kind else "CT"),
        "a multi-frame CT; convert it to one file a slice first": several,
        "a raw projection, not a slice": DETECTOR_ROWS in header,
        "a localiser image": "LOCALIZER" in image_type,
        "a page of text, which may hold a name":  # the latter is CT_SOM5 PROT
            "SCREEN SAVE" in image_type or " PROT" in image_type,
        "an image with text burned in, which may be a name":
            _text(header, "BurnedInAnnotation").upper() == "YES",
        "no rows, columns or photometric interpretation": not (display and all(sides)),
        f"more than {MAX_SIDE} rows or columns": max(sides) > MAX_SIDE,
        "not a greyscale image": not grey,
        "no SOPInstanceUID or no SeriesInstanceUID":
            not (_text(header, "SOPInstanceUID") and _text(header, "SeriesInstanceUID")),
        "neither position and orientation nor instance number":
            _integer(header, "InstanceNumber") is None
            and None in (_floats(header, "ImagePositionPatient", 3), _orientation(header)),
    })  # fmt: skip


def _why_no_units(header: Dataset) -> str | None:
    """Return why the stored values can't be turned into Hounsfield units; None if they can."""
    slope, intercept = _floats(header, "RescaleSlope", 1), _floats(header, "RescaleIntercept", 1)
    bits, signed = _integer(header, "BitsStored") or 0, _integer(header, "PixelRepresentation")
    bits = bits if 0 < bits <= MOST_BITS else 0
    span = 1 << bits
    ends = (-span // 2, span // 2 - 1) if signed else (0, span - 1)
    low, high = sorted((slope or [1])[0] * end + (intercept or [0])[0] for end in ends)
    return _first({
        "values that are not Hounsfield units":  # US: unspecified
            _text(header, "RescaleType").upper() not in ("HU", "US", ""),
        "no rescale slope and intercept, so no Hounsfield units":
            slope in (None, (0.0,)) or intercept is None,
        "no number of stored bits or no pixel representation": not bits or signed not in (0, 1),
        # Water is 0; a tool that loses the intercept leaves air at 0 or 24.
        "a rescale slope and intercept that leave no room for air or for tissue":
            low >= 0 or high <= 0,
    })  # fmt: skip


def _first(faults: dict[str, bool]) -> str | None:
    return next((reason for reason, holds in faults.items() if holds), None)


def _orientation(header: Dataset) -> tuple[float, ...] | None:
    """Return six direction cosines, or None unless they are two unit vectors at a right angle."""
    cosines = _floats(header, "ImageOrientationPatient", 6)
    if cosines is None:
        return None
    row, column = cosines[:3], cosines[3:]
    angle = sum(r * c for r, c in zip(row, column, strict=True))
    skew = (math.hypot(*row) - 1, math.hypot(*column) - 1, angle)
    return cosines if max(map(abs, skew)) < 0.01 else None


def _text(header: Dataset, name: str) -> str:
    try:
        return str(header.get(name) or "").strip(" \0")
    except Exception:  # a value that cannot be parsed is as good as none
        return ""


def _integer(header: Dataset, name: str) -> int | None:
    values = _floats(header, name, 1)
    return int(values[0]) if values else None


def _floats(header: Dataset, name: str, count: int) -> tuple[float, ...] | None:
    """Return ``count`` finite numbers, or None if the header has anything else."""
    try:
        value = header.get(name)
        values = tuple(float(v) for v in ([value] if count == 1 else value))
    except Exception:  # absent, empty, or text that is no number
        return None
    return values if len(values) == count and all(map(math.isfinite, values)) else None
