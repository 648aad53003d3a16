"""What a caller may do with a function: transform it, call it in any state, expect no traces."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Measure = Callable[[Tensor, Tensor], Tensor]  # of images (B, C, H, W): a loss or a metric


def total(measure: Measure) -> Measure:
    return lambda x_hat, x: measure(x_hat, x).sum()


def in_a_module(measure: Measure) -> nn.Module:
    """Return the measure as ``torch.export`` wants it."""

    class Holder(nn.Module):
        def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
            return measure(x_hat, x)

    return Holder()


def direction(x: Tensor) -> Tensor:
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(7))


def agree(derivative: Tensor, measure: Measure, x_hat: Tensor, x: Tensor) -> None:
    """Demand the derivative along the direction that reverse mode gives."""
    along, x_hat = direction(x_hat), x_hat.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(total(measure)(x_hat, x), x_hat)
    expected = (gradient * along).sum()
    close = {"rtol": 1e-3, "atol": 1e-3 * gradient.norm().item()}
    # torch's forward mode makes the derivative of a Python number times a single one float64
    torch.testing.assert_close(derivative, expected, **close, check_dtype=False)


def vmap(measure: Measure, x_hat: Tensor, x: Tensor) -> None:
    pairs = zip(x_hat.split(1), x.split(1), strict=True)
    one_by_one = torch.stack([measure(a, b) for a, b in pairs])
    found = torch.func.vmap(measure)(x_hat[:, None], x[:, None])
    torch.testing.assert_close(found, one_by_one)


def gradients_of_samples(measure: Measure, x_hat: Tensor, x: Tensor) -> None:
    found = torch.func.vmap(torch.func.grad(total(measure)))(x_hat[:, None], x[:, None])
    for gradient, a, b in zip(found, x_hat.split(1), x.split(1), strict=True):
        expected = torch.func.grad(total(measure))(a, b)
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-6)


def jvp(measure: Measure, x_hat: Tensor, x: Tensor) -> None:
    _, found = torch.func.jvp(lambda a: total(measure)(a, x), (x_hat,), (direction(x_hat),))
    agree(found, measure, x_hat, x)


def vjp(measure: Measure, x_hat: Tensor, x: Tensor) -> None:
    value, back = torch.func.vjp(total(measure), x_hat, x)
    agree((back(torch.ones_like(value))[0] * direction(x)).sum(), measure, x_hat, x)


def forward_mode(measure: Measure, x_hat: Tensor, x: Tensor) -> None:
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x_hat, direction(x_hat))
        found = torch.autograd.forward_ad.unpack_dual(total(measure)(dual, x)).tangent
    agree(found, measure, x_hat, x)


def double_backward(measure: Measure, x_hat: Tensor, x: Tensor) -> None:
    along = direction(x_hat)

    def slope(a: Tensor) -> Tensor:
        return torch.func.jvp(lambda b: total(measure)(b, x), (a,), (along,))[1]

    expected = torch.func.grad(slope)(x_hat)  # reverse over forward
    x_hat = x_hat.detach().requires_grad_()
    (first,) = torch.autograd.grad(total(measure)(x_hat, x), x_hat, create_graph=True)
    (second,) = torch.autograd.grad((first * along).sum(), x_hat)
    scale = expected.abs().max().item()
    assert scale > 0
    torch.testing.assert_close(second, expected, rtol=1e-2, atol=1e-3 * scale)


def traced(measure: Measure, x_hat: Tensor, x: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        warnings.simplefilter("error", torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", module=r"torch\.nn\.functional")  # torch's own L1 loss
        found = torch.jit.trace(measure, (x_hat, x))
    torch.testing.assert_close(found(x, x_hat), measure(x, x_hat))


def exported(measure: Measure, x_hat: Tensor, x: Tensor) -> None:
    found = torch.export.export(in_a_module(measure), (x_hat, x)).module()
    torch.testing.assert_close(found(x, x_hat), measure(x, x_hat))


TRANSFORMS: dict[str, Callable[[Measure, Tensor, Tensor], None]] = {
    "vmap": vmap,
    "gradients of samples": gradients_of_samples,
    "jvp": jvp,
    "vjp": vjp,
    "forward mode": forward_mode,
    "double backward": double_backward,
    "jit.trace": traced,
    "export": exported,
}


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


CALLERS_STATES = {
    "no gradients": lambda: torch.set_grad_enabled(False),
    "inference mode": torch.inference_mode,
    "float64 by default": lambda: default_dtype(torch.float64),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "another device by default": lambda: torch.device("meta"),
}
"""What an earlier cell may have left behind."""


@contextmanager
def unchanged_world() -> Iterator[None]:
    """Demand that the state of torch is afterwards what it was before."""

    def world() -> list[Any]:
        return [
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.is_autocast_enabled("cpu"),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_rng_state().tolist(),
        ]

    before = world()
    yield
    assert world() == before


@contextmanager
def unchanged(*tensors: Tensor) -> Iterator[None]:
    """Demand that the tensors hold what they held."""
    before = [tensor.clone() for tensor in tensors]
    yield
    for tensor, copy in zip(tensors, before, strict=True):
        assert tensor.equal(copy)
