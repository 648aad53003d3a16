"""From a name to a shipped checkpoint: train on generated slices, score, save, and record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from ippy.checkpoints import save_checkpoint
from ippy.data import MayoDataset
from ippy.evaluation import evaluate, summarise
from ippy.features import features_available
from ippy.models import build, spec
from ippy.paths import data_dir, weights_dir
from ippy.problem import motion_deblurring
from ippy.training import RECIPES, History, Recipe, fit


def pretrain(
    name: str,
    *,
    recipe: Recipe | None = None,
    folder: str | Path | None = None,
    device: torch.device | None = None,
    progress: bool = True,
) -> History:
    """Train a model of the course for the reference task and write its checkpoint and record.

    Args:
        name: One of :data:`ippy.models.NAMES`.
        recipe: How to train; the course's own recipe for this model if None.
        folder: Where to write; the course's ``weights/`` if None. An older checkpoint there is
            replaced only once the run is finished.
        device: Where to train; the best there is if None.
        progress: Show a bar.

    Returns:
        The history of the run.

    Raises:
        ValueError: There is no model of that name.
        FileNotFoundError: The slices have not been prepared.
    """
    recipe = recipe or RECIPES[name]
    folder = weights_dir() if folder is None else Path(folder)
    train = MayoDataset(data_dir() / "train")
    test = MayoDataset(data_dir() / "test", cache_bytes=0)
    problem = motion_deblurring()

    model = build(name, seed=recipe.seed)
    history = fit(model, train, problem, recipe, device=device, progress=progress)

    metrics = ("mse", "psnr", "ssim", *(("lpips",) if features_available() else ()))
    scores = summarise(evaluate({name: model}, test, problem, metrics=metrics, device=device))
    record = {
        "arguments": dict(spec(name).kwargs),
        "data": _data_recipe(len(train)),
        "recipe": vars(recipe),
        "history": vars(history),
        "test": {"images": len(test), **{k: round(v, 6) for k, v in scores.loc[name].items()}},
    }
    save_checkpoint(model, folder / f"{name}.pth", record=record)
    return history


def _data_recipe(slices: int) -> dict[str, Any]:
    """What the manifest tells of the training data: how it was generated, or that it was not."""
    manifest = data_dir() / "manifest.json"
    made = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
    return {"generated": False, **made, "train_slices": slices}
