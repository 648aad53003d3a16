"""The state of a training run: what it needs to go on exactly where it stopped."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import Dataset

from ippy.base.checks import check_integer, check_number
from ippy.base.files import remove_leftovers, write_atomically
from ippy.base.images import check_same_shape
from ippy.base.paths import as_path
from ippy.problems import InverseProblem
from ippy.train.muon import Muon
from ippy.train.recipe import with_defaults
from ippy.train.run import Clock, TrainingRun
from ippy.weights import read_manifest
from ippy.weights.checkpoint import unpack
from ippy.weights.manifest import MANIFEST
from ippy.weights.state import not_finite

PROBES = 4  # slices that stand for the whole data set
UNREADABLE = (
    "{} can't be read as the state of a stopped run: it is cut short, damaged, or something else. "
    "Delete it, and training starts from the beginning."
)


def run_path(target: str | Path) -> Path:
    """Return where an unfinished run keeps its state: a file beside its target, for no other.

    ``UNet.pth`` has ``UNet.run.pth``; a name that ends otherwise, as ``lr0.001``, has
    ``lr0.001.run``.
    """
    path = Path(target)
    if path.suffix == ".pth":
        return path.with_suffix(".run.pth")
    return path.with_name(f"{path.name}.run")


def stopped_after(target: str | Path) -> int | None:
    """Return the step after which a run to ``target`` was stopped; None if there is none.

    Raises:
        ValueError: Its state is damaged.
    """
    path = run_path(target)
    if not path.is_file():
        return None
    try:
        return check_integer("step", unpack(path.read_bytes())["state"]["step"])
    except Exception as error:
        raise ValueError(UNREADABLE.format(path)) from error


def check_target(save_to: str | Path) -> None:
    """Check that a checkpoint, its manifest and a run's state can be written; its folder is made.

    Raises:
        ValueError: It is a folder or has the name of a run's state or of the manifest, its own
            folder can't be written, or the manifest is damaged.
    """
    path = as_path(save_to, "save_to")
    if path.name.endswith((".run.pth", ".run")):
        raise ValueError(
            f"save_to is {path}, and that name may be the state of another run; expected one that "
            "does not end in .run or .run.pth, e.g. UNet.pth"
        )
    if path.name == MANIFEST:
        raise ValueError(f"save_to is {path}, where the record goes; expected e.g. UNet.pth")
    for written in (path, run_path(path) if path.name else path):
        if written.is_dir():
            raise ValueError(
                f"save_to is {path}, and {written} is a folder; expected the file to write, e.g. "
                f"{path / 'UNet.pth'}"
            )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except (OSError, ValueError) as error:
        raise ValueError(
            f"save_to is {path}, and nothing can be written in its folder: {error}"
        ) from error
    read_manifest(path.parent)


@dataclass(frozen=True)
class RunState:
    """A run after some of its steps.

    The random numbers of a step and its learning rate follow from its number; neither has a state.

    Attributes:
        step: Number of finished steps.
        seconds: Wall-clock time spent on them.
        cpu_seconds: Time of the processor spent on them.
        losses: The loss of each, (step,).
        validations: Step, seconds and PSNR (dB) of each validation.
        model: State dict of the model.
        optimizers: State dicts of the optimisers.
    """

    step: int
    seconds: float
    cpu_seconds: float
    losses: Tensor
    validations: list[tuple[int, float, float]]
    model: Mapping[str, Tensor]
    optimizers: list[Mapping[str, Any]]

    @classmethod
    def of(cls, run: TrainingRun) -> RunState:
        """Return what a run needs to go on from here."""
        return cls(
            step=run.done,
            seconds=run.clock.seconds,
            cpu_seconds=run.clock.cpu_seconds,
            losses=run.losses[: run.done].clone(),
            validations=list(run.validations),
            model=run.model.state_dict(),
            optimizers=[optimizer.state_dict() for optimizer in run.optimizers],
        )

    def restore(self, run: TrainingRun, target: str | Path) -> None:
        """Let a run to ``target`` go on from this state.

        Raises:
            ValueError: It is the state of another model, or a number in it is not finite.
        """
        try:
            finite = self.is_finite(run.model)
        except Exception as error:  # as in RunFile.load: the file is anybody's
            raise ValueError(UNREADABLE.format(run_path(target))) from error
        if not finite:
            raise ValueError(UNREADABLE.format(run_path(target)))
        try:
            run.model.load_state_dict(self.model)
            for optimizer, saved in zip(run.optimizers, self.optimizers, strict=True):
                optimizer.load_state_dict(saved)
                _check_moments(optimizer)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{run_path(target)} is the state of another model than this "
                f"{type(run.model).__name__}. Give the one that it was started with, or delete the "
                "file, and training starts from the beginning."
            ) from error
        run.losses[: self.step] = self.losses.to(run.losses.device)
        run.done, run.clock = self.step, Clock(self.seconds, self.cpu_seconds)
        run.validations = list(self.validations)

    def is_finite(self, model: nn.Module) -> bool:
        """Say whether losses, a model's weights and the optimiser's moments are finite numbers.

        A buffer may hold infinity, as a mask does.
        """
        moments = [
            value
            for saved in self.optimizers
            for of_one in saved["state"].values()
            for value in of_one.values()
        ]
        tensors = [v for v in (self.losses, *moments) if torch.is_tensor(v)]
        finite = all(bool(v.isfinite().all()) for v in tensors)
        return finite and not not_finite(self.model, model)


class RunFile:
    """The file that an unfinished run leaves beside its target.

    It holds what identifies the run: the recipe, and a probe of the data and the problem.

    Args:
        target: The checkpoint that the run will write.
        recipe: The recipe's fields.
        dataset: What the run is trained on.
        problem: What it is trained to undo.

    Attributes:
        path: The file.
        saved: The step of the last state that this run saved or read; None before.
    """

    def __init__(
        self,
        target: str | Path,
        recipe: Mapping[str, Any],
        dataset: Dataset[Tensor],
        problem: InverseProblem,
    ) -> None:
        self.path = run_path(target)
        self.saved: int | None = None
        self._target = Path(target)
        self._run = {"recipe": dict(recipe), "slices": len(dataset)}
        self._run["probe"] = probe(dataset, problem)
        if self.path.parent.is_dir():
            remove_leftovers(self.path)

    def save(self, state: RunState) -> None:
        """Write the state, whole or not at all.

        Raises:
            OSError: It can't be written, such as on a full disk; the older state is whole.
        """
        content = {"run": self._run, "state": vars(state)}
        try:
            write_atomically(self.path, lambda file: torch.save(content, file))
        except OSError as error:
            raise OSError(
                f"the state after step {state.step} was not saved: {error}. Make room on the disk "
                f"and go on with resume; {self.last_good()}."
            ) from error
        self.saved = state.step

    def load(self) -> RunState | None:
        """Read the state, None if there is none; nothing in the file is executed.

        Raises:
            ValueError: The file is damaged, or belongs to another run.
        """
        if not self.path.is_file():
            return None
        try:
            content = unpack(self.path.read_bytes())
            run, state = content["run"], RunState(**content["state"])
            faults = self._differences(run)
            _check_state(state, run["recipe"]["steps"])
        except Exception as error:  # the file is anybody's: what it holds may be of any kind
            raise ValueError(UNREADABLE.format(self.path)) from error
        if faults:
            raise ValueError(
                f"{self.path} belongs to another run: {'; '.join(faults)}. Go on with what it was "
                "started with, or delete the file, and training starts from the beginning."
            )
        self.saved = state.step
        return state

    def remove(self) -> None:
        """Remove the file; the run is finished."""
        self.path.unlink(missing_ok=True)

    def last_good(self) -> str:
        """Say in words what there is to go back to."""
        if self.saved is not None:
            return f"the last good state, after step {self.saved}, is in {self.path}"
        if self._target.is_file():
            return f"the checkpoint of an earlier run, {self._target}, is as it was"
        return "nothing was saved"

    def _differences(self, run: Mapping[str, Any]) -> list[str]:
        """Say what distinguishes the run of a file from this one."""
        then, now = with_defaults(run["recipe"]), self._run["recipe"]
        faults = [
            f"{name} was {then.get(name)} and is now {now.get(name)}"
            for name in sorted(then.keys() | now.keys())
            if then.get(name) != now.get(name)
        ]
        if run["slices"] != self._run["slices"]:
            faults.append(f"there were {run['slices']} slices and are now {self._run['slices']}")
        elif not _close(run["probe"], self._run["probe"]):
            faults.append("the slices, or what the problem makes of them, have changed")
        return faults


def probe(dataset: Dataset[Tensor], problem: InverseProblem) -> Tensor:
    """Return a few numbers that change when the data or the problem changes.

    A few slices, spread over the data set, are measured with fixed noise; every eighth pixel of
    every eighth row is kept. Machines agree on them to rounding. Of a family a member is drawn.
    """
    last = len(dataset) - 1
    chosen = sorted({round(k * last / (PROBES - 1)) for k in range(PROBES)})
    slices = [dataset[index].to("cpu", torch.float32) for index in chosen]
    for index, x in zip(chosen, slices, strict=True):
        check_same_shape(index, x, slices[0].shape)
    slices = torch.stack(slices)
    noise = torch.Generator().manual_seed(0)
    member = problem.draw(np.random.default_rng(0))
    return member.measure(slices, noise)[..., ::8, ::8].clone()


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.allclose(b, rtol=0, atol=1e-4)


def _check_moments(optimizer: Optimizer) -> None:
    """Raise an exception of any kind if what was loaded does not fit the weights."""
    parts = {"momentum"} if isinstance(optimizer, Muon) else {"step", "exp_avg", "exp_avg_sq"}
    for weight, state in optimizer.state.items():
        shapes = {part: value.shape for part, value in state.items()}
        if shapes != {part: () if part == "step" else weight.shape for part in parts}:
            raise ValueError(f"a weight {tuple(weight.shape)} has the moments {shapes}")


def _check_state(state: RunState, steps: int) -> None:
    """Raise an exception of any kind if the parts of a state don't agree."""
    check_integer("step", state.step, least=1, most=steps)
    check_number("seconds", state.seconds, least=0, most=float("inf"))
    check_number("cpu_seconds", state.cpu_seconds, least=0, most=float("inf"))
    for step, seconds, score in state.validations:
        check_integer("step", step, least=1, most=state.step)
        check_number("seconds", seconds, least=0, most=state.seconds + 1)
        check_number("score", score, least=-float("inf"), most=float("inf"))
    if len(state.losses) != state.step or state.losses.ndim != 1:
        raise ValueError("there is not one loss a step")
