"""Checks that look at values step aside where there are none, and only there."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from ippy.base.images import check_batch, check_match, check_pair, check_values


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


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_autocast_takes_every_type_but_float64(dtype: torch.dtype) -> None:
    x, weight = torch.zeros(1, 1, 8, 8, dtype=dtype), torch.zeros(4, 1, 3, 3)
    with pytest.raises(TypeError, match=r"x holds .* use x\.to\(torch\.float32\)"):
        check_match("x", x, weight)
    with torch.autocast("cpu", torch.bfloat16):
        if dtype != torch.float64:
            check_match("x", x, weight)
        else:
            with pytest.raises(TypeError, match=r"x holds torch\.float64"):
                check_match("x", x, weight)


@pytest.mark.parametrize(("size", "index"), [((8, 8), "[None, None]"), ((1, 8, 8), "[None]")])
def test_one_image_alone_is_told_how_to_become_a_batch(size: tuple, index: str) -> None:
    x = torch.rand(size)
    for check in (lambda: check_pair(x, x, data_range=1), lambda: check_batch("x", x, 1)):
        with pytest.raises(
            ValueError, match=r"expected .*One image alone becomes a batch"
        ) as caught:
            check()
        hint = str(caught.value).rpartition("by x")[2]
        assert hint == index
        check_batch("x", eval(f"x{hint}"), 1)


@pytest.mark.parametrize(("dtype", "scale"), [(torch.uint8, " / 255"), (torch.uint16, " / 65535")])
def test_pixels_of_a_file_are_told_how_to_become_floats(dtype: torch.dtype, scale: str) -> None:
    x = torch.zeros(1, 1, 8, 8).to(dtype)
    with pytest.raises(TypeError, match=r"expected floating-point numbers, e\.g\. (.*)$") as caught:
        check_batch("x", x, 1)
    said = str(caught.value).rpartition("e.g. ")[2]
    assert said == f"x.float(){scale}"
