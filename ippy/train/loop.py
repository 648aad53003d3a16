"""The one training loop: any device, any number of processes, and it can be stopped at any time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from ippy.base.checks import check_batch, check_values
from ippy.problems import InverseProblem
from ippy.train.distributed import accelerator, on_main, shared
from ippy.train.interrupts import Stopped, held_back
from ippy.train.pairs import check_dataset
from ippy.train.recipe import RECIPES, Recipe, check_recipe
from ippy.train.resume import RunFile, RunState, check_target, run_path
from ippy.train.run import History, Run
from ippy.weights import save_checkpoint

__all__ = ["RECIPES", "History", "Recipe", "Stopped", "fit"]

SAVE_EVERY = 60.0  # seconds between two saved states, where an epoch takes longer


def fit(
    model: nn.Module,
    dataset: Dataset[Tensor],
    problem: InverseProblem,
    recipe: Recipe,
    *,
    device: torch.device | str | None = None,
    validation: Tensor | None = None,
    save_to: str | Path | None = None,
    resume: bool = False,
    record: Callable[[History], Mapping[str, Any]] | None = None,
    progress: bool = True,
) -> History:
    """Train a model, in place, to undo ``problem`` on the slices of ``dataset``.

    A slice is flipped at random, measured whole, and cropped afterwards. A model that knows
    positions (``patch_size``) gets crops on its patch grid, and is told where on it they lie.

    With ``save_to``, the state of the run is kept beside it, in ``UNet.run.pth`` for ``UNet.pth``:
    after each epoch, once a minute, and on Ctrl-C. It goes when the run is finished and the
    checkpoint written. Started by ``torchrun`` or ``accelerate launch``, the processes share each
    batch, and the first one writes.

    Args:
        model: Maps (B, 1, H, W) to (B, 1, H, W).
        dataset: Slices (1, H, W) in [0, 1], all of one shape.
        problem: Makes the measurements.
        recipe: Steps, batch, crop, optimiser and seed.
        device: Where to train; the best there is if None.
        validation: Slices (N, 1, H, W) in [0, 1] that are not trained on, to follow the progress
            with; nothing depends on their scores, and the clock stands still meanwhile.
        save_to: Checkpoint to write once the run is finished; an older one is kept until then.
        resume: Go on with the run whose state lies beside ``save_to``, if there is one; it ends as
            if it had never been stopped. Without it the run begins anew, and replaces such a state
            (the command line asks first).
        record: Called when the steps are done, by the process that writes: what else the manifest
            should tell.
        progress: Show a bar with the loss and the speed.

    Returns:
        The history of the run, of all its parts if it was stopped.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The data set is empty, its slices differ in shape, are off the scale or smaller
            than the crops; the crops don't fit the model's patches, or the batch the processes; the
            device can't be used, or ``save_to`` not be written; or the state belongs to another run
            or is damaged. Where a slice turns out to be bad in the middle, the state is saved.
        FloatingPointError: The loss is no longer finite.
        KeyboardInterrupt: After Ctrl-C or SIGTERM, once the state is saved.
        OSError: A file can't be written, such as on a full disk.
    """
    engine = accelerator(device)

    def check() -> None:
        _check_arguments(model, dataset, problem, recipe, engine.num_processes)
        if validation is not None:
            check_batch("validation", validation, 1, min_size=8)
            check_values("validation", validation, span=2, wait=True)
        if record is not None and not callable(record):
            raise TypeError(f"record is a {type(record).__name__}; expected a function, or None")
        if save_to is not None:
            check_target(save_to)
        elif resume:
            raise ValueError(
                "resume goes on with the run whose state lies beside save_to; give save_to"
            )

    on_main(engine, check)
    run = Run(engine, model, dataset, problem, recipe, validation)
    file = None
    if save_to is not None and run.engine.is_main_process:
        file = RunFile(save_to, asdict(recipe), dataset, problem)
    if resume:
        state = on_main(run.engine, lambda: file.load())
        if state is not None:
            run.restore(state, run_path(save_to))
    several = run.engine.num_processes > 1
    watch = nullcontext() if save_to is None else held_back(repeats=several)
    with watch as signalled:
        _take_all_steps(run, file, signalled, progress)
    model.eval()
    history = run.history()

    def finish() -> None:
        more = {} if record is None else record(history)
        entry = {"recipe": asdict(recipe), "history": asdict(history), **more}
        save_checkpoint(model, save_to, record=entry)
        file.remove()

    if save_to is not None:
        on_main(run.engine, finish)
    return history


def _take_all_steps(
    run: Run, file: RunFile | None, signalled: Callable[[], bool] | None, progress: bool
) -> None:
    """Take the steps that are left; watch the loss, save the state, and stop when asked to."""
    total, first = run.recipe.steps, run.done
    saved_at, seconds_before = time.perf_counter(), run.seconds
    shown = progress and run.engine.is_main_process
    with tqdm(total=total, initial=first, unit="step", disable=not shown) as bar:
        while run.done < total:
            try:
                run.step()
            except (ValueError, OSError) as error:  # such as a slice that went bad in the middle
                if file is not None and run.done > first:
                    _save(run, file)
                    error.add_note(file.last_good())
                raise
            bar.update()
            last = run.done == total
            if last or run.done % run.steps_per_point == 0:
                _check_losses(run, file)
                loss = run.losses[: run.done][-run.steps_per_point :].mean().item()
                rate = (run.done - first) * run.images_per_step / (run.seconds - seconds_before)
                bar.set_postfix_str(f"loss {loss:.2e}, {rate:.1f} images/s")
            if run.validates_now:
                _check_weights(run, file)
                run.validate()
            stopping = signalled is not None and run.agree_to_stop(signalled())
            pause = time.perf_counter() - saved_at
            if file is not None and (last or stopping or run.ends_epoch or pause > SAVE_EVERY):
                _save(run, file)
                saved_at = time.perf_counter()
            if stopping:
                raise Stopped(run.done, total)


def _save(run: Run, file: RunFile) -> None:
    """Save the state, if it is a good one."""
    _check_losses(run, file)
    file.save(_check_weights(run, file))


def _check_weights(run: Run, file: RunFile | None) -> RunState:
    """Return the state, if the weights are finite and the optimiser's moments too."""
    state = run.state()
    if not state.is_finite():
        what = f"the weights were no longer finite after step {run.done}"
        raise _diverged(run, file, run.done - 1, what)
    return state


