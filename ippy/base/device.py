"""The device to compute on, and the arithmetic that is fast there."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def get_device() -> torch.device:
    """Return the best device present: CUDA, then MPS, then CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def has_fast_bf16(device: torch.device) -> bool:
    """Say whether ``device`` multiplies bfloat16 in hardware, and faster than float32.

    An Intel CPU needs AMX: with it bfloat16 takes 0.3 to 0.6 of the time of float32, with AVX-512
    alone 1.4 to 1.6 times as long (``benchmarks/precision.py``).
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    units = _bf16_units(device)
    intel = torch.cpu.get_capabilities().get("cpu_name", "").startswith("Intel")
    return bool(units - {"avx512_bf16"} if intel else units)


def _bf16_units(device: torch.device) -> set[str]:
    """Return what a CPU has to multiply bfloat16 with."""
    can = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return {unit for unit in ("avx512_bf16", "amx_bf16", "bf16") if can.get(unit, False)}


def autocast(device: torch.device) -> AbstractContextManager:
    """Return a bfloat16 autocast context where it pays, a context that does nothing elsewhere."""
    if has_fast_bf16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def memory_format(device: torch.device) -> torch.memory_format:
    """Return the order of a batch's numbers in memory that convolutions train fastest in.

    Channels last suits CPUs that have units for bfloat16, in float32 too; one without them is a
    quarter to two thirds faster with channels first.
    """
    last = _bf16_units(device) or has_fast_bf16(device)
    return torch.channels_last if last else torch.contiguous_format


def usable(device: torch.device | str) -> torch.device:
    """Return the device, if it is there to compute on.

    Raises:
        ValueError: It is not, or there is no such device.
    """
    try:
        torch.zeros(1, device=device).item()
        return torch.device(device)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise ValueError(f"device {device!r} can't be used here: {error}") from error
