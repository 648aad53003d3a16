"""A run that does not end by itself: ``torchrun ... tests/runs/long.py FOLDER``.

Each process writes its id to FOLDER/<rank>, then trains; the state is saved often.
"""

import dataclasses
import os
import runpy
import sys
from pathlib import Path

import torch

from ippy.train import fit, supervisor

tiny = runpy.run_path(str(Path(__file__).with_name("tiny.py")))
folder = Path(sys.argv[1])
(folder / os.environ["RANK"]).write_text(str(os.getpid()), encoding="utf-8")
supervisor.SAVE_EVERY = 0.1
*parts, recipe = tiny["parts"]()
fit(
    *parts,
    dataclasses.replace(recipe, steps=1_000_000),
    device=torch.device("cpu"),
    save_to=folder / "m.pth",
    progress=False,
)
