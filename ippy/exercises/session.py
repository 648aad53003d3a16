"""The state of a session that has nothing to do with an answer: set aside, and put back."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ippy.base.defaults import keep, torch_defaults


@contextmanager
def plain_session() -> Iterator[None]:
    """Run a block as in a session that was just started, and leave no trace of it.

    Inside, gradients are recorded, tensors are float32 on the CPU unless it says otherwise, and
    nothing is autocast, traced for anomalies, forced to be deterministic or turned from a warning
    into an error. Afterwards all of that is as the caller had it, whatever the block did to it, and
    so are the number of threads and the random numbers of PyTorch, NumPy and Python.
    """
    with ExitStack() as stack:
        keep(stack, torch.get_default_device, _set_device)
        drawn_on = "cuda" if torch.cuda.is_initialized() else "cpu"
        stack.enter_context(torch_defaults(torch.device(drawn_on)))
        stack.enter_context(torch.autograd.set_detect_anomaly(False))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(np.errstate(all="ignore"))
        keep(stack, torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 0)
        keep(stack, torch.get_num_threads, _set_threads)
        keep(stack, random.getstate, random.setstate)
        keep(stack, np.random.get_state, np.random.set_state)
        yield


@contextmanager
def unchanged(answer: Any) -> Iterator[None]:
    """Put a module, or the module whose method an answer is, back into the state that it had.

    That is its training mode, layer by layer, its weights and buffers with their gradients, and
    which of them ask for one.
    """
    module = answer if isinstance(answer, nn.Module) else getattr(answer, "__self__", None)
    if not isinstance(module, nn.Module):
        yield
        return
    modes = [(layer, layer.training) for layer in module.modules()]
    tensors = [*module.parameters(), *module.buffers()]
    kept = [(t, t.detach().clone(), t.requires_grad, _copy(t.grad)) for t in tensors]
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training
        for tensor, values, requires_grad, grad in kept:
            if tensor.dtype != values.dtype or tensor.shape != values.shape:
                tensor.data = values
            elif not torch.equal(tensor, values):
                tensor.data.copy_(values)
            tensor.requires_grad_(requires_grad)
            tensor.grad = grad


def _copy(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.clone()


def _set_device(device: torch.device) -> None:
    if torch.get_default_device() != device:
        torch.set_default_device(None if device.type == "cpu" else device)


def _set_threads(number: int) -> None:
    if torch.get_num_threads() != number:
        torch.set_num_threads(number)
