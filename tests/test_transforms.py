"""Operators, models and noise under torch's transforms: derivatives, batches, programs."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jvp, stack_module_state, vjp, vmap

from ippy.models import NAMES, seeded
from ippy.models.attention import attend
from ippy.models.catalogue import spec
from ippy.operators import (
    Blurring,
    FourierSampling,
    Ghost,
    LinearOperator,
    ParallelBeam,
    regular_lines,
)
from ippy.problems import InverseProblem, gaussian_noise, motion_deblurring

OPERATORS = {
    "motion": Blurring(kernel_type="motion", kernel_size=9, motion_angle=20),
    "Gaussian": Blurring(kernel_type="gaussian", kernel_size=5),
    "custom": Blurring(kernel=torch.tensor([[0.0, 2.0, 0.0], [-1.0, 0.5, 0.0], [0.0, 0.0, 3.0]])),
    "tomography": ParallelBeam(16, views=6),
    "Fourier": FourierSampling(regular_lines((16, 24), factor=2)),
    "ghost": Ghost(5),
}
OPERATORS |= {f"adjoint of {name}": K.T for name, K in OPERATORS.items()}
MODELS = (*NAMES, "GatedUNet", "HybridUNet", "RelativeHybrid", "LossStudyCNN")
every_operator = pytest.mark.parametrize("K", OPERATORS.values(), ids=OPERATORS)
every_model = pytest.mark.parametrize("name", MODELS)
everything = pytest.mark.parametrize("name", (*OPERATORS, *MODELS))


def narrow(name: str, seed: int) -> nn.Module:
    """Return a model with few channels: the operations of the course's, with less work."""
    few = {"n_filters": 4, "base_ch": 4, "embed_dim": 16, "mlp_dim": 24, "depth": 2}
    entry = spec(name)
    kwargs = {key: min(value, few.get(key, value)) for key, value in entry.kwargs.items()}
    return seeded(lambda: entry.cls(**kwargs), seed)


@functools.cache
def model(name: str) -> nn.Module:
    """Return a model in float64, the ViT with positions that are not zero."""
    built = narrow(name, seed=1).double()
    if name == "ViT":
        generator = torch.Generator().manual_seed(2)
        nn.init.normal_(built.pos_embed, std=0.5, generator=generator)
    return built.requires_grad_(False)


def function(name: str) -> Callable[[Tensor], Tensor]:
    return OPERATORS[name] if name in OPERATORS else model(name)


def sized(name: str, *shape: int) -> tuple[int, ...]:
    """Return a shape of images with the last two axes that a function takes."""
    return (*shape[:-2], *(getattr(function(name), "in_shape", None) or shape[-2:]))


def images(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


@every_operator
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_an_operator_is_its_own_derivative(K: LinearOperator, dtype: torch.dtype) -> None:
    if dtype not in K.dtypes:
        with pytest.raises(TypeError, match=r"x holds torch\.complex128"):
            K(torch.zeros(2, *(K.in_shape or (11, 7)), dtype=dtype))
        return
    x, v = (images(2, 3, *(K.in_shape or (11, 7)), seed=seed).to(dtype) for seed in (0, 1))
    y = images(*K(x).shape, seed=2).to(dtype)
    close = torch.testing.assert_close
    close(jvp(K, (x,), (v,)), (K(x), K(v)))
    close(vjp(K, x)[1](y)[0], K.T(y))
    close(vmap(K)(x), K(x))
    close(vmap(K, in_dims=1, out_dims=1)(x), K(x))


@everything
def test_forward_and_reverse_derivatives_agree(name: str) -> None:
    f = function(name)
    x, v = (images(*sized(name, 2, 1, 16, 24), seed=seed) for seed in (0, 1))
    w = images(*f(x).shape, seed=2)
    out, change = jvp(f, (x,), (v,))
    torch.testing.assert_close(out, f(x))
    (pulled,) = vjp(f, x)[1](w)
    torch.testing.assert_close((w * change).sum(), (pulled * v).sum())
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(f(forward_ad.make_dual(x, v))).tangent
    torch.testing.assert_close(tangent, change)
    step = 1e-6
    torch.testing.assert_close(change, (f(x + step * v) - f(x - step * v)) / (2 * step))


@everything
def test_second_derivatives_agree(name: str) -> None:
    f = function(name)
    x, v = (images(*sized(name, 1, 1, 16, 24), seed=seed) for seed in (0, 1))

    def energy(x: Tensor) -> Tensor:
        return f(x).square().sum()

    _, forward_over_reverse = jvp(grad(energy), (x,), (v,))
    twice = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(twice), twice, create_graph=True)
    (reverse_over_reverse,) = torch.autograd.grad((gradient * v).sum(), twice)
    torch.testing.assert_close(forward_over_reverse, reverse_over_reverse)
    step = 1e-6
    numeric = (grad(energy)(x + step * v) - grad(energy)(x - step * v)) / (2 * step)
    torch.testing.assert_close(forward_over_reverse, numeric, rtol=1e-5, atol=1e-5)


