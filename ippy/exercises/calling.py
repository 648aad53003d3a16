"""Call a reader's function, whatever it does, and say in plain words what went wrong."""

from __future__ import annotations

import ctypes
import dis
import inspect
import linecache
import textwrap
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ippy.exercises.core import Unanswered, Unusable, Wrong
from ippy.exercises.reading import type_name
from ippy.exercises.session import plain_session

TIME_LIMIT = 10.0  # seconds for one call; the inputs are small, a right answer takes milliseconds


def call(answer: Callable[..., Any], **inputs: Any) -> Any:
    """Call an answer, by position, and return what it returns.

    Args:
        answer: The reader's function.
        inputs: What it is given, by the names that the question uses.

    Raises:
        Unanswered: It is still the stub.
        Unusable: It is no function, or takes other arguments.
        Wrong: It stops with an error, does not come back, returns nothing or changes its inputs.
    """
    if answer is Ellipsis or answer is None:
        raise Unanswered
    expected = f"({', '.join(inputs)})"
    if not callable(answer):
        raise Unusable(
            f"This is {_kind(answer)}; expected a function that takes `{expected}`. Hand over "
            "its name, without calling it."
        )
    # Clones, so that the originals stay; a clone hands its gradient on to its original.
    given = [v.clone() if isinstance(v, Tensor) else v for v in inputs.values()]
    try:
        inspect.signature(answer).bind(*given)
    except ValueError:
        pass  # some of PyTorch's own functions don't say what they take
    except TypeError:
        raise Unusable(
            f"The function takes `{inspect.signature(answer)}`; it is called with `{expected}`."
        ) from None
    try:
        with plain_session(), _time_limit(TIME_LIMIT):  # what it changes stays its own
            result = answer(*given)
    except Unanswered:
        raise Unanswered from None
    except _TooLong:
        raise Wrong(
            f"The function was stopped: it had not come back after {TIME_LIMIT:g} seconds. "
            "Is there a loop that never ends?"
        ) from None
    except (Exception, SystemExit) as error:
        if isinstance(error, NotImplementedError) and _raised_by(answer, error):
            raise Unanswered from None
        raise Wrong(_explain(answer, error, inputs)) from None
    if result is Ellipsis or (result is None and _is_empty(answer)):
        raise Unanswered
    if result is None:
        raise Wrong("The function returns None. Is the `return` missing?")
    for (name, before), after in zip(inputs.items(), given, strict=True):
        if isinstance(before, Tensor) and not torch.equal(before, after):
            raise Wrong(
                f"The function changes its input `{name}` in place, so whoever called it loses "
                f"`{name}`. Watch for `+=`, `{name}[...] = ...` and methods that end in `_`."
            )
    return result


def _kind(value: Any) -> str:
    return "a tensor" if isinstance(value, Tensor) else f"of type `{type_name(value)}`"


def _is_empty(answer: Callable[..., Any]) -> bool:
    """Whether a function does nothing but return: ``def f(x): ...``."""
    code = getattr(answer, "__code__", None)
    idle = ("RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "COPY_FREE_VARS")
    return code is not None and all(step.opname in idle for step in dis.get_instructions(code))


def _raised_by(answer: Callable[..., Any], error: BaseException) -> bool:
    """Whether a function's own ``raise`` is where an error comes from, as in a stub."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    code, place = frame.f_code, frame.f_lasti
    own = code is getattr(answer, "__code__", None)
    return own and code.co_code[place] == dis.opmap["RAISE_VARARGS"]


def said(error: BaseException) -> str:
    """Return an error's own words in one line, without PyTorch's advice on how to look further."""
    words = " ".join(str(error).strip().splitlines()[:2]).split(" Hint:")[0]
    return textwrap.shorten(words, 300, placeholder=" …").rstrip(".")


def _explain(answer: Callable[..., Any], error: BaseException, inputs: dict[str, Any]) -> str:
    """Say at which line of the reader's the error came, what it says, and with which inputs."""
    file = getattr(getattr(answer, "__code__", None), "co_filename", None)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    line = linecache.getline(file, frames[-1].lineno or 0).strip() if frames and file else ""
    where = f"at the line `{line}`, with" if line else "with"
    message = f": {words}" if (words := said(error)) else ""
    shapes = [
        f"`{name}` of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"`{name}`"
        for name, value in inputs.items()
    ]
    given = f"(It was given {_list(shapes)}.)"
    return f"The function stops {where} {type(error).__name__}{message}. {given}"


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


class _TooLong(BaseException):
    """Not an ``Exception``, so that a reader's ``except Exception`` lets it through."""


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise ``_TooLong`` in this thread once the time is over.

    A timer asks the interpreter to raise it, which works on every platform and in every thread, at
    the next line of Python; a call that sleeps in C is stopped only when it comes back.
    """
    thread = ctypes.c_ulong(threading.get_ident())
    lock, ended = threading.Lock(), threading.Event()

    def stop() -> None:
        with lock:
            if not ended.is_set():
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(_TooLong))

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:  # the timer has raised, or never will
            ended.set()
        timer.cancel()
