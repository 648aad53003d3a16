"""From a name to a shipped checkpoint: train on generated slices, score, save, and record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ippy.base.checks import check_choice, check_type
from ippy.base.paths import as_path, data_dir
from ippy.data import MayoDataset, validation_slices
from ippy.data.generation import read_generated
from ippy.models import build, spec
from ippy.problems import InverseProblem
from ippy.problems.tasks import REFERENCE, make_task
from ippy.quality import available_metrics, evaluate, summarise
from ippy.train.loop import fit
from ippy.train.recipe import RECIPES, Recipe, with_defaults
from ippy.train.resume import run_path
from ippy.train.run import History
from ippy.weights import load_checkpoint, read_manifest
from ippy.weights.manifest import task_folder

SIDE = 256  # of the course's slices, in pixels


def train_model(
    name: str,
    *,
    task: str = REFERENCE,
    recipe: Recipe | None = None,
    folder: str | Path | None = None,
    device: torch.device | str | None = None,
    resume: bool = False,
    skip_bad: bool = False,
    white: int | None = None,
    progress: bool = True,
) -> History:
    """Train a model of the course for a task and write its checkpoint and record.

    Args:
        name: One of :data:`ippy.models.NAMES`; with a recipe, any that :func:`build` makes.
        task: One of :data:`ippy.problems.TASKS`.
        recipe: How to train; the course's own recipe for this model and task if None.
        folder: Where to write; the course's folder of the task if None. An older checkpoint there
            is replaced only once the run is finished.
        device: Where to train; the best there is if None.
        resume: Go on with a run that was stopped.
        skip_bad: Leave out the slices that can't be read, in training and in the scores.
        white: The value that is white in slices with 16 bits a pixel, as for
            :class:`~ippy.data.MayoDataset`.
        progress: Show a bar.

    Returns:
        The history of the run.

    Raises:
        ValueError: There is no model or task of that name, a slice can't be read, the folder can't
            be written, or the run that was stopped is another one.
        FileNotFoundError: The slices have not been prepared.
    """
    problem = make_task(task)
    recipe = _recipe(name, problem, recipe)
    train = MayoDataset(data_dir() / "train", skip_bad=skip_bad, white=white)
    model = build(name, seed=recipe.seed)

    def record(history: History) -> Mapping[str, Any]:
        test = MayoDataset(data_dir() / "test", cache_bytes=0, skip_bad=skip_bad, white=white)
        return {
            "task": task,
            "arguments": dict(spec(name).kwargs),
            "data": _data_recipe(train),
            "test": _test_scores(name, model, problem, device, test),
        }

    return fit(
        model,
        train,
        problem,
        recipe,
        device=device,
        validation=validation_slices(),
        save_to=checkpoint_path(name, folder, task=task),
        resume=resume,
        record=record,
        progress=progress,
    )


def checkpoint_path(name: str, folder: str | Path | None = None, *, task: str = REFERENCE) -> Path:
    """Return where a model's checkpoint goes: into the course's folder of the task if None.

    Raises:
        ValueError: There is no task of that name.
    """
    own = task_folder(task)
    return (own if folder is None else as_path(folder, "folder")) / f"{name}.pth"


def recipe_for(name: str, problem: InverseProblem) -> Recipe:
    """Return the course's recipe for a model and a problem.

    Where a crop would hide what the problem is about, it is the reference task's on whole slices:
    as many pixels in fewer steps.

    Args:
        name: One of :data:`ippy.train.RECIPES`.
        problem: What the model is to undo.

    Raises:
        ValueError: There is no recipe for such a model.
    """
    check_choice("name", name, tuple(RECIPES))
    recipe = RECIPES[name]
    if problem.operator.crops:
        return recipe
    return replace(recipe, crop=None, steps=recipe.steps * recipe.crop**2 // SIDE**2)


def is_finished(
    name: str,
    *,
    task: str = REFERENCE,
    recipe: Recipe | None = None,
    folder: str | Path | None = None,
    skip_bad: bool = False,
    white: int | None = None,
) -> bool:
    """Say whether a checkpoint is there and whole, made by this recipe from the data at hand.

    Args:
        name: One of :data:`ippy.train.RECIPES`.
        task: One of :data:`ippy.problems.TASKS`.
        recipe: How it should have been trained; the course's own recipe if None.
        folder: Where to look; the course's folder of the task if None.
        skip_bad: It was trained without the slices that can't be read.
        white: The value that was white in slices with 16 bits a pixel.

    Raises:
        ValueError: There is no model or task of that name, or a manifest is damaged.
        FileNotFoundError: The slices have not been prepared.
    """
    recipe = _recipe(name, make_task(task), recipe)
    path = checkpoint_path(name, folder, task=task)
    entry = read_manifest(path.parent).get(name, {})
    data = _data_recipe(MayoDataset(data_dir() / "train", skip_bad=skip_bad, white=white))
    wanted = {"task": task, "recipe": asdict(recipe), "data": data}
    # Records did not name the task while there was one, nor what recipes did not say.
    entry = {"task": REFERENCE} | entry | {"recipe": with_defaults(entry.get("recipe", {}))}
    if run_path(path).exists() or any(entry.get(key) != wanted[key] for key in wanted):
        return False
    try:
        load_checkpoint(name, path)
    except (FileNotFoundError, ValueError):
        return False
    return True


def _recipe(name: str, problem: InverseProblem, recipe: Recipe | None) -> Recipe:
    if recipe is None:
        return recipe_for(name, problem)
    spec(name)
    check_type("recipe", recipe, Recipe, "Recipe(steps=300)")
    return recipe


def _test_scores(
    name: str,
    model: nn.Module,
    problem: InverseProblem,
    device: torch.device | str | None,
    test: MayoDataset,
) -> dict[str, float]:
    """Score the model on the test slices, with LPIPS where its features are at hand."""
    metrics = available_metrics()
    table = evaluate({name: model}, test, problem, metrics=metrics, device=device)
    return scores_entry(summarise(table).loc[name], len(test))


def scores_entry(scores: Mapping[str, float], images: int) -> dict[str, float]:
    """What the manifest records of a model's mean scores over so many images."""
    return {"images": images, **{key: round(value, 6) for key, value in scores.items()}}


def _data_recipe(slices: MayoDataset) -> dict[str, Any]:
    """What the manifest records of the training data: how it was generated, or which it is."""
    generated = read_generated(data_dir())
    if "train" not in generated.get("slices", {}):  # a reader's own, beside generated test slices
        generated = {"generated": False, "sha256": slices.files_sha256()}
        if slices.white is not None:
            generated["white"] = slices.white
    return {**generated, "train_slices": len(slices)}
