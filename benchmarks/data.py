"""Ten thousand slices in one folder: finding them, reading them, and the memory they take."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from torch.utils.data import DataLoader

from ippy.data import MayoDataset, prepare_mayo
from ippy.models import build
from ippy.problems import motion_deblurring
from ippy.train import Recipe, fit

SLICES = 10_000
ROUNDS = 5
CACHES = {"100 MB cache": 100_000_000, "default cache": 1 << 30}


def fill(folder: Path) -> None:
    """Write SLICES files, copies of the prepared training slices, into one patient's folder."""
    contents = [path.read_bytes() for path in MayoDataset(prepare_mayo() / "train").paths]
    (folder / "P001").mkdir()
    for number in range(SLICES):
        (folder / "P001" / f"{number}.png").write_bytes(contents[number % len(contents)])


def seconds(way: Callable[[], object], *, rounds: int = 1) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        way()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def memory() -> float:
    """Return what this process holds, in MB."""
    return psutil.Process().memory_info().rss / 1e6


def epoch(slices: MayoDataset) -> None:
    """Take every slice once, in a random order, as training does."""
    for _ in DataLoader(slices, batch_size=8, shuffle=True):
        pass


def train(slices: MayoDataset) -> None:
    """Take some steps of training."""
    recipe = Recipe(steps=50, batch_size=8)
    fit(build("CNN"), slices, motion_deblurring(), recipe, progress=False)


def report(folder: Path, label: str, cache_bytes: int) -> None:
    """Print the time of two epochs of reading and some training, and the memory held after each."""
    slices = MayoDataset(folder, cache_bytes=cache_bytes)
    before = memory()
    for what, way in {"first epoch": epoch, "second epoch": epoch, "50 steps": train}.items():
        took = seconds(lambda way=way: way(slices))
        print(f"{f'{label}, {what}':42s} {took:8.1f} s {memory() - before:8.0f} MB", flush=True)


def main() -> None:
    """Print what it costs to index, to check, to read twice, and to train."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder)
        ways = {
            "index, MayoDataset(folder)": lambda: MayoDataset(folder),
            "index, sorted(folder.glob(...))": lambda: sorted(
                folder.glob("*/*.png"), key=lambda path: path.relative_to(folder).as_posix()
            ),
        }
        print(f"{SLICES} slices of 256x256 in one folder")
        for label, way in ways.items():
            print(f"{label:42s} {seconds(way, rounds=ROUNDS):8.2f} s")
        checked = seconds(lambda: MayoDataset(folder, skip_bad=True))
        print(f"{'index and check each file, skip_bad=True':42s} {checked:8.1f} s")

        floats = SLICES * 256 * 256 * 4 / 1e6
        print(f"\nmemory gained (as float32 they would hold {floats:.0f} MB)")
        for label, cache_bytes in CACHES.items():
            report(folder, label, cache_bytes)


if __name__ == "__main__":
    main()
