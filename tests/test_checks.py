"""Checks that look at values step aside where there are none, and only there."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from ippy.base.images import check_pair, check_values


def checked(x: Tensor) -> Tensor:
    check_values("x", x, span=2)
    check_pair(x, x, data_range=1)
    return x.square().sum()


def run_trace(x: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        return torch.jit.trace(checked, x)(x)


def run_fake(x: Tensor) -> Tensor:
    with FakeTensorMode() as mode:
        checked(mode.from_tensor(x))
    return checked(x)


TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "vmap": lambda x: torch.func.vmap(checked)(x[:, None]).sum(),
    "gradients of samples": lambda x: (
        torch.func.vmap(torch.func.grad(checked))(x[:, None]).mul(x[:, None]).sum() / 2
    ),
    "jvp": lambda x: torch.func.jvp(checked, (x,), (x,))[1] / 2,
    "vjp": lambda x: (torch.func.vjp(checked, x)[1](torch.ones(()))[0] * x).sum() / 2,
    "functionalize": lambda x: torch.func.functionalize(checked)(x),
    "jit.trace": run_trace,
    "make_fx": lambda x: make_fx(checked, tracing_mode="symbolic")(x)(x),
    "fake tensors": run_fake,
    "compile": lambda x: torch.compile(checked, backend="eager", fullgraph=True)(x),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_transform_passes_the_checks(transform: Callable[[Tensor], Tensor]) -> None:
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(transform(x), x.square().sum())


@pytest.mark.parametrize("transform", [lambda f: f, torch.func.grad], ids=["plain", "grad"])
def test_where_there_are_values_they_are_seen(transform: Callable) -> None:
    x = torch.rand(2, 1, 8, 8)
    x[1, 0, 2, 3] = float("nan")
    with pytest.raises(ValueError, match="x holds NaN"):
        transform(checked)(x)
    with pytest.raises(ValueError, match="x goes from 0 to 255"):
        transform(checked)(torch.tensor([0.0, 255.0]).expand(1, 1, 2, 2))
