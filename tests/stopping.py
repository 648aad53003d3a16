"""Stopping a training run as its user would, in the middle of a step."""

import signal

import pytest

from ippy.train import loop as training


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGINT) -> None:
    """Send this process a signal in the middle of a step; the run ends after it."""
    plain = training.Run.step

    def raise_then_step(run: training.Run) -> None:
        if run.done == step - 1:
            signal.raise_signal(number)
        plain(run)

    monkeypatch.setattr(training.Run, "step", raise_then_step)
