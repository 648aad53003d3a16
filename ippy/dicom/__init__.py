"""Real scans: from folders of DICOM files to the course's slices."""

from ippy.dicom.importing import SEED, TEST_FRACTION, WINDOW, import_dicom
from ippy.dicom.manifest import summary

__all__ = ["SEED", "TEST_FRACTION", "WINDOW", "import_dicom", "summary"]