@everything
@pytest.mark.filterwarnings("error:There is a performance drop")
def test_vmap_is_a_loop(name: str) -> None:
    f, x = function(name), images(*sized(name, 3, 1, 1, 17, 24))
    torch.testing.assert_close(vmap(f)(x), torch.stack([f(image) for image in x]))


@every_model
def test_gradients_of_samples_are_those_of_a_loop(name: str) -> None:
    network = model(name)
    weights = {key: weight.detach() for key, weight in network.named_parameters()}
    x = images(3, 1, 16, 16)

    def loss(weights: dict[str, Tensor], image: Tensor) -> Tensor:
        return (functional_call(network, weights, image[None]) - 0.5).square().mean()

    together = vmap(grad(loss), in_dims=(None, 0))(weights, x)
    for number, image in enumerate(x):
        alone = grad(loss)(weights, image)
        torch.testing.assert_close({key: g[number] for key, g in together.items()}, alone)
        assert any(g.any() for g in alone.values())


def test_gradients_of_crops_know_their_places() -> None:
    vit, x = model("ViT"), images(2, 1, 16, 16)
    origins = torch.tensor([[0, 3], [7, 1]])
    weights = {"pos_embed": vit.pos_embed.detach()}

    def loss(weights: dict[str, Tensor], image: Tensor, origin: Tensor) -> Tensor:
        return functional_call(vit, weights, (image[None], origin[None])).square().mean()

    together = vmap(grad(loss), in_dims=(None, 0, 0))(weights, x, origins)["pos_embed"]
    learned = together[:, 0].abs().sum(-1).reshape(2, 32, 32) > 0
    for (row, column), touched in zip(origins.tolist(), learned, strict=True):
        assert touched[row : row + 2, column : column + 2].all() and touched.sum() == 4


@pytest.mark.parametrize("in_dims", [(0, 0, 0), (0, None, None), (1, None, 2)], ids=str)
def test_attention_may_be_batched_in_any_argument(in_dims: tuple[int | None, ...]) -> None:
    q, k, v = (images(2, 3, 5, 4, seed=seed) for seed in range(3))  # (B, heads, N, d_k)
    batches = [
        x if axis is None else torch.stack([x, 2 * x, -x], dim=axis)
        for x, axis in zip((q, k, v), in_dims, strict=True)
    ]
    together = vmap(attend, in_dims=in_dims)(*batches)
    for number, found in enumerate(together):
        q, k, v = (
            x if axis is None else x.select(axis, number)
            for x, axis in zip(batches, in_dims, strict=True)
        )
        torch.testing.assert_close(found, torch.softmax(q @ k.mT / 2, dim=-1) @ v)


@every_model
def test_an_ensemble_is_a_loop(name: str) -> None:
    members = [narrow(name, seed) for seed in (0, 1)]
    weights, buffers = stack_module_state(members)
    x = images(1, 1, 20, 16).float()
    together = vmap(lambda *state: functional_call(members[0], state, (x,)))(weights, buffers)
    torch.testing.assert_close(together, torch.stack([member(x) for member in members]))


class Module(nn.Module):
    """Any function of images as a module."""

    def __init__(self, f: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x)


