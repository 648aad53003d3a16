"""How the time of a training step grows: with the side of its crop, and with the slices."""

import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from timing import report
from torch.utils.data import Subset

from ippy.data import MayoDataset, prepare_mayo
from ippy.models import LABELS, build
from ippy.problems import motion_deblurring
from ippy.train import RECIPES, fit

SIDES = (128, 64, 256)  # of a crop, in pixels; the course's comes first
COUNTS = (1800, 250, 16)  # of slices; the course's number comes first
STEPS = {64: 120, 128: 60, 256: 30}
ROUNDS = 3


def step(name: str, side: int, slices: MayoDataset | Subset) -> float:
    """Return the seconds of a training step, with the recipe of a model but for its crop."""
    recipe = replace(RECIPES[name], crop=side, batch_size=1, steps=STEPS[side])
    history = fit(build(name, seed=0), slices, motion_deblurring(), recipe, progress=False)
    return (side / 256) ** 2 / history.images_per_second  # that counts slices of 256 pixels


def medians(ways: Mapping[int, Callable[[], float]]) -> dict[str, float]:
    """Return the median of what each way gives, taken in turn."""
    rounds = [[way() for way in ways.values()] for _ in range(ROUNDS)]
    times = zip(*rounds, strict=True)
    return {str(key): statistics.median(of_one) for key, of_one in zip(ways, times, strict=True)}


def main(names: list[str]) -> None:
    """Print a row a side and a row a number of slices, for each model."""
    print(f"{torch.get_num_threads()} threads")
    every = MayoDataset(prepare_mayo() / "train")
    for name in names or ["ResCNN", "UNet", "GatedUNet", "ViT"]:
        step(name, SIDES[0], every)  # warms up
        print(f"\n{LABELS[name]}: a step with a crop of so many pixels a side")
        report(medians({side: partial(step, name, side, every) for side in SIDES}))
        print(f"{LABELS[name]}: a step where the training set has so many slices")
        sets = {count: Subset(every, range(count)) for count in COUNTS}
        report(medians({n: partial(step, name, SIDES[0], some) for n, some in sets.items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
