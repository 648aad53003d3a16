"""What the files around the loop see of a training run: its history, and what can be saved."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from ippy.problems import InverseProblem
from ippy.train.recipe import Recipe

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class History:
    """What a training run did.

    Attributes:
        step: The last step of each block.
        loss: Mean training loss of each block.
        seconds: Wall-clock time of the loop, without the validations.
        cpu_seconds: Time of the processor in it, the sum over its cores.
        images_per_second: Whole slices' worth of pixels that went through the model per second.
        device: What it ran on: processes where there were several, ``"cuda"``, ``"mps"``, or the
            CPU with its number of threads, and bf16 where that was used.
        validation: Step, seconds until then, and mean PSNR of the validation slices in dB, after
            every fifth block and the last step; empty without such slices.
    """

    step: list[int]
    loss: list[float]
    seconds: float
    cpu_seconds: float
    images_per_second: float
    device: str
    validation: list[tuple[int, float, float]]


class Clock:
    """Times work on the clock and of the processor, such as the steps of a run in all its sittings.

    Args:
        seconds: Wall-clock time of the earlier sittings.
        cpu_seconds: Time of the processor in them, the sum over its cores.
    """

    def __init__(self, seconds: float = 0.0, cpu_seconds: float = 0.0) -> None:
        self._start = time.perf_counter() - seconds
        self._cpu_start = time.process_time() - cpu_seconds

    @property
    def seconds(self) -> float:
        """Wall-clock time so far."""
        return time.perf_counter() - self._start

    @property
    def cpu_seconds(self) -> float:
        """Time of the processor so far, the sum over its cores."""
        return time.process_time() - self._cpu_start

    def read(self) -> dict[str, float]:
        """Return ``seconds`` and ``cpu_seconds`` so far, in tenths."""
        return {"seconds": round(self.seconds, 1), "cpu_seconds": round(self.cpu_seconds, 1)}

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let the clock stand still meanwhile."""
        start, cpu_start = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self._start += time.perf_counter() - start
            self._cpu_start += time.process_time() - cpu_start


class TrainingRun(Protocol):
    """A run of :mod:`ippy.train.loop`, as those who watch it, save it and restore it see it.

    Attributes:
        settings: The recipe's fields, and in place of its loss the one that is used.
        dataset: Slices (1, H, W), with a length.
        optimizers: All that move weights.
        losses: The loss of each step, (steps,).
        validations: Step, seconds and mean PSNR (dB) of each validation.
        done: Number of steps taken.
        moving: Whether some weights have taken a step that others have not.
        clock: Times the steps, without the validations.
    """

    engine: Accelerator
    model: nn.Module
    recipe: Recipe
    settings: Mapping[str, Any]
    dataset: Any
    problem: InverseProblem
    optimizers: Sequence[Optimizer]
    losses: Tensor
    validations: list[tuple[int, float, float]]
    done: int
    moving: bool
    clock: Clock

    @property
    def ends_block(self) -> bool:
        """Whether the last step was the last of a block of the history."""