@everything
def test_an_exported_program_gives_the_same(name: str) -> None:
    """Strict exports go by way of the compiler, which the test of compiled functions holds."""
    f, x = function(name), images(*sized(name, 2, 1, 16, 16))
    program = torch.export.export(Module(f), (images(*x.shape, seed=1),), strict=False)
    torch.testing.assert_close(program.module()(x), f(x))


def test_a_strict_export_gives_the_same() -> None:
    network, x = model("LossStudyCNN"), images(2, 1, 16, 16)
    program = torch.export.export(network, (images(*x.shape, seed=1),), strict=True)
    torch.testing.assert_close(program.module()(x), network(x))


@everything
@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore::torch.jit.TracerWarning")
def test_a_trace_gives_the_same(name: str) -> None:
    f, x = function(name), images(*sized(name, 2, 1, 16, 16))
    traced = torch.jit.trace(Module(f), images(*x.shape, seed=1), check_trace=False)  # x is one
    torch.testing.assert_close(traced(x), f(x))


@everything
def test_a_compiled_function_gives_the_same_and_its_gradient(name: str) -> None:
    torch.compiler.reset()
    f, x = function(name), images(*sized(name, 2, 1, 16, 16)).requires_grad_()
    compiled = torch.compile(f, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), f(x))
    (found,), (expected,) = (torch.autograd.grad(g(x).square().sum(), x) for g in (compiled, f))
    torch.testing.assert_close(found, expected)


# Noise is drawn: what holds of it holds for any draw.


def relative_norms(noise: Tensor, y: Tensor) -> Tensor:
    norms = [torch.linalg.vector_norm(z.flatten(1), dim=1) for z in (noise, y)]
    return norms[0] / norms[1]


def test_vmap_draws_noise_of_each_image() -> None:
    y = images(4, 1, 1, 16, 16) * torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None, None, None]
    with pytest.raises(RuntimeError, match="randomness"):
        vmap(lambda y: gaussian_noise(y, 0.1))(y)
    for randomness in ("different", "same"):
        noise = vmap(lambda y: gaussian_noise(y, 0.1), randomness=randomness)(y)
        torch.testing.assert_close(relative_norms(noise, y), torch.full((4,), 0.1).double())
        directions = noise / y.flatten(1).norm(dim=1)[:, None, None, None, None]
        assert directions[0].allclose(directions[1]) == (randomness == "same")


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_a_measurement_has_the_derivative_of_its_formula(dtype: torch.dtype) -> None:
    problem = InverseProblem(OPERATORS["custom"], 0.1)
    x, v = (images(1, 1, 9, 8, seed=seed).to(dtype) for seed in (0, 1))

    def measure(x: Tensor) -> Tensor:
        return problem.measure(x, torch.Generator().manual_seed(3))

    y, change = jvp(measure, (x,), (v,))
    torch.testing.assert_close(y, measure(x))
    step = 1e-6
    torch.testing.assert_close(change, (measure(x + step * v) - measure(x - step * v)) / (2 * step))
    w = images(1, 1, 9, 8, seed=2).to(dtype)
    (pulled,) = vjp(measure, x)[1](w)
    torch.testing.assert_close((w.conj() * change).sum().real, (pulled.conj() * v).sum().real)
    hessian = jvp(grad(lambda x: measure(x).abs().square().sum()), (x,), (v,))[1]
    assert hessian.isfinite().all() and hessian.any()


def test_measurements_run_in_batches_and_programs() -> None:
    problem, x = motion_deblurring(noise_level=0.05), images(3, 1, 16, 16)
    y = problem.operator(x)
    ways = {
        "vmap": lambda: vmap(problem.measure, randomness="different")(x),
        "export": lambda: torch.export.export(Module(problem.measure), (x,)).module()(x),
        "compile": lambda: torch.compile(problem.measure, backend="aot_eager", fullgraph=True)(x),
    }
    for name, way in ways.items():
        norms = relative_norms(way() - y, y)
        torch.testing.assert_close(norms, torch.full((3,), 0.05).double(), msg=name)
