"""The slices as a data set: tensors in a fixed order."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch.utils.data import Dataset
from torchvision.transforms.functional import center_crop, resize

from ippy.base.checks import check_choice, check_integer
from ippy.base.paths import as_path
from ippy.data.slices import find_faults, find_slices, is_slice, read_slice


class MayoDataset(Dataset[torch.Tensor]):
    """Greyscale slices from ``<data_path>/<patient>/*.png``, in the same order everywhere.

    A slice is divided by its largest possible value, resized in floating point (antialiased
    bilinear) so that the shorter side is ``data_shape``, and cropped to the central square. What
    was read is kept, never as floats: as it is (one byte a pixel, or two) where the file has that
    size already, else in steps of 1/65535 (two bytes).

    Args:
        data_path: Folder that holds one folder a patient.
        data_shape: Side of the square, in pixels, at most 4096.
        cache_bytes: Memory for slices that were read, in each process that reads; beyond it they
            are read from their files again. 0 keeps none, which is exact always.
        skip_bad: Read every file once now, and leave out those that can't be read. Without it a
            bad file is an error when its turn comes.

    Attributes:
        paths: The files, ordered by their path below ``data_path`` as a string.
        skipped: With ``skip_bad``, what is wrong with each file or folder that was left out.

    Raises:
        FileNotFoundError: There is no such folder, or no slice in it.
        ValueError: A number is out of range, a folder can't be listed, no slice can be read, or
            ``skip_bad`` is not a truth value.
        TypeError: A number is not an integer, or ``data_path`` no path.
    """

    def __init__(
        self,
        data_path: str | os.PathLike[str],
        data_shape: int = 256,
        *,
        cache_bytes: int = 1 << 30,
        skip_bad: bool = False,
    ) -> None:
        check_integer("data_shape", data_shape, least=1, most=4096)
        check_integer("cache_bytes", cache_bytes)
        check_choice("skip_bad", skip_bad, (False, True))
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
            self.skipped |= find_faults(self.paths)
            self.paths = [path for path in self.paths if path not in self.skipped]
            if not self.paths:
                first = next(iter(self.skipped.values()))
                raise ValueError(f"no slice in {root} can be read; the first is {first}. {mend}")
        self.data_shape = data_shape
        self._room = cache_bytes
        self._cache: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return slice ``index`` as float32 (1, data_shape, data_shape) in [0, 1]."""
        index = range(len(self.paths))[index]
        if index not in self._cache:
            pixels = read_slice(self.paths[index])
            image = self._shape(pixels)
            if pixels.shape != tuple(image.shape[1:]):
                pixels = np.round(image[0].numpy() * 65535).astype(np.uint16)
            if pixels.nbytes <= self._room:
                self._room -= pixels.nbytes
                self._cache[index] = pixels
            return image
        return self._scale(self._cache[index])

    @staticmethod
    def _scale(pixels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(pixels.astype(np.float32) / np.iinfo(pixels.dtype).max)[None]

    def _shape(self, pixels: np.ndarray) -> torch.Tensor:
        image = resize(self._scale(pixels), [self.data_shape], antialias=True)
        return center_crop(image, [self.data_shape, self.data_shape])
