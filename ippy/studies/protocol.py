"""What short runs share: the slices that they see, so that studies can be compared."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from torch.utils.data import Dataset, Subset

from ippy.base.files import write_atomically
from ippy.base.paths import output_dir
from ippy.data import MayoDataset
from ippy.data.generation import SEED
from ippy.data.phantoms import AS_DRAWN, VERSION, Style, generate_slice


def bodies(slices: MayoDataset) -> Subset:
    """Return the slices of generated bodies (``G..``): those of clutter alone are left out."""
    chosen = [i for i, path in enumerate(slices.paths) if path.parent.name.startswith("G")]
    return Subset(slices, chosen)


class Generated(Dataset):
    """Training slices of the first bodies, drawn in a style: (1, 256, 256) in [0, 1].

    They are made once, and kept in ``studies/runs/slices/`` for the other runs that see them.

    Args:
        bodies: Number of bodies.
        count: Slices of each.
        style: How richly the parts are drawn.

    Attributes:
        sha256: Checksum of the pixels.
    """

    def __init__(self, bodies: int, count: int, style: Style = AS_DRAWN) -> None:
        content = f"{VERSION} {SEED} {bodies} {count} {style}"
        name = hashlib.sha256(content.encode()).hexdigest()[:16]
        path = output_dir("studies/runs/slices") / f"{name}.npy"
        with FileLock(path.with_suffix(".lock")):
            if not path.is_file():
                pixels = [
                    generate_slice(SEED, "train", f"G{body:03d}", index, count, style=style)
                    for body in range(1, bodies + 1)
                    for index in range(count)
                ]
                write_atomically(path, lambda file: np.save(file, np.stack(pixels)))
        self.pixels = np.load(path, mmap_mode="r")  # (N, 256, 256) uint8
        self.sha256 = hashlib.sha256(self.pixels.tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(np.array(self.pixels[index]))[None].float() / 255
