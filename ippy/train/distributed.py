"""The engine of a training run: its device, its precision, and the processes that share it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TypeVar

import torch
from tqdm import TqdmWarning

from ippy.base.device import get_device, has_fast_bf16, usable

with warnings.catch_warnings():  # Accelerate's bar warns in a notebook without ipywidgets
    warnings.simplefilter("ignore", TqdmWarning)
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import broadcast_object_list, patch_environment

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


def accelerator(device: torch.device | str | None = None) -> Accelerator:
    """Return Accelerate's engine: device, precision and the processes of one training run.

    Several processes are there when the program was started by ``torchrun`` or ``accelerate
    launch``; each gets a GPU of its own, or all share the CPU. The precision is bfloat16 where it
    is fast, unless the environment variable ``ACCELERATE_MIXED_PRECISION`` says "no" or "bf16".

    Args:
        device: Where to compute; the best there is if None.

    Raises:
        ValueError: The precision that was asked for is another one, or the device is not there.
    """
    several = int(os.environ.get("WORLD_SIZE", 1)) > 1
    if device is None:
        device = get_device()
        if several and device.type == "mps":
            device = torch.device("cpu")  # there is but one such GPU, and no reduction for it
    device = usable(device)
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION")
    if asked not in (None, "no", "bf16"):
        raise ValueError(
            f"the precision asked for is {asked!r}; expected 'no' (float32) or 'bf16'. Unset "
            "ACCELERATE_MIXED_PRECISION, or start with `accelerate launch --mixed_precision bf16`."
        )
    # Accelerate remembers the first engine of a process. A notebook may train on the CPU and then
    # on a GPU, so each run gets a new one; the connections between processes stay as they are.
    AcceleratorState._reset_state(reset_partial_state=True)
    place = {} if several else {"ACCELERATE_TORCH_DEVICE": str(device)}
    with patch_environment(**place):
        return Accelerator(
            cpu=device.type == "cpu",
            mixed_precision=asked or ("bf16" if has_fast_bf16(device) else "no"),
        )


def shared(error: E) -> E:
    """Mark an error that the main process raises as well: one of them is enough to read."""
    error.shared = True
    return error


def on_main(engine: Accelerator, action: Callable[[], T]) -> T:
    """Do something in the main process alone; every process gets its result, or its error.

    The error is marked as :func:`shared`.

    Args:
        engine: The engine of the run.
        action: What to do, such as reading or writing a file. Its result can be pickled.
    """
    if engine.num_processes == 1:
        return action()
    outcome: list = [None, None]
    if engine.is_main_process:
        try:
            outcome[0] = action()
        except Exception as error:
            outcome[1] = error
    result, failure = broadcast_object_list(outcome)
    if failure is not None:
        raise shared(failure)
    return result
