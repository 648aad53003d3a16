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
        _check_kind(header)
        instance, series = _text(header, "SOPInstanceUID"), _text(header, "SeriesInstanceUID")
        if not instance or not series:
            raise LeftOutError("no SOPInstanceUID or no SeriesInstanceUID")
        _check_values(header)
        number = _integer(header, "InstanceNumber")
        position = _floats(header, "ImagePositionPatient", 3)
        orientation = _orientation(header)
        if number is None and (position is None or orientation is None):
            raise LeftOutError("neither position and orientation nor instance number")
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
            instance=instance,
            series=series,
            series_number=_integer(header, "SeriesNumber"),
            description=_text(header, "SeriesDescription").lower(),
            number=number,
            position=position,
            orientation=orientation,
            shape=(_integer(header, "Rows"), _integer(header, "Columns")),
            spacing=_floats(header, "PixelSpacing", 2),
            thickness=thickness[0] if thickness else None,
        )


def _check_kind(header: Dataset) -> None:
    """Raise ``LeftOutError`` unless the header is that of a single grey CT image in HU."""
    meta = getattr(header, "file_meta", {})
    kind = _text(header, "SOPClassUID") or str(meta.get("MediaStorageSOPClassUID", ""))
    modality = _text(header, "Modality").upper()
    if kind == DICOMDIR:
        raise LeftOutError("a DICOMDIR, which is an index and no image")
    if kind not in (CT_IMAGE, *MULTI_FRAME_CT, "") or modality not in ("CT", "" if kind else "CT"):
        raise LeftOutError("not a CT image")
    if kind in MULTI_FRAME_CT or (_integer(header, "NumberOfFrames") or 1) > 1:
        raise LeftOutError("a multi-frame CT; convert it to one file a slice first")
    if DETECTOR_ROWS in header:
        raise LeftOutError("a raw projection, not a slice")
    image_type = _text(header, "ImageType").upper()
    if "LOCALIZER" in image_type:
        raise LeftOutError("a localiser image")
    if "SCREEN SAVE" in image_type or " PROT" in image_type:  # the latter is CT_SOM5 PROT
        raise LeftOutError("a page of text, which may hold a name")
    if _text(header, "BurnedInAnnotation").upper() == "YES":
        raise LeftOutError("an image with text burned in, which may be a name")
    display = _text(header, "PhotometricInterpretation").upper()
    rows, columns = _integer(header, "Rows"), _integer(header, "Columns")
    if not (display and rows and columns):
        raise LeftOutError("no rows, columns or photometric interpretation")
    if max(rows, columns) > MAX_SIDE:
        raise LeftOutError(f"more than {MAX_SIDE} rows or columns")
    if not display.startswith("MONOCHROME") or _integer(header, "SamplesPerPixel") not in (None, 1):
        raise LeftOutError("not a greyscale image")
    if _text(header, "RescaleType").upper() not in ("HU", "US", ""):  # US: unspecified
        raise LeftOutError("values that are not Hounsfield units")


def _check_values(header: Dataset) -> None:
    """Raise ``LeftOutError`` unless the stored values can be turned into Hounsfield units."""
    slope, intercept = _floats(header, "RescaleSlope", 1), _floats(header, "RescaleIntercept", 1)
    if slope in (None, (0.0,)) or intercept is None:
        raise LeftOutError("no rescale slope and intercept, so no Hounsfield units")
    bits, signed = _integer(header, "BitsStored"), _integer(header, "PixelRepresentation")
    if not bits or signed not in (0, 1):
        raise LeftOutError("no number of stored bits or no pixel representation")
    span = 1 << bits
    ends = ((-span // 2, span // 2 - 1), (0, span - 1))[1 - signed]
    low, high = sorted(slope[0] * end + intercept[0] for end in ends)
    if low >= 0 or high <= 0:  # water is 0; a tool that loses the intercept leaves air at 0 or 24
        raise LeftOutError("a rescale slope and intercept that leave no room for air or for tissue")


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
