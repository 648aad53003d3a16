"""The inputs that functions are tried on: others in every session, and in every call."""

from __future__ import annotations

import torch
from torch import Tensor

_random = torch.Generator("cpu")
_random.seed()  # the session's own random numbers are left alone; feedback never depends on these


def fresh(
    *shape: int, low: float = 0.0, high: float = 1.0, dtype: torch.dtype | None = None
) -> Tensor:
    """Draw numbers evenly from [low, high), float32 unless ``dtype`` says otherwise."""
    dtype = dtype or torch.float32
    return low + (high - low) * torch.rand(shape, generator=_random, dtype=dtype)


def fresh_integer(low: int, high: int) -> int:
    """Draw an integer from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=_random))
