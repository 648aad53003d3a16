"""The engine of a training run: its device, its precision, and the processes that share it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn
from tqdm import TqdmWarning

from ippy.base.device import get_device, has_fast_bf16, usable
from ippy.models.base import unwrap

with warnings.catch_warnings():  # Accelerate's bar warns in a notebook without ipywidgets
    warnings.simplefilter("ignore", TqdmWarning)
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import broadcast_object_list, patch_environment

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

AGREE_EVERY = 10  # steps after which several processes ask one another whether to stop


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
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION")
    if precision not in (None, "no", "bf16"):
        raise ValueError(
            f"the precision asked for is {precision!r}; expected 'no' (float32) or 'bf16'. Unset "
            "ACCELERATE_MIXED_PRECISION, or start with `accelerate launch --mixed_precision bf16`."
        )
    # Accelerate remembers the first engine of a process. A notebook may train on the CPU and then
    # on a GPU, so each run gets a new one; the connections between processes stay as they are.
    AcceleratorState._reset_state(reset_partial_state=True)
    place = {} if several else {"ACCELERATE_TORCH_DEVICE": str(device)}
    with patch_environment(**place):
        return Accelerator(
            cpu=device.type == "cpu",
            mixed_precision=precision or ("bf16" if has_fast_bf16(device) else "no"),
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


def own_share(engine: Accelerator, numbers: range) -> range:
    """Return the part of a batch's numbers that this process makes; all parts are equally long."""
    size = len(numbers) // engine.num_processes
    return numbers[engine.process_index * size :][:size]


def unshared(model: nn.Module) -> nn.Module:
    """Return what is inside the wrappers that share a model's work: the engine does that itself."""
    inside = unwrap(model)
    for wrapper in model.modules():  # from the outermost
        sharing = isinstance(wrapper, nn.DataParallel | nn.parallel.DistributedDataParallel)
        if sharing and unwrap(wrapper) is inside:
            model = wrapper.module
    return model


def agree_to_stop(engine: Accelerator, signalled: bool, step: int, steps: int) -> bool:
    """Say whether to stop after this step, which all processes of a run must do together.

    Args:
        engine: The engine of the run.
        signalled: Whether this process was told to stop.
        step: How many steps are done.
        steps: How many there will be.
    """
    if engine.num_processes == 1:
        return signalled
    if step % AGREE_EVERY and step < steps:
        return False
    if signalled:
        engine.set_trigger()
    return bool(engine.check_trigger())


def runs_on(engine: Accelerator) -> str:
    """Return in words what a run computes on: ``"2 processes, cpu, threads: 1, bf16"``."""
    words = [engine.device.type]
    if engine.num_processes > 1:
        words.insert(0, f"{engine.num_processes} processes")
    if engine.device.type == "cpu":
        words.append(f"threads: {torch.get_num_threads()}")
    if engine.mixed_precision == "bf16":
        words.append("bf16")
    return ", ".join(words)
