"""PyTorch as it starts, whatever an earlier cell has switched on or off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

import torch

T = TypeVar("T")

DEVICE_TYPES = ("cpu", "cuda", "mps")


@contextmanager
def torch_defaults(device: torch.device) -> Iterator[None]:
    """Compute with PyTorch's own settings within a ``with`` block; the caller's come back after it.

    Gradients are on, inference mode off; new tensors are float32 on the CPU; nothing is cast
    automatically; matrices of float32 are multiplied with all their bits. Random numbers drawn from
    the global generators of the CPU and of ``device`` leave them as they were. The number of
    threads, and whether only deterministic algorithms are allowed, stay as the caller has them.

    Args:
        device: What is computed on.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        if device.type == "mps":
            keep(stack, torch.mps.get_rng_state, torch.mps.set_rng_state)
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        keep(stack, torch.get_default_dtype, torch.set_default_dtype, torch.float32)
        keep(stack, _matmul_precision, _set_matmul_precision, "highest")
        for kind in DEVICE_TYPES:
            switch = partial(torch.set_autocast_enabled, kind)
            keep(stack, partial(torch.is_autocast_enabled, kind), switch, False)
        # Within the caller's autocast, one that is left does not forget the weights it cast.
        keep(stack, torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled, False)
        yield


def keep(
    stack: ExitStack, read: Callable[[], T], write: Callable[[T], Any], value: T | None = None
) -> None:
    """Let a setting be what it is now again once the stack is left.

    Args:
        stack: What the setting is kept for.
        read: Returns the setting.
        write: Sets it.
        value: What it is meanwhile; what it is now if None.
    """
    stack.callback(write, read())
    if value is not None:
        write(value)


def seed_globally(seed: int, device: torch.device) -> None:
    """Seed the global generators of the CPU and of ``device``, within :func:`torch_defaults`."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    if device.type == "mps":
        torch.mps.manual_seed(seed)


def _matmul_precision() -> str | None:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # set by PyTorch's other interface, which this one can't read
        return None


def _set_matmul_precision(precision: str | None) -> None:
    if precision is not None and _matmul_precision() not in (None, precision):
        torch.set_float32_matmul_precision(precision)
