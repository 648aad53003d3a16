"""What a network costs: its multiplications and additions."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def gflop(model: nn.Module, *inputs: Any, backward: bool = False) -> float:
    """Count the multiplications and additions of a call, in 10^9.

    Args:
        model: Any module that returns a tensor.
        inputs: What it is called with.
        backward: Count the backward pass too; the model's gradients are added to.
    """
    # Operations that fuse attention are not counted on every device; the plain ones are.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        output = model(*inputs)
        if backward:
            output.sum().backward()
    return counter.get_total_flops() / 1e9
