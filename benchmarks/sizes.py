"""Time and memory to restore one image, against its size: whole, and in tiles of 256 pixels."""

import sys
from functools import partial

import torch

from ippy.models import LABELS, build
from ippy.quality import restore
from ippy.quality.cost import time_and_memory


def main(names: list[str]) -> None:
    """Print one row a model and size."""
    print(f"cpu, {torch.get_num_threads()} threads")
    print(f"{'model':16s} {'side':>5s} {'whole':>9s} {'memory':>9s} {'tiles':>9s} {'memory':>9s}")
    for name in names or ["UNet", "ViT"]:
        model = build(name, seed=0)
        restore(model, torch.zeros(1, 1, 64, 64))  # warms up
        for side in (32, 64, 128, 256, 512, 1024):
            y = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0))
            figures = [
                *time_and_memory(partial(restore, model, y)),
                *time_and_memory(partial(restore, model, y, tile=256)),
            ]
            row = " ".join(
                f"{n:7.2f} {u:>2s}" for n, u in zip(figures, ("s", "MB", "s", "MB"), strict=True)
            )
            print(f"{LABELS[name]:16s} {side:5d} {row}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
