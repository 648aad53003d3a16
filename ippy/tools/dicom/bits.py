"""The stored values of a CT image: which bits of a file hold them, and which pixels hold none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from ippy.tools.dicom.headers import LeftOutError

if TYPE_CHECKING:
    from pydicom import Dataset

TISSUE = (-1000.0, 3100.0)  # HU that a body can have
OVERLAY_SHARE = 0.25  # of the pixels; drawings cover less, the last bits of values more
CONTRADICTION = "bits or a sign of the pixels that contradict the header"


def stored_values(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the values that an image stores, and which of its pixels are padding.

    Each value lies in a word of ``BitsAllocated`` bits and takes ``BitsStored`` of them, up to and
    including ``HighBit``. What the other bits hold is not part of it: zeros, the sign again, or an
    overlay that an old device drew into them. pydicom, which decodes the words, takes the lowest
    bits whatever ``HighBit`` says.

    Args:
        dataset: An image with one sample a pixel.

    Returns:
        Integers and truth values, (rows, columns) each.

    Raises:
        LeftOutError: The header does not describe the bits that are there.
    """
    from pydicom.pixels import pixel_array
    from pydicom.uid import RLELossless

    words = pixel_array(dataset, correct_unused_bits=False)
    syntax = dataset.file_meta.TransferSyntaxUID
    stored, lowest = int(dataset.BitsStored), _lowest_bit(dataset)
    if lowest and syntax.is_encapsulated and syntax != RLELossless:
        raise LeftOutError("a compressed image whose high bit is not its last stored bit")
    values = _take(words, stored, lowest)
    if lowest:
        _check_below(words, lowest)
    padding = _padding(dataset, words, values)
    if not lowest:
        for whole in (words.astype(f"i{words.itemsize}"), words.astype(f"u{words.itemsize}")):
            if not np.array_equal(values, whole) and _is_torn(values, whole, padding):
                raise LeftOutError(CONTRADICTION)
    return values, padding


def _lowest_bit(dataset: Dataset) -> int:
    """Return how many bits of a word lie below the stored ones, mostly 0."""
    stored, high = dataset.BitsStored, dataset.get("HighBit")
    lowest = 0 if high is None else high + 1 - stored
    if not 0 <= lowest <= dataset.BitsAllocated - stored:
        raise LeftOutError(CONTRADICTION)
    return int(lowest)


def _take(words: np.ndarray, stored: int, lowest: int) -> np.ndarray:
    """Return the values of ``stored`` bits from the ``lowest`` up, with their sign."""
    above = 8 * words.itemsize - stored - lowest
    if above < 0:  # decoded to fewer bits than the header has
        return words
    return (words << above) >> (above + lowest)


def _check_below(words: np.ndarray, lowest: int) -> None:
    """Raise ``LeftOutError`` if the bits below the stored ones are in use, as by values."""
    if ((words & ((1 << lowest) - 1)) != 0).mean() > OVERLAY_SHARE:
        raise LeftOutError(CONTRADICTION)


def _is_torn(values: np.ndarray, whole: np.ndarray, padding: np.ndarray) -> bool:
    """Say whether taking some of the bits tears the image, where all of the word leave it whole.

    A body changes little from pixel to pixel. Values of which the highest bits or the sign were
    cut off jump by a power of two where their neighbours don't; a value under an overlay does not.
    """
    jumps = {"taken": 0.0, "whole": 0.0}
    ours, theirs = (np.where(padding, np.nan, x.astype(np.float64)) for x in (values, whole))
    for axis in (0, 1):
        taken, all_bits = np.abs(np.diff(ours, axis=axis)), np.abs(np.diff(theirs, axis=axis))
        differ = np.abs(taken - all_bits) > 0  # not where one of the two is padding
        jumps["taken"] += taken[differ].sum()
        jumps["whole"] += all_bits[differ].sum()
    return jumps["taken"] > 1.5 * jumps["whole"]


def _padding(dataset: Dataset, words: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return which pixels the file marks as padding, outside the scanner's circle."""
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return np.zeros(values.shape, bool)
    last = dataset.get("PixelPaddingRangeLimit")
    # Some writers give -2000 as 63536: both are the same sixteen bits.
    ends = np.array([first, first if last is None else last]).astype(words.dtype).astype(np.int64)
    signed = words.dtype.kind == "i"
    stored = int(dataset.BitsStored) - signed
    # A padding value that the stored bits cannot hold fills the whole word.
    held = -(signed << stored) <= ends.min() and ends.max() < 1 << stored
    image = values if held else words
    marked = (image >= ends.min()) & (image <= ends.max())
    hu = ends * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    if hu.max() > TISSUE[0] and hu.min() < TISSUE[1]:
        # Tissue can have this value too; what surrounds the circle reaches the border.
        border = np.zeros(marked.shape, bool)
        border[[0, -1]] = border[:, [0, -1]] = True
        return ndimage.binary_propagation(border & marked, mask=marked)
    return marked
