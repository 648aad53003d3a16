"""A training run: a model, its optimiser, its pairs, and how far they have come."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ippy.base.device import memory_format
from ippy.problems import InverseProblem
from ippy.quality import psnr
from ippy.train.muon import Muon
from ippy.train.pairs import TrainingPairs
from ippy.train.recipe import LOSSES, Recipe
from ippy.train.resume import RunState

if TYPE_CHECKING:
    from accelerate import Accelerator

HISTORY_POINTS = 100  # a history holds the mean loss of this many equal blocks of steps
BLOCKS_PER_LOOK = 5  # blocks between two looks at the validation slices
AGREE_EVERY = 10  # steps after which several processes ask one another whether to stop


@dataclass(frozen=True)
class History:
    """What a training run did.

    Attributes:
        step: The last step of each block.
        loss: Mean training loss of each block.
        seconds: Wall-clock time of the loop, without the looks at the validation slices.
        images_per_second: Whole slices' worth of pixels that went through the model per second.
        device: What it ran on: processes where there were several, ``"cuda"``, ``"mps"``, or the
            CPU with its number of threads, and bf16 where that was used.
        validation: Step, seconds until then, and mean PSNR of the validation slices in dB, after
            every fifth block and the last step; empty without such slices.
    """

    step: list[int]
    loss: list[float]
    seconds: float
    images_per_second: float
    device: str
    validation: list[tuple[int, float, float]]


class Objective(nn.Module):
    """The loss of one batch. Accelerate wraps this module, so the model itself stays as it was."""

    def __init__(self, model: nn.Module, loss: nn.Module) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        self.knows_positions = hasattr(model, "patch_size")

    def forward(self, x: Tensor, y: Tensor, origin: Tensor) -> Tensor:
        """Return the loss of truth x and measurement y, (B, 1, h, w), crops at ``origin``."""
        where = {"origin": origin} if self.knows_positions else {}
        return self.loss(self.model(y, **where).float(), x)


class Run:
    """A model, its optimiser, and how far they have come.

    Args:
        engine: Device, precision and processes.
        model: Trained in place.
        dataset: Slices (1, H, W) in [0, 1].
        problem: Makes the measurements.
        recipe: How to train.
        validation: Slices (N, 1, H, W) to follow the progress with, or None.
    """

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
        objective = Objective(model, LOSSES[recipe.loss]())
        self.objective, self.optimizer = engine.prepare(objective, optimizer)
        self.pairs = TrainingPairs(
            dataset,
            problem,
            crop=recipe.crop,
            seed=recipe.seed,
            grid=getattr(model, "patch_size", 1),
            device=engine.device,
        )
        self.followed, self.validation = None, []
        if validation is not None:
            x, noise = validation.float().cpu(), torch.Generator().manual_seed(recipe.seed)
            self.followed = x, problem.measure(x, noise)
        self.slices = len(dataset)
        self.images_per_step = recipe.batch_size * recipe.crop**2 / math.prod(self.pairs.shape)
        self.steps_per_point = max(1, recipe.steps // HISTORY_POINTS)
        self.losses = torch.zeros(recipe.steps, device=engine.device)  # read once in a while only
        self.done = 0  # steps, by this run and the one that it goes on with
        self.seconds_before, self.start = 0.0, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time spent on the steps so far."""
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

    @property
    def validates_now(self) -> bool:
        """Whether it is time to look at the validation slices, if there are any."""
        due = self.done % (BLOCKS_PER_LOOK * self.steps_per_point) == 0
        return self.followed is not None and (due or self.done == self.recipe.steps)

    @torch.no_grad()
    def validate(self) -> None:
        """Score the validation slices, one by one, with the clock stopped."""
        start, device = time.perf_counter(), self.engine.device
        self.model.eval()
        scores = [
            psnr(self.model(y[None].to(device)).float().clamp(0, 1), x[None].to(device))
            for x, y in zip(*self.followed, strict=True)
        ]
        self.model.train()
        self.start += time.perf_counter() - start
        mean = torch.cat(scores).mean().item()
        self.validation.append((self.done, round(self.seconds, 1), round(mean, 3)))

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
        """Return what is needed to go on from here."""
        return RunState(
            step=self.done,
            seconds=self.seconds,
            losses=self.losses[: self.done].clone(),
            validation=list(self.validation),
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
        self.validation = list(state.validation)

    def history(self) -> History:
        """Return what was done, all steps taken."""
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
        return History(ends, means, seconds, round(rate, 2), ran_on, list(self.validation))