def _check_losses(run: Run, file: RunFile | None) -> None:
    bad = (~run.losses[: run.done].isfinite()).nonzero()
    if len(bad):
        index = int(bad[0])
        came = run.losses[index].item()
        raise _diverged(run, file, index, f"the loss became {came} at step {index + 1}")


def _diverged(run: Run, file: RunFile | None, index: int, what: str) -> FloatingPointError:
    rate = run.recipe.lr * run.recipe.rate(index)
    kept = "nothing was saved" if file is None else file.last_good()
    return shared(
        FloatingPointError(
            f"{what} of {run.recipe.steps}, where the learning rate was {rate:.2e}; {kept}. "
            "Start again with a smaller rate."
        )
    )


def _check_arguments(
    model: nn.Module,
    dataset: Dataset[Tensor],
    problem: InverseProblem,
    recipe: Recipe,
    processes: int,
) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model is a {type(model).__name__}; expected a torch.nn.Module, e.g. build('UNet')"
        )
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ValueError(f"model, a {type(model).__name__}, has no weights that can be trained")
    if not isinstance(problem, InverseProblem):
        raise TypeError(
            f"problem is a {type(problem).__name__}; expected an InverseProblem, e.g. "
            "motion_deblurring()"
        )
    check_recipe(recipe)
    check_dataset(dataset, recipe.crop, getattr(model, "patch_size", 1))
    if recipe.batch_size % processes:
        raise ValueError(
            f"{processes} processes can't share a batch of {recipe.batch_size} slices equally. "
            "Start a number of processes that divides it, or choose a batch that is a multiple of "
            f"{processes} (a Recipe's batch_size, or `python -m ippy train --batch-size`)."
        )
