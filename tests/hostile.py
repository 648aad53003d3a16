"""Values that nobody should pass, and images that somebody will."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor


def tensor(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return random images in [0, 1]."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def holding(value: float, *shape: int) -> Tensor:
    """Return random images with one bad pixel, the last."""
    x = tensor(*shape)
    x.view(-1)[-1] = value
    return x


class Unprintable:
    """An object that breaks whoever asks what it is."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


# Factories, so that no test can spoil a value for the next.
NUMBERS: list[Callable[[], Any]] = [
    lambda n=n: n
    for n in (
        0, 1, 2, 3, 7, 8, -1, -9, 10**9, 2**31, 2**63, 10**30, 10**5000, 0.0, -0.0, 0.5, 2.5, 9.0,
        -1e-9, 1e-300, 1e-45, 1e30, 1e308, math.nan, math.inf, -math.inf, True, False, 3j,
        np.int64(3), np.float32(0.5), np.float32("nan"), np.bool_(True),
    )
]  # fmt: skip
THINGS: list[Callable[[], Any]] = [
    lambda: None,
    lambda: "",
    lambda: "gaussian",
    lambda: "ViT",
    lambda: b"bytes",
    lambda: [],
    lambda: [1, 2],
    lambda: [0.5, math.nan],
    lambda: (256, 256),
    lambda: (-1, 256),
    lambda: {},
    lambda: {"x": 1},
    lambda: {1, 2},
    lambda: object(),
    lambda: Unprintable(),
    lambda: len,
    lambda: torch.nn.Identity(),
    lambda: torch.float32,
    lambda: np.zeros((1, 1, 32, 32), np.float32),
    lambda: np.array("text"),
    lambda: torch.Generator().manual_seed(0),
]
IMAGES: list[Callable[[], Any]] = [
    lambda: tensor(1, 1, 1, 1),
    lambda: tensor(1, 1, 7, 31),
    lambda: tensor(1, 1, 32, 513),
    lambda: tensor(2, 3, 33, 32),
    lambda: tensor(1, 2, 32, 32),
    lambda: tensor(32, 32),
    lambda: tensor(1, 32, 32),
    lambda: tensor(32),
    lambda: torch.tensor(0.5),
    lambda: torch.tensor([0.5]),
    lambda: torch.tensor(2),
    lambda: tensor(1, 1, 1, 32, 32),
    lambda: tensor(0, 1, 32, 32),
    lambda: tensor(1, 0, 32, 32),
    lambda: tensor(1, 1, 0, 32),
    lambda: tensor(1, 1, 32, 0),
    lambda: tensor(1, 1, 32, 32, dtype=torch.float64),
    lambda: tensor(1, 1, 32, 32, dtype=torch.float16),
    lambda: tensor(1, 1, 32, 32, dtype=torch.bfloat16),
    lambda: tensor(1, 1, 32, 32).to(torch.float8_e4m3fn),
    lambda: (255 * tensor(1, 1, 32, 32)).byte(),
    lambda: (255 * tensor(1, 1, 32, 32)).long(),
    lambda: tensor(1, 1, 32, 32) > 0.5,
    lambda: tensor(1, 1, 32, 32).to(torch.complex64),
    lambda: holding(math.nan, 1, 1, 32, 32),
    lambda: holding(math.inf, 2, 1, 32, 40),
    lambda: holding(-math.inf, 1, 1, 32, 32),
    lambda: holding(math.nan, 1, 1, 32, 32).half(),
    lambda: torch.full((1, 1, 32, 32), math.nan),
    lambda: holding(3e38, 1, 1, 32, 32),
    lambda: holding(1e9, 1, 1, 32, 32),
    lambda: holding(-4.0, 1, 1, 32, 32),
    lambda: 255 * tensor(1, 1, 32, 32),
    lambda: 2000 * tensor(1, 1, 32, 32) - 1000,
    lambda: torch.zeros(1, 1, 32, 32),
    lambda: torch.full((1, 1, 32, 32), 1e-30),
    lambda: tensor(1, 1, 32, 32).to_sparse(),
    lambda: tensor(1, 1, 32, 32).to("meta"),
    lambda: tensor(1, 1, 32, 32).requires_grad_(),
    lambda: tensor(1, 1, 32, 1).expand(2, 1, 32, 48),
    lambda: tensor(1, 1, 48, 32).transpose(2, 3),
    lambda: tensor(2, 1, 64, 64)[:, :, ::2, ::2],
    lambda: torch.nn.Parameter(tensor(1, 1, 32, 32)),
]
ANYTHING = st.sampled_from(NUMBERS + THINGS + IMAGES).map(lambda make: make())
"""A wrong value for any argument, though not for every one."""

small_images = st.builds(
    tensor,
    st.integers(1, 3),
    st.just(1),
    st.integers(8, 40),
    st.integers(8, 40),
    seed=st.integers(0, 99),
    dtype=st.sampled_from([torch.float32, torch.float32, torch.float64]),
)
"""Good images (B, 1, H, W), small enough to be quick."""
