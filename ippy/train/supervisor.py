"""What watches over a run: its state is saved, divergence noticed, Ctrl-C heard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ippy.train.distributed import agree_to_stop, on_main, shared
from ippy.train.interrupts import Diverged, Stopped, held_back
from ippy.train.resume import RunFile, RunState
from ippy.train.run import History, TrainingRun
from ippy.weights import save_checkpoint

SAVE_EVERY = 60.0  # seconds between two saved states


class Supervisor:
    """What the loop calls once a step, so that nothing good is lost.

    Without ``save_to`` it saves nothing, and Ctrl-C acts as everywhere.

    Args:
        run: The run; its state is restored if it goes on with another.
        save_to: Checkpoint that the run will write, or None.
        resume: Go on with the run whose state lies beside it, if there is one.

    Raises:
        ValueError: That state is damaged, or belongs to another run.
    """

    def __init__(self, run: TrainingRun, save_to: str | Path | None, *, resume: bool) -> None:
        self._run, self._save_to = run, save_to
        self._file: RunFile | None = None  # of the main process, which writes
        self._signalled: Callable[[], bool] = lambda: False
        if save_to is not None and run.engine.is_main_process:
            self._file = RunFile(save_to, run.settings, run.dataset, run.problem)
        if resume:
            state = on_main(run.engine, lambda: self._file.load())
            if state is not None:
                state.restore(run, save_to)
        self._saved_at, self._saved_step = time.monotonic(), run.done

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hold back Ctrl-C within a ``with`` block, and save the state if something fails there."""
        several = self._run.engine.num_processes > 1
        held = nullcontext(self._signalled) if self._save_to is None else held_back(repeats=several)
        with held as self._signalled:
            try:
                yield
            except FloatingPointError:
                raise
            except Exception as error:  # such as a slice that went bad in the middle
                self._check_finite()
                whole = not self._run.moving and self._run.done > self._saved_step
                if self._file is not None and whole:
                    self._save()
                    error.add_note(self._file.last_good())
                raise

    def after_step(self) -> None:
        """Save the state once a minute, after the last step, and before the run is stopped.

        Raises:
            Diverged: A loss or a weight is no longer finite.
            Stopped: Ctrl-C or SIGTERM was heard.
            OSError: The state can't be saved, such as on a full disk.
        """
        run = self._run
        last = run.done == run.recipe.steps
        if last:
            self._check_finite()
        elif run.ends_block:
            self._check_losses()
        stopping = agree_to_stop(run.engine, self._signalled(), run.done, run.recipe.steps)
        due = time.monotonic() - self._saved_at >= SAVE_EVERY
        if self._file is not None and (last or stopping or due):
            self._save()
        if stopping:
            raise Stopped(run.done, run.recipe.steps)

    def finish(
        self, history: History, record: Callable[[History], Mapping[str, Any]] | None
    ) -> None:
        """Write the checkpoint and its entry in the manifest; the state has served.

        Args:
            history: What the run did.
            record: Returns what else the manifest should hold.
        """
        if self._save_to is None:
            return

        def write() -> None:
            more = {} if record is None else record(history)
            entry = {"recipe": self._run.settings, "history": asdict(history), **more}
            save_checkpoint(self._run.model, self._save_to, record=entry)
            self._file.remove()

        on_main(self._run.engine, write)

    def _save(self) -> None:
        """Save the state, if it is a good one."""
        self._saved_at, self._saved_step = time.monotonic(), self._run.done
        self._file.save(self._check_finite())

    def _check_finite(self) -> RunState:
        """Return the state, if losses, weights and the optimisers' moments are finite."""
        self._check_losses()
        state = RunState.of(self._run)
        if not state.is_finite(self._run.model):
            what = f"the weights were no longer finite after step {state.step}"
            raise self._diverged(state.step - 1, what)
        return state

    def _check_losses(self) -> None:
        losses = self._run.losses[: self._run.done]
        bad = (~losses.isfinite()).nonzero()
        if len(bad):
            index = int(bad[0])
            what = f"the loss became {losses[index].item()} at step {index + 1}"
            raise self._diverged(index, what)

    def _diverged(self, index: int, what: str) -> Diverged:
        recipe = self._run.recipe
        rate = recipe.lr * recipe.rate(index)
        kept = "nothing was saved" if self._file is None else self._file.last_good()
        advice = (
            f", where the learning rate was {rate:.2e}; {kept}. Start again with a smaller rate."
        )
        return shared(Diverged(f"{what} of {recipe.steps}", advice))
