"""What runs share: the slices that they see, and how rows name these and the machine."""

from __future__ import annotations

import hashlib
import itertools
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ippy.base.checks import check_choice
from ippy.base.files import locked, write_atomically
from ippy.base.paths import data_dir, output_dir
from ippy.data.dataset import MayoDataset
from ippy.data.generation import PLAN, SEED, read_generated
from ippy.data.phantoms import AS_DRAWN, VERSION, Style, generate_slice

# Corners of 128 pixels, within the disc that a scanner sees.
QUARTERS = ((4, 4), (4, 124), (124, 4), (124, 124))
# Of which slices a set is, and the number of its first patient.
CLUTTER = {"train": ("train", 1), "validation": ("test", 8001), "test": ("test", 9001)}


def checksum(slices: Dataset[Tensor]) -> str:
    """Return the checksum of slices that know theirs, or else of the course's generated ones.

    Where a reader's own slices have taken their place it is that of the files.
    """
    if hasattr(slices, "sha256"):
        return slices.sha256
    generated = read_generated(data_dir())
    if generated.get("slices", {}).keys() >= PLAN.keys():
        return generated["sha256"]
    return slices.files_sha256() if isinstance(slices, MayoDataset) else "not generated"


def surroundings() -> dict[str, Any]:
    """Return what a row says of the processor and the software that it was made with."""
    return {
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "versions": {"python": platform.python_version(), "torch": version("torch")},
    }


class Drawn(Dataset):
    """Slices that a study draws for itself: (1, H, W) in [0, 1].

    Args:
        pixels: (N, H, W) uint8.

    Attributes:
        sha256: Checksum of the pixels.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.sha256 = hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(np.array(self.pixels[index]))[None].float() / 255

    def sample(self, count: int) -> Drawn:
        """Return so many of the slices, in their order: the same ones always, and any fewer too."""
        shuffled = np.random.default_rng(0).permutation(len(self))
        return Drawn(self.pixels[np.sort(shuffled[:count])])


class Generated(Drawn):
    """Training slices of the first bodies, drawn in a style: (1, 256, 256) in [0, 1].

    Args:
        bodies: Number of bodies.
        count: Slices of each.
        style: How richly the parts are drawn.
    """

    def __init__(self, bodies: int, count: int, style: Style = AS_DRAWN) -> None:
        slices = (
            generate_slice(SEED, "train", f"G{body:03d}", index, count, style=style)
            for body in range(1, bodies + 1)
            for index in range(count)
        )
        super().__init__(_kept(f"{VERSION} {SEED} {bodies} {count} {style}", slices))


class Clutter(Drawn):
    """Images that fill the field of view, quarters of slices of clutter: (1, 128, 128) in [0, 1].

    No air surrounds them, and nothing has a place of its own: what a network says about a pixel it
    has to see in the image.

    Args:
        split: ``"train"``, ``"validation"`` or ``"test"``; they share no slice.
        count: Number of images, four of each slice.

    Raises:
        ValueError: There is no such split.
    """

    def __init__(self, split: str, count: int) -> None:
        check_choice("split", split, tuple(CLUTTER))
        images = itertools.islice(_quarters(*CLUTTER[split]), count)
        super().__init__(_kept(f"clutter {VERSION} {SEED} {split} {count}", images))


def _quarters(split: str, first: int) -> Iterator[np.ndarray]:
    """Yield images, (128, 128) uint8, four of each patient from the first on."""
    for patient in itertools.count(first):
        image = generate_slice(SEED, split, f"T{patient}", 0, 1)
        for top, left in QUARTERS:
            yield image[top : top + 128, left : left + 128]


def _kept(content: str, slices: Iterable[np.ndarray]) -> np.ndarray:
    """Return slices, (N, H, W), that are drawn once and kept for all runs that see them.

    They lie in ``studies/runs/slices/``, which git ignores.

    Args:
        content: What they are drawn from; other words are another file.
        slices: Draws them, (H, W) uint8 each, where there is no such file yet.
    """
    name = hashlib.sha256(content.encode()).hexdigest()[:16]
    path = output_dir("studies/runs/slices") / f"{name}.npy"
    with locked(path.with_suffix(".lock"), path, wait=-1):
        if not path.is_file():
            pixels = np.stack(list(slices))
            write_atomically(path, lambda file: np.save(file, pixels))
    return np.load(path, mmap_mode="r")
