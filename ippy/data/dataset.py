"""The slices as a data set: tensors in a fixed order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ippy.base.checks import check_choice, check_integer
from ippy.base.paths import as_path
from ippy.data.slices import find_faults, find_slices, is_slice, read_slice, too_bright
from ippy.data.white import is_dark, warn_if_low


class MayoDataset(Dataset[torch.Tensor]):
    """Greyscale slices from ``<data_path>/<patient>/*.png``, in the same order everywhere.

    A slice is divided by white, its largest possible value, resized in floating point (antialiased
    bilinear) so that the shorter side is ``data_shape``, and cropped to the central square. What is
    resized is rounded to steps of 1/65535. What was read is kept, never as floats: one byte a
    pixel, or two where the file has 16 bits or was resized.

    Args:
        data_path: Folder that holds one folder a patient.
        data_shape: Side of the square, in pixels, at most 4096.
        cache_bytes: Memory for slices that were read, in each process that reads; beyond it they
            are read from their files again. 0 keeps none.
        skip_bad: Read every file once now, and leave out those that can't be read. Without it a
            bad file is an error when its turn comes.
        white: The value that counts as 1 in files with 16 bits a pixel, such as 4095 where they
            hold 12; 65535 if None. Then a patient whose slices stay below a quarter of that is
            warned of, once.

    Attributes:
        paths: The files, ordered by their path below ``data_path`` as a string.
        skipped: With ``skip_bad``, what is wrong with each file or folder that was left out.

    Raises:
        FileNotFoundError: There is no such folder, or no slice in it.
        ValueError: A number is out of range, a folder can't be listed, no slice can be read, or
            ``skip_bad`` is not a truth value.
    """

    def __init__(
        self,
        data_path: str | os.PathLike[str],
        data_shape: int = 256,
        *,
        cache_bytes: int = 1 << 30,
        skip_bad: bool = False,
        white: int | None = None,
    ) -> None:
        self.data_shape = check_integer("data_shape", data_shape, least=1, most=4096)
        self._room = self._cache_bytes = check_integer("cache_bytes", cache_bytes)
        skip_bad = check_choice("skip_bad", skip_bad, (False, True))
        self.white = white if white is None else check_integer("white", white, least=1, most=65535)
        root = as_path(data_path, "data_path")
        mend = "Run `python -m ippy prepare` to generate slices, or give another folder."
        if not root.is_dir():
            raise FileNotFoundError(f"no folder {root}: expected <patient>/*.png in it. {mend}")
        self.paths, self.skipped = find_slices(root)
        if self.skipped and not skip_bad:
            raise ValueError(next(iter(self.skipped.values())))
        if not self.paths:
            loose = sum(is_slice(path.name) for path in root.iterdir())
            if loose:
                mend = (
                    f"{loose} .png files lie in it directly: put them into a folder, one a patient."
                )
            raise FileNotFoundError(f"no slices in {root}: expected <patient>/*.png in it. {mend}")
        if skip_bad:
            self.skipped |= find_faults(self.paths, self.white)
            self.paths = [path for path in self.paths if path not in self.skipped]
            if not self.paths:
                first = next(iter(self.skipped.values()))
                raise ValueError(f"no slice in {root} can be read; the first is {first}. {mend}")
        self._cache: dict[int, tuple[np.ndarray, int]] = {}  # pixels, and their white
        self._bright: set[Path] = set()  # patients whose dark slices are exceptions
        self._warned = False

    def __len__(self) -> int:
        return len(self.paths)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the cache behind when a worker of a ``DataLoader`` is sent a copy."""
        return vars(self) | {"_cache": {}, "_room": self._cache_bytes}

    def files_sha256(self) -> str:
        """Return a checksum of the files: of their names and of every byte, in their order."""
        total = hashlib.sha256()
        for path in self.paths:
            total.update(f"{path.parent.name}/{path.name}\n".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
        return total.hexdigest()

    def __getitem__(self, index: int | slice | Sequence[int]) -> torch.Tensor:
        """Return one slice, or several as a batch, in float32 and [0, 1].

        Args:
            index: The slice's place, or several: ``3``, ``-1``, ``:3``, ``[0, 2]``.

        Returns:
            (1, data_shape, data_shape), or for several (N, 1, data_shape, data_shape).

        Raises:
            IndexError: There is no such slice.
            TypeError: ``index`` is none of these.
            ValueError: The file can't be read, or holds more than ``white``.
        """
        if isinstance(index, slice):
            index = range(len(self.paths))[index]
        elif isinstance(index, np.ndarray | torch.Tensor):
            index = index.tolist()
        if isinstance(index, list | range):
            shape = (0, 1, self.data_shape, self.data_shape)
            return torch.stack([self._read(i) for i in index]) if index else torch.empty(shape)
        return self._read(index)

    def _read(self, index: int) -> torch.Tensor:
        number = self._number(index)
        if number not in self._cache:
            pixels = read_slice(self.paths[number])
            white = self._white(self.paths[number], pixels)
            if pixels.shape != (self.data_shape, self.data_shape):
                image = self._resized(pixels, white)
                pixels, white = np.round(image[0].numpy() * 65535).astype(np.uint16), 65535
            if pixels.nbytes > self._room:
                return self._scale(pixels, white)
            self._room -= pixels.nbytes
            self._cache[number] = pixels, white
        return self._scale(*self._cache[number])

    def _number(self, index: int) -> int:
        """Return the place of a slice, counted from the start."""
        count, number = len(self.paths), check_integer("index", index, least=-(2**63))
        if not -count <= number < count:
            raise IndexError(f"index is {number}; there are {count} slices, 0 to {count - 1}")
        return number % count

    def _white(self, path: Path, pixels: np.ndarray) -> int:
        """Return the value of a file's pixels that counts as 1."""
        if pixels.dtype == np.uint8:
            return 255
        if self.white is None:
            if not self._warned and path.parent not in self._bright and is_dark(pixels):
                patient = [other for other in self.paths if other.parent == path.parent]
                self._warned = warn_if_low(path, patient)
                self._bright.add(path.parent)
            return 65535
        if fault := too_bright(path, pixels, self.white):
            raise ValueError(fault)
        return self.white

    @staticmethod
    def _scale(pixels: np.ndarray, white: int) -> torch.Tensor:
        return torch.from_numpy(pixels.astype(np.float32) / white)[None]

    def _resized(self, pixels: np.ndarray, white: int) -> torch.Tensor:
        from torchvision.transforms.functional import center_crop, resize  # seconds of importing

        image, side = self._scale(pixels, white), self.data_shape
        return center_crop(resize(image, [side], antialias=True), [side, side])
