"""How a run can end before its last step: it is stopped, or it diverges."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(KeyboardInterrupt):
    """A run was stopped by Ctrl-C or SIGTERM, and its state is saved.

    All processes of a run raise it, after the same step: it is ``shared``.
    """

    shared = True

    def __init__(self, step: int, steps: int) -> None:
        super().__init__(f"stopped after step {step} of {steps}; resume=True goes on from there")
        self.step, self.steps = step, steps


class Diverged(FloatingPointError):
    """The loss or a weight of a run is no longer finite.

    Attributes:
        event: What became of it and when, such as ``"the loss became nan at step 3 of 60"``.
    """

    def __init__(self, event: str, advice: str) -> None:
        super().__init__(event, advice)
        self.event = event

    def __str__(self) -> str:
        return "".join(self.args)


@contextmanager
def held_back(*, repeats: bool = False) -> Iterator[Callable[[], bool]]:
    """Hold back Ctrl-C (and SIGTERM, a scheduler's notice to quit) within a ``with`` block.

    Args:
        repeats: Hold back the second signal too. Otherwise it acts at once, so that a program
            that hangs can be stopped; a launcher, though, sends its processes a second one.

    Yields:
        A function that says whether there was a signal. The program then stops when it is ready.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # signals go to the main thread
        return
    signalled = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal signalled
        signalled = True
        if not repeats:
            signal.signal(number, earlier[number])

    earlier = {  # None stands for a handler that Python did not set, and can't set again
        number: signal.getsignal(number) or signal.SIG_DFL
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    for number in earlier:
        signal.signal(number, note)
    try:
        yield lambda: signalled
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
