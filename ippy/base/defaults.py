"""PyTorch as it starts, whatever an earlier cell has switched on or off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

DEVICE_TYPES = ("cpu", "cuda", "mps")


@contextmanager
def torch_defaults(device: torch.device) -> Iterator[None]:
    """Compute with PyTorch's own settings within a ``with`` block; the caller's come back after it.

    Gradients are on, inference mode off; new tensors are float32 on the CPU; nothing is cast
    automatically; float32 is multiplied with all its bits. Random numbers drawn from the global
    generators of the CPU and of ``device`` leave them as they were. The number of threads, and
    whether only deterministic algorithms are allowed, stay as the caller has them.

    Args:
        device: What is computed on.
    """
    dtype, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    casts = {kind: torch.is_autocast_enabled(kind) for kind in DEVICE_TYPES}
    cached = torch.is_autocast_cache_enabled()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        try:
            torch.set_default_dtype(torch.float32)
            torch.set_float32_matmul_precision("highest")
            for kind in DEVICE_TYPES:
                torch.set_autocast_enabled(kind, False)
            # Within the caller's autocast, one that is left does not forget the weights it cast.
            torch.set_autocast_cache_enabled(False)
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_float32_matmul_precision(precision)
            for kind, on in casts.items():
                torch.set_autocast_enabled(kind, on)
            torch.set_autocast_cache_enabled(cached)


def seed_globally(seed: int, device: torch.device) -> None:
    """Seed the global generators of the CPU and of ``device``, within :func:`torch_defaults`."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
