"""From the stored values of a CT image to Hounsfield units, and from these to grey levels."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from ippy.tools.dicom.bits import stored_values
from ippy.tools.dicom.headers import LeftOutError

if TYPE_CHECKING:
    from pydicom import Dataset

AIR = -1000.0  # HU
HIGHEST = 32000.0  # HU; metal reaches 30000 in the scanners that tell it from bone
WHITE = 65535


def hounsfield(content: bytes) -> np.ndarray:
    """Return the image in a DICOM file as float32 (rows, columns), in Hounsfield units.

    Pixels that the file marks as padding, outside the scanner's circle, become air. MONOCHROME1
    says how to display the values and not what they are, so it changes nothing here.

    Args:
        content: The file's bytes.

    Raises:
        LeftOutError: The pixels cannot be decoded, or are not what the header says.
    """
    from pydicom import dcmread
    from pydicom.pixels import get_decoder

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(BytesIO(content), force=True)
            _name_the_encoding(dataset)
            if not get_decoder(dataset.file_meta.TransferSyntaxUID).is_available:
                raise NotImplementedError
            stored, padding = stored_values(dataset)
            slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
            shape = dataset.Rows, dataset.Columns
    except LeftOutError:
        raise
    except NotImplementedError as error:
        raise LeftOutError("a compression without a decoder here") from error
    except Exception as error:  # a damaged file makes a decoder raise anything
        raise LeftOutError("pixels that cannot be decoded") from error
    if stored.shape != shape:
        raise LeftOutError("pixels that cannot be decoded")
    values = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    values[padding] = AIR
    if values.max() > HIGHEST:
        raise LeftOutError(f"values above {HIGHEST:.0f} HU: their sign or their padding is wrong")
    return values


def grey_levels(hounsfield_units: np.ndarray, *, centre: float, width: float) -> np.ndarray:
    """Return the grey levels of a window, uint16: 0 at its lower end and below, 65535 at its upper.

    Sixteen bits keep every Hounsfield unit apart; with eight a level is 10 HU wide.

    Args:
        hounsfield_units: Of any shape.
        centre: Middle of the window, in HU.
        width: Width of the window, in HU.
    """
    share = (hounsfield_units.astype(np.float64) - (centre - width / 2)) / width
    return np.round(np.clip(share, 0, 1) * WHITE).astype(np.uint16)


def _name_the_encoding(dataset: Dataset) -> None:
    """Give a file without a transfer syntax the uncompressed one that it was read with."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        plain = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else plain
