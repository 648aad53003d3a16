"""The one training loop: any device, any number of processes, and it can be stopped at any time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from ippy.checkpoints import save_checkpoint
from ippy.checks import check_batch
from ippy.device import accelerator, memory_format, on_main, shared
from ippy.interrupts import Stopped, held_back
from ippy.metrics import psnr
from ippy.muon import Muon
from ippy.pairs import TrainingPairs, check_dataset
from ippy.problem import InverseProblem
from ippy.recipes import LOSSES, RECIPES, Recipe, check_recipe
from ippy.run_state import RunFile, RunState, check_target, run_path

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["RECIPES", "History", "Recipe", "Stopped", "fit"]

HISTORY_POINTS = 100  # a history holds the mean loss of this many equal blocks of steps
BLOCKS_PER_CHECK = 5  # blocks between two looks at the validation slices
SAVE_EVERY = 60.0  # seconds between two saved states, where an epoch takes longer
AGREE_EVERY = 10  # steps after which several processes ask one another whether to stop


@dataclass(frozen=True)
class History:
    """What a training run did.

    Attributes:
        step: The last step of each block.
        loss: Mean training loss of each block.
        seconds: Wall-clock time of the steps.
        images_per_second: Whole slices' worth of pixels that went through the model per second.
        device: What it ran on: processes where there were several, ``"cuda"``, ``"mps"``, or the
            CPU with its number of threads, and bf16 where that was used.
        validation: Step, seconds of training until then, and mean PSNR of the validation slices in
            dB, twenty times; empty without such slices.
    """

    step: list[int]
    loss: list[float]
    seconds: float
    images_per_second: float
    device: str
    validation: list[tuple[int, float, float]]


class _Objective(nn.Module):
    """The loss of one batch. Accelerate wraps this module, so the model itself stays as it was."""

    def __init__(self, model: nn.Module, loss: nn.Module) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        self.knows_positions = hasattr(model, "patch_size")

    def forward(self, x: Tensor, y: Tensor, origin: Tensor) -> Tensor:
        where = {"origin": origin} if self.knows_positions else {}
        return self.loss(self.model(y, **where).float(), x)


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
            check_batch("validation", validation, 1)
        if record is not None and not callable(record):
            raise TypeError(f"record is a {type(record).__name__}; expected a function, or None")
        if save_to is not None:
            check_target(save_to)
        elif resume:
            raise ValueError(
                "resume goes on with the run whose state lies beside save_to; give save_to"
            )

    on_main(engine, check)
    run = _Run(engine, model, dataset, problem, recipe, validation)
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


class _Run:
    """A model, its optimiser, and how far they have come."""

    def __init__(
        self,
        engine: Accelerator,
        model: nn.Module,
        dataset: Dataset[Tensor],
        problem: InverseProblem,
        recipe: Recipe,
        validation: Tensor | None,
    ) -> None:
        self.share = recipe.batch_size // engine.num_processes
        self.engine, self.model, self.recipe = engine, model, recipe
        model.to(engine.device, memory_format=memory_format(engine.device)).train()
        optimizer = Muon(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
        objective = _Objective(model, LOSSES[recipe.loss]())
        self.objective, self.optimizer = engine.prepare(objective, optimizer)
        self.pairs = TrainingPairs(
            dataset,
            problem,
            crop=recipe.crop,
            seed=recipe.seed,
            grid=getattr(model, "patch_size", 1),
            device=engine.device,
        )
        self.validation, self.checks = None, []
        if validation is not None:
            noise = torch.Generator().manual_seed(recipe.seed)
            self.validation = validation, problem.measure(validation.cpu(), noise)
        self.slices = len(dataset)
        self.images_per_step = recipe.batch_size * recipe.crop**2 / math.prod(self.pairs.shape)
        self.steps_per_point = max(1, recipe.steps // HISTORY_POINTS)
        self.losses = torch.zeros(recipe.steps, device=engine.device)  # read once in a while only
        self.done = 0  # steps, by this run and the one that it goes on with
        self.seconds_before, self.start = 0.0, time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.start

    @property
    def ends_epoch(self) -> bool:
        """Whether the last step took the last slice of an epoch."""
        return self.done * self.recipe.batch_size % self.slices < self.recipe.batch_size

    def step(self) -> None:
        """Take one step; each process makes its own share of the batch."""
        first = self.done * self.recipe.batch_size + self.engine.process_index * self.share
        batch = self.pairs.batch(range(first, first + self.share))
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * self.recipe.rate(self.done)
        loss = self.objective(*batch)
        self.optimizer.zero_grad()
        self.engine.backward(loss)
        self.engine.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.losses[self.done] = self.engine.reduce(loss.detach(), "mean")
        self.done += 1

    @torch.no_grad()
    def check(self) -> None:
        """Score the validation slices, one by one, with the clock stopped."""
        start, device = time.perf_counter(), self.engine.device
        self.model.eval()
        scores = [
            psnr(self.model(y[None].to(device)).float().clamp(0, 1), x[None].to(device))
            for x, y in zip(*self.validation, strict=True)
        ]
        self.model.train()
        self.start += time.perf_counter() - start
        mean = torch.cat(scores).mean().item()
        self.checks.append((self.done, round(self.seconds, 1), round(mean, 3)))

    def agree_to_stop(self, signalled: bool) -> bool:
        """Say whether to stop here, which all processes must do after the same step."""
        if self.engine.num_processes == 1:
            return signalled
        if self.done % AGREE_EVERY and self.done < self.recipe.steps:
            return False
        if signalled:
            self.engine.set_trigger()
        return bool(self.engine.check_trigger())

    def state(self) -> RunState:
        return RunState(
            step=self.done,
            seconds=self.seconds,
            losses=self.losses[: self.done].clone(),
            checks=list(self.checks),
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
        )

    def restore(self, state: RunState, path: Path) -> None:
        """Go on from the state that the file ``path`` held."""
        try:
            self.model.load_state_dict(state.model)
            self.optimizer.load_state_dict(state.optimizer)
            self.optimizer.optimizer.check_state()
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is the state of another model than this {type(self.model).__name__}. "
                "Give the one that it was started with, or delete the file, and training starts "
                "from the beginning."
            ) from error
        self.losses[: state.step] = state.losses.to(self.losses.device)
        self.done, self.seconds_before = state.step, state.seconds
        self.checks = list(state.checks)

    def history(self) -> History:
        every, steps = self.steps_per_point, self.recipe.steps
        ends = [*range(every, steps, every), steps]
        means = [part.mean().item() for part in self.losses.cpu().split(every)]
        ran_on = self.engine.device.type
        if ran_on == "cpu":
            ran_on = f"cpu, threads: {torch.get_num_threads()}"
        if self.engine.num_processes > 1:
            ran_on = f"{self.engine.num_processes} processes, {ran_on}"
        if self.engine.mixed_precision == "bf16":
            ran_on += ", bf16"
        rate = steps * self.images_per_step / self.seconds
        seconds = round(self.seconds, 1)
        return History(ends, means, seconds, round(rate, 2), ran_on, list(self.checks))


def _take_all_steps(
    run: _Run, file: RunFile | None, signalled: Callable[[], bool] | None, progress: bool
) -> None:
    """Take the steps that are left; watch the loss, save the state, and stop when asked to."""
    total, first = run.recipe.steps, run.done
    saved_at = start = time.perf_counter()
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
                rate = (run.done - first) * run.images_per_step / (time.perf_counter() - start)
                bar.set_postfix_str(f"loss {loss:.2e}, {rate:.1f} images/s")
            if run.validation is not None and (
                last or run.done % (BLOCKS_PER_CHECK * run.steps_per_point) == 0
            ):
                run.check()
            stopping = signalled is not None and run.agree_to_stop(signalled())
            pause = time.perf_counter() - saved_at
            if file is not None and (last or stopping or run.ends_epoch or pause > SAVE_EVERY):
                _save(run, file)
                saved_at = time.perf_counter()
            if stopping:
                raise Stopped(run.done, total)


def _save(run: _Run, file: RunFile) -> None:
    """Save the state, if it is a good one."""
    _check_losses(run, file)
    state = run.state()
    if not state.is_finite():
        what = f"the weights were no longer finite after step {run.done}"
        raise _diverged(run, file, run.done - 1, what)
    file.save(state)


def _check_losses(run: _Run, file: RunFile | None) -> None:
    bad = (~run.losses[: run.done].isfinite()).nonzero()
    if len(bad):
        index = int(bad[0])
        came = run.losses[index].item()
        raise _diverged(run, file, index, f"the loss became {came} at step {index + 1}")


def _diverged(run: _Run, file: RunFile | None, index: int, what: str) -> FloatingPointError:
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
