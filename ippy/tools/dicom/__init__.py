"""Real scans: from folders of DICOM files to the course's slices."""

from ippy.tools.dicom.importing import SEED, TEST_FRACTION, WINDOW, import_dicom
from ippy.tools.dicom.manifest import summary
from ippy.tools.dicom.people import SPLITS

__all__ = ["SEED", "SPLITS", "TEST_FRACTION", "WINDOW", "import_dicom", "summary"]
