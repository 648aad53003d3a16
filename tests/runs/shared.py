"""What two processes do together, for ``torchrun --nproc_per_node 2 tests/runs/shared.py FOLDER``.

A whole run, a run that one process began, and the command line, twice, in a course of its own.
"""

import json
import runpy
import sys
from pathlib import Path

from ippy.__main__ import main
from ippy.train import RECIPES, Recipe


def say(line):
    """Write a line at once, so that the lines of two processes do not mix."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


tiny = runpy.run_path(str(Path(__file__).with_name("tiny.py")))
folder = Path(sys.argv[1])
for name in ("together", "begun"):
    _, history = tiny["train"](folder / name / "m.pth", resume=True)
    say(json.dumps({name: vars(history)}))

RECIPES["CNN"] = Recipe(steps=6, batch_size=2, crop=32)
for _ in range(2):
    say(f"status {main(['train', '--resume', 'CNN'])}")
say(f"status {main(['train', '--batch-size', '3', 'CNN'])}")
