"""Which value of a slice is white: the largest that its file could hold, or fewer bits than that.

Twelve bits stored in the low end of sixteen are a slice at a sixteenth of its brightness. It is
read without a fault, and noise that is relative to it scores more than 20 dB too much.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ippy.data.slices import read_slice

DARK = 0.25
"""Part of white that a dark slice does not exceed: what 14 bits reach in 16.

Of the generated slices of bodies the darkest reaches 0.37; real ones, in the course's window, 1.
"""
DEPTHS = (8, 10, 12, 14)  # bits that scanners and converters store
SAMPLE = 16  # slices of a patient that are read when one of them is dark


def is_dark(pixels: np.ndarray) -> bool:
    """Say whether a slice with 16 bits a pixel uses a quarter of its range at most, but not none.

    With 8 bits there is nothing to mistake, and a black slice says nothing of its white.
    """
    return pixels.dtype == np.uint16 and 0 < pixels.max() <= DARK * np.iinfo(np.uint16).max


def warn_if_low(path: Path, patient: Sequence[Path]) -> bool:
    """Warn if at least half of a patient's slices are dark, and say whether they are.

    A scan that is bright may well end in a dark slice, of air and the table.

    Args:
        path: A dark slice.
        patient: All slices of the same patient.
    """
    others = [other for other in patient if other != path]
    step = -(-len(others) // SAMPLE) or 1
    sample = [read_slice(path), *_readable(others[::step])]
    dark = [pixels for pixels in sample if is_dark(pixels)]
    if 2 * len(dark) < len(sample):
        return False
    largest = max(int(pixels.max()) for pixels in dark)
    white = next(2**bits - 1 for bits in DEPTHS if largest < 2**bits)
    warnings.warn(
        f"the largest value of {path.parent.name}/{path.name} and slices like it is {largest}, "
        f"{100 * largest / 65535:.1f} % of white, 65535. Slices so dark score far too well. If "
        f"{white} is white in these files, say so: MayoDataset(..., white={white}), or --white "
        f"{white} on the command line",
        stacklevel=5,  # where the data set was indexed
    )
    return True


def _readable(paths: Sequence[Path]) -> Iterator[np.ndarray]:
    for path in paths:
        with suppress(ValueError):  # a bad file is an error when its turn comes
            yield read_slice(path)
