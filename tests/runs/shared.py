"""What two processes do together, for ``torchrun --nproc_per_node 2 tests/runs/shared.py FOLDER``.

A whole run, a run that one process began, and the command line, twice, in a course of its own.
"""

import json
import runpy
import sys
from pathlib import Path

from ippy.__main__ import main
from ippy.training import RECIPES, Recipe

tiny = runpy.run_path(str(Path(__file__).with_name("tiny.py")))
folder = Path(sys.argv[1])
for name in ("together", "begun"):
    _, history = tiny["train"](folder / name / "m.pth", resume=True)
    print(json.dumps({name: vars(history)}), flush=True)

RECIPES["CNN"] = Recipe(steps=6, batch_size=2, crop=32)
for _ in range(2):
    print("status", main(["train", "--resume", "CNN"]), flush=True)
print("status", main(["train", "--batch-size", "3", "CNN"]), flush=True)
