"""CT slices in DICOM files, as small as they can be, and their import."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from ippy.tools.dicom import import_dicom

SHAPE = (12, 16)
AXES = [1, 0, 0, 0, 1, 0]
STANDARD_FIRST = "1.2.826.0.1.3680043.8.498."


def identifier(*parts) -> str:
    return uid.generate_uid(prefix=STANDARD_FIRST, entropy_srcs=[str(part) for part in parts])


def stored(hu, *, slope=1, intercept=-1024, signed=False):
    return np.round((np.asarray(hu) - intercept) / slope).astype("<i2" if signed else "<u2")


def ramp(level=0):
    """An image whose mean tells its level, in HU."""
    return np.add.outer(np.arange(12) * 10, np.arange(16)) + level - 62


def ct(path: Path, *, z=0.0, patient="ID1", series="A", number=1, hu=None, syntax=None, **tags):
    """Write one CT slice; a tag of None is left out."""
    hu = ramp() if hu is None else hu
    dataset = Dataset()
    values = {
        "SOPClassUID": uid.CTImageStorage,
        "SOPInstanceUID": identifier(patient, series, number, z),
        "StudyInstanceUID": identifier("study", patient),
        "SeriesInstanceUID": identifier(patient, series),
        "SeriesDescription": f"series {series}",
        "PatientID": patient,
        "PatientName": f"Name^{patient}",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "InstanceNumber": number,
        "ImagePositionPatient": [-100, -100, z],
        "ImageOrientationPatient": AXES,
        "PixelSpacing": [0.75, 0.75],
        "SliceThickness": 3,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": np.shape(hu)[0],
        "Columns": np.shape(hu)[1],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "PixelData": stored(hu).tobytes(),
    } | tags
    for name, value in values.items():
        if value is not None:
            setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax or uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPInstanceUID = identifier("file", path.name)
    dataset.file_meta.MediaStorageSOPClassUID = values["SOPClassUID"] or uid.CTImageStorage
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def scan(folder: Path, *, patient="ID1", series="A", count=3, level=100, **tags):
    """Write a series, the head first: slice i has the mean level * i HU."""
    for i in range(count):
        name = folder / patient / series / f"{(7 * i + 3) % 31:02d}"
        options = {"z": -3.0 * i, "number": i + 1, "hu": ramp(level * i)} | tags
        ct(name, patient=patient, series=series, **options)


def run(source, target, **options):
    return import_dicom(source, target, progress=False, **options)


def images(target):
    """Return all slices by their place, in HU of the default window."""
    return {
        path.relative_to(target).as_posix(): np.asarray(Image.open(path)) / 65535 * 2600 - 1000
        for path in sorted(target.glob("*/*/*.png"))
    }


def contents(target):
    return {p.relative_to(target): p.read_bytes() for p in target.rglob("*") if p.is_file()}


def only(target):
    """Return the one slice that was imported, in HU."""
    (image,) = images(target).values()
    return image


def transcode(source: Path, target: Path, syntax: str) -> None:
    """Compress a file with the GDCM library."""
    gdcm = pytest.importorskip("gdcm")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
