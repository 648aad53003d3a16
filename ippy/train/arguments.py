"""The door of ``fit``: what it was given is checked once, before anything is trained or written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ippy.base.checks import check_type
from ippy.base.images import check_batch, check_values
from ippy.models.base import unwrap
from ippy.problems import InverseProblem
from ippy.train.distributed import on_main
from ippy.train.pairs import check_dataset, check_task
from ippy.train.recipe import Recipe
from ippy.train.resume import check_target

if TYPE_CHECKING:
    from accelerate import Accelerator


def check_arguments(
    engine: Accelerator,
    model: nn.Module,
    dataset: Any,
    problem: InverseProblem,
    recipe: Recipe,
    loss: nn.Module | None,
    validation: Tensor | None,
    save_to: str | Path | None,
    resume: bool,
    record: Callable[..., Mapping[str, Any]] | None,
) -> None:
    """Check the arguments of :func:`ippy.train.fit`, in one process for all.

    Raises:
        ValueError: One can't be used, or not with the others; the folder of ``save_to`` may have
            been made by then, and nothing else.
    """

    def check() -> None:
        _check_model(model)
        check_type("problem", problem, InverseProblem, "motion_deblurring()")
        check_type("recipe", recipe, Recipe, "Recipe(steps=300)")
        check_dataset(dataset, recipe.crop, getattr(unwrap(model), "patch_size", 1))
        check_task(problem, tuple(dataset[0].shape), recipe.crop)
        _check_share(recipe.batch_size, engine.num_processes)
        if validation is not None:
            check_batch("validation", validation, 1, min_size=8)
            check_values("validation", validation, span=2, wait=True)
            check_task(problem, tuple(validation.shape[1:]), None)
        if loss is not None:
            check_type("loss", loss, nn.Module, "SSIMLoss()")
        if record is not None:
            check_type("record", record, Callable, "lambda history: {'note': 'second try'}")
        if save_to is not None:
            check_target(save_to)
        elif resume:
            raise ValueError(
                "resume goes on with the run whose state lies beside save_to; give save_to"
            )

    on_main(engine, check)


def _check_model(model: Any) -> None:
    check_type("model", model, nn.Module, "build('UNet')")
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    what = f"model, a {type(unwrap(model)).__name__},"
    if not trained:
        raise ValueError(f"{what} has no weights that can be trained")
    for weight in model.parameters():
        if weight.is_inference():
            raise ValueError(
                f"{what} was made under torch.inference_mode(), so its weights can't change; build "
                "it anew outside"
            )
        if weight.is_meta:
            raise ValueError(f"{what} is on the device 'meta' and has no values; build it on 'cpu'")
        if weight.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"{what} has {weight.dtype} weights; expected float32: model.float()")


def _check_share(batch_size: int, processes: int) -> None:
    if batch_size % processes:
        raise ValueError(
            f"{processes} processes can't share a batch of {batch_size} slices equally. "
            "Start a number of processes that divides it, or choose a batch that is a multiple of "
            f"{processes} (a Recipe's batch_size, or `python -m ippy train --batch-size`)."
        )
