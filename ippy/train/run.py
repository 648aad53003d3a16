"""What the files around the loop see of a training run: its history, and what can be saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        seconds_before: Time spent on them by the run that this one goes on with.
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
    seconds_before: float

    @property
    def seconds(self) -> float:
        """Time spent on the steps so far."""

    @property
    def ends_block(self) -> bool:
        """Whether the last step was the last of a block of the history."""
