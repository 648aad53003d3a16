"""Time and memory to restore one image, against its size: whole, and in tiles of 256 pixels."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["KINETO_LOG_LEVEL"] = "99"  # torch's profiler logs to stderr

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from ippy.models import LABELS, build
from ippy.quality import restore


def cost(model: nn.Module, side: int, tile: int | None) -> tuple[float, float]:
    """Return seconds and the largest sum of memory, in MB, that the call had taken at a time."""
    y = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        start = time.perf_counter()
        restore(model, y, tile=tile)
        seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        record.export_chrome_trace(str(file))
        events = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
    highest = taken = 0
    for event in sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"]):
        taken += event["args"]["Bytes"]
        highest = max(highest, taken)
    return seconds, highest / 2**20


def main(names: list[str]) -> None:
    """Print one row a model and size."""
    print(f"cpu, {torch.get_num_threads()} threads")
    print(f"{'model':16s} {'side':>5s} {'whole':>9s} {'memory':>9s} {'tiles':>9s} {'memory':>9s}")
    for name in names or ["UNet", "ViT"]:
        model = build(name, seed=0)
        cost(model, 64, None)  # warms up
        for side in (32, 64, 128, 256, 512, 1024):
            figures = [*cost(model, side, None), *cost(model, side, 256)]
            row = " ".join(
                f"{n:7.2f} {u:>2s}" for n, u in zip(figures, ("s", "MB", "s", "MB"), strict=True)
            )
            print(f"{LABELS[name]:16s} {side:5d} {row}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
