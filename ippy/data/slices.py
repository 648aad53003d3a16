"""Slice files: found in one order everywhere, and read as grey pixels or refused by name."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

PNG = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 1 << 26  # 8192 x 8192; what a small file claims beyond that would only fill the memory
MAX_ASPECT = 16  # the shorter side is resized, so a thin stripe would grow without bound


def find_slices(root: Path) -> tuple[list[Path], dict[Path, str]]:
    """Find every ``<root>/<patient>/<name>.png`` by its name alone: no file is opened.

    ``.PNG`` counts too. Names that begin with a dot, such as macOS's ``._0.png``, don't.

    Args:
        root: An existing folder.

    Returns:
        The files, ordered by their path below ``root`` as a string with ``/``; and, for each
        folder that can't be listed, what is wrong with it.
    """
    found, faults = {}, {}
    for patient in _entries(root, faults):
        if not patient.name.startswith("."):
            slices = (path for path in _entries(patient, faults) if is_slice(path.name))
            found |= {f"{patient.name}/{path.name}": path for path in slices}
    return [found[name] for name in sorted(found)], faults


def _entries(folder: Path, faults: dict[Path, str]) -> list[Path]:
    try:
        return list(folder.iterdir())
    except NotADirectoryError:
        return []
    except OSError as error:  # a link to itself, a folder of somebody else
        faults[folder] = f"cannot list the folder {folder}: {error.strerror}"
        return []


def is_slice(name: str) -> bool:
    """Tell whether a file of this name is taken for a slice."""
    return name.lower().endswith(".png") and not name.startswith(".")


def read_slice(path: Path) -> np.ndarray:
    """Read a PNG of any kind as grey pixels.

    Colour becomes luminance (ITU-R 601) and transparency is dropped. The checksum of every chunk
    is compared, which decoding alone does not do.

    Returns:
        Pixels (H, W): uint16 for greyscale with 16 bits, else uint8.

    Raises:
        ValueError: The file is no PNG, damaged, unreadable, or far too large or thin for a slice.
    """
    try:
        return _decode(path)
    except Exception as error:  # the bytes are anybody's: a decoder may raise anything on them
        raise ValueError(
            f"cannot read {path} as a PNG image: {_reason(error)}. Replace or delete it (a slice "
            "that was generated is made again by `python -m ippy prepare`), or go on without it: "
            "--skip-bad on the command line, MayoDataset(..., skip_bad=True)."
        ) from error


def find_faults(paths: Sequence[Path], white: int | None = None) -> dict[Path, str]:
    """Read every slice once, and say what is wrong with each that can't be used.

    Args:
        paths: The files.
        white: The largest value that one with 16 bits may hold, if that is known.

    Returns:
        A line for each bad file, in the order of ``paths``.
    """
    with ThreadPool() as pool:  # decoding leaves Python's lock to others
        checks = tqdm(
            pool.imap(partial(_fault, white), paths, chunksize=16),
            total=len(paths),
            desc="Checking slices",
            unit="slice",
            leave=False,
            disable=None,  # no bar where the output is no terminal
        )
        return {path: fault for path, fault in zip(paths, checks, strict=True) if fault}


def _fault(white: int | None, path: Path) -> str | None:
    try:
        pixels = _decode(path)
    except Exception as error:  # as in read_slice
        return f"{path}: {_reason(error)}"
    return None if white is None else too_bright(path, pixels, white)


def too_bright(path: Path, pixels: np.ndarray, white: int) -> str | None:
    """Say that a file with 16 bits a pixel holds more than white, if it does."""
    if pixels.dtype == np.uint8 or pixels.max() <= white:
        return None
    return f"{path} holds {pixels.max()}, more than white, {white}. Give a larger white"


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # whose message is the path again
        return "what it holds is no image"
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _decode(path: Path) -> np.ndarray:
    if path.exists() and not path.is_file():
        raise ValueError("it is not a file")
    with path.open("rb") as file:
        _check_header(file)
        file.seek(0)
        with Image.open(file, formats=["PNG"]) as image:
            image.verify()  # after which Pillow wants it opened again
        file.seek(0)
        with Image.open(file, formats=["PNG"]) as image:
            return _grey(image)


def _check_header(file: BinaryIO) -> None:
    head = file.read(24)  # signature, length and name of the first chunk, width, height
    if not head:
        raise ValueError("it is empty")
    if len(head) < 24 or not head.startswith(PNG):
        raise ValueError("it does not begin as a PNG file does")
    width, height = struct.unpack(">II", head[16:])
    if not 0 < width * height <= MAX_PIXELS or max(width, height) > MAX_ASPECT * min(width, height):
        raise ValueError(
            f"it is {width} x {height} pixels; expected at most {MAX_PIXELS} pixels, and a longer "
            f"side of at most {MAX_ASPECT} times the shorter"
        )


def _grey(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint16)
    image.info.pop("transparency", None)  # Pillow would warn that it drops it
    return np.array(image.convert("L"))
