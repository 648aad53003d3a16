"""What a network costs: its multiplications and additions, its time and its memory."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
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


def time_and_memory(call: Callable[[], Any]) -> tuple[float, float]:
    """Measure a call on the CPU.

    Args:
        call: What to call. Tensors that were there before don't count.

    Returns:
        Seconds, and the most memory in MB (2^20 bytes) that PyTorch had taken in it at a time.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's log says nothing of the call
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        start = time.perf_counter()
        call()
        seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        record.export_chrome_trace(str(file))
        events = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
    events = sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"])
    taken = accumulate((event["args"]["Bytes"] for event in events), initial=0)
    return seconds, max(taken) / 2**20
