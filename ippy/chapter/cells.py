"""Small things that many cells need: source on the page, a generator, a stopwatch, titles."""

from __future__ import annotations

import inspect
import textwrap
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from IPython import get_ipython
from IPython.display import Markdown
from torch import Tensor

from ippy.quality import psnr


def show_source(*things: Callable[..., Any]) -> Markdown:
    """Show the source of functions, methods or classes as it stands in ippy."""
    sources = [textwrap.dedent(inspect.getsource(thing)).rstrip() for thing in things]
    return Markdown("\n\n".join(f"```python\n{source}\n```" for source in sources))


def needs(package: str) -> None:
    """Let all cells from here on say in a line that a package is missing, where it is.

    Args:
        package: What they import, and what ``pip install -e ".[<package>]"`` installs.
    """
    if find_spec(package) is None:
        command = f'python -m pip install -e ".[{package}]"'
        missing = f"{package} is not installed; in the course's folder: {command}"
        print(missing)
        get_ipython().input_transformers_cleanup.append(lambda lines: [f"print({missing!r})\n"])


def seeded(seed: int) -> torch.Generator:
    """Return a generator on the CPU that starts from ``seed``."""
    return torch.Generator().manual_seed(seed)


def count_parameters(model: torch.nn.Module) -> int:
    """Return how many numbers a model has learned or will learn."""
    return sum(p.numel() for p in model.parameters())


def milliseconds(call: Callable[[], Tensor], repeats: int = 5) -> float:
    """Return the median time of a call, in milliseconds, after one that warms up.

    Args:
        call: What to time. Its result is copied to the CPU, which waits for the device.
        repeats: How many calls to time.
    """
    times = []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            start = time.perf_counter()
            call().cpu()
            times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times[1:]))


def with_psnr(images: Mapping[str, Tensor], x: Tensor, digits: int = 1) -> dict[str, Tensor]:
    """Add the PSNR of each image to its title, in dB; ``x`` is the truth, (1, 1, H, W)."""
    return {f"{t}, {psnr(image, x).item():.{digits}f} dB": image for t, image in images.items()}
