"""What the public functions ask of their arguments, in one place and in the same words.

A wrong kind of thing is a ``TypeError``, a wrong value a ``ValueError``; the message starts with
the name of the argument, and says what came and what was expected.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LARGEST = 1e9
"""Largest magnitude of a pixel or a kernel's entry: float32 holds its fourth power."""

LARGEST_COUNT = 4096
"""Largest number of channels, filters or the like: more is a slip, and would fill the memory."""

LARGEST_WINDOW = 255
"""Largest side of a kernel or a window in pixels; sums tap by tap take too long beyond it."""

SPOKEN: dict[type, str] = {
    nn.Module: "torch.nn.Module",
    Tensor: "torch.Tensor",
    torch.Generator: "torch.Generator",
    Mapping: "dict",
    Sequence: "list",
    Callable: "function",
    PathLike: "pathlib.Path",
}
"""What a message calls a class whose own name would not help."""


def check_type(name: str, value: Any, cls: type | tuple[type, ...], example: str) -> None:
    """Check that ``value`` is an instance of ``cls``, or of one of several classes.

    Args:
        name: What the caller calls it.
        value: The argument.
        cls: What it should be.
        example: An expression that gives one, as the reader would write it.
    """
    if not isinstance(value, cls):
        classes = cls if isinstance(cls, tuple) else (cls,)
        wanted = " or ".join(_article(SPOKEN.get(one, one.__name__)) for one in classes)
        raise TypeError(f"{name} is {_kind(value)}; expected {wanted}, e.g. {example}")


def check_indexed(name: str, value: Any, expected: str) -> None:
    """Check that images can be taken from ``value`` by number: it has a length and items.

    Args:
        name: What the caller calls it.
        value: The argument; texts, mappings and numpy's arrays are none of its kind.
        expected: What it should be, with an expression that gives one.
    """
    indexed = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    if not indexed or isinstance(value, (str, bytes, Mapping, np.ndarray)):
        raise TypeError(f"{name} is {_kind(value)}; expected {expected}")


LARGEST_INTEGER = 2**63 - 1


def check_integer(name: str, value: Any, *, least: int = 0, most: int = LARGEST_INTEGER) -> int:
    """Return ``value``, a whole number from ``least`` to ``most``, as an int.

    Raises:
        TypeError: It is of another type; 9.0 and True are.
        ValueError: It is out of range.
    """
    value = _plain(value)
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} is {_typed(value)}; expected a whole number, an int")
    if not least <= value <= most:
        or_more = most == LARGEST_INTEGER and value < least
        expected = f"{least} or more" if or_more else f"{least} to {most}"
        raise ValueError(f"{name} is {_shown(value)}; expected {expected}")
    return int(value)


def check_counts(**values: int) -> None:
    """Check numbers of things, by name: whole numbers from 1 to :data:`LARGEST_COUNT`."""
    for name, value in values.items():
        check_integer(name, value, least=1, most=LARGEST_COUNT)


def check_sides(name: str, value: Any) -> None:
    """Check a pair of counts, such as the height and width of an image or of a grid of patches.

    Raises:
        TypeError: It is no sequence of whole numbers.
        ValueError: There are not two, or one is out of range.
    """
    check_type(name, value, Sequence, "(32, 32)")
    if len(value) != 2:
        raise ValueError(f"{name} has {len(value)} entries; expected a pair, e.g. (32, 32)")
    check_counts(**{f"{name}[0]": value[0], f"{name}[1]": value[1]})


def check_window(name: str, value: Any) -> None:
    """Check the side of a kernel or window, in pixels: odd, from 1 to :data:`LARGEST_WINDOW`.

    Raises:
        TypeError: It is not a whole number.
        ValueError: It is even or out of range.
    """
    check_integer(name, value, least=1, most=LARGEST_WINDOW)
    if value % 2 == 0:
        raise ValueError(f"{name} is {value}; expected an odd number, which has a centre: e.g. 3")


def check_number(name: str, value: Any, *, least: float, most: float) -> float:
    """Return ``value``, a real number from ``least`` to ``most``, as a float.

    Raises:
        TypeError: It is of another type; a tensor without axes is a number, True is not.
        ValueError: It is NaN or out of range.
    """
    value = _plain(value)
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} is {_typed(value)}; expected a number")
    if not least <= value <= most:
        raise ValueError(f"{name} is {_shown(value)}; expected a number from {least} to {most}")
    return float(value)


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> Any:
    """Return ``value``, one of ``choices``, which are all of one type; NumPy's types count too.

    Raises:
        ValueError: It is not.
    """
    plain = _plain(value)
    if type(plain) is not type(choices[0]) or plain not in choices:
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"{name} is {_shown(value)}; expected one of {listed}")
    return plain


def check_installed(package: str, purpose: str, extra: str) -> None:
    """Check that a package is there which only one of the course's extras installs.

    Args:
        package: Its name.
        purpose: What it is for, as ``"which reads DICOM files"``.
        extra: The extra's name in ``pyproject.toml``.

    Raises:
        ModuleNotFoundError: It is not.
    """
    if importlib.util.find_spec(package) is None:
        raise ModuleNotFoundError(
            f"{package}, {purpose}, is not installed: run "
            f'`python -m pip install -e ".[{extra}]"` in the course\'s folder.'
        )


def check_generator(generator: Any) -> None:
    """Check the argument ``generator``: a ``torch.Generator`` or None, not a seed."""
    if generator is not None:
        check_type("generator", generator, torch.Generator, "torch.Generator().manual_seed(0)")


def _kind(value: Any) -> str:
    """Return what a message calls a value of the wrong type."""
    return "None" if value is None else _article(type(value).__name__)


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "AEIOUaeiou" else f"a {noun}"


def _plain(value: Any) -> Any:
    """Return the Python number or string in a scalar of NumPy or torch, and all else as it is."""
    if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
        return value.item()
    if isinstance(value, Tensor) and value.ndim == 0 and not value.is_meta:
        return value.item()
    return value


def _shown(value: Any) -> str:
    """Return a value in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    try:
        text = repr(value)
    except Exception:  # a broken object must not hide what is wrong with it
        return f"a {type(value).__name__}"
    return text if len(text) <= 40 else f"{text[:37]}..."


def _typed(value: Any) -> str:
    """Return a value and its type in a few words."""
    return f"{_shown(value)} of type {type(value).__name__}"
