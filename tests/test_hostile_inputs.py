"""Random and hostile arguments for every public function: a right answer or a clear refusal.

Each example takes good arguments for one entry, in four of five replaces one or two of them by
anything at all, and calls it. Good arguments must work. With others the entry may refuse, by a
ValueError, TypeError or FileNotFoundError that names one of the arguments that were replaced; what
it returns instead must be right.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ippy.base.paths import data_dir, weights_dir
from ippy.data import MayoDataset
from ippy.data.phantoms import generate_slice
from ippy.models import NAMES, build, spec
from ippy.models.cnn import LossStudyCNN, ResCNN, SimpleCNN
from ippy.models.unet import AttentionUNet, ResidualUNet, SimpleUNet, UNetPP
from ippy.models.vit import (
    PatchEmbed,
    TransformerEncoderBlock,
    ViTReconstructor,
)
from ippy.operators import (
    Blurring,
    FourierSampling,
    Ghost,
    LinearOperator,
    ParallelBeam,
    random_lines,
    regular_lines,
)
from ippy.operators.blurring import gaussian_kernel, motion_kernel
from ippy.problems import (
    InformedProblem,
    InverseProblem,
    PlugAndPlay,
    RandomBlurs,
    RandomNoise,
    Tikhonov,
    TotalVariation,
    gaussian_noise,
    ghost,
    motion_deblurring,
    sparse_view_ct,
    undersampled_fourier,
)
from ippy.quality import (
    CombinedLoss,
    FourierLoss,
    PerceptualLoss,
    SSIMLoss,
    data_residual,
    detail,
    edge_width,
    evaluation,
    metrics,
    restore,
)
from ippy.quality.features import features_available
from ippy.weights import load_checkpoint, read_manifest, save_checkpoint

from .hostile import ANYTHING, small_images, tensor

EXAMPLES = 62
Arguments = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A public function, good arguments for it, and what must be true of what it returns."""

    call: Callable[..., Any]
    good: st.SearchStrategy[Arguments]
    right: Callable[..., None]


ENTRIES: dict[str, Entry] = {}


def entry(call: Callable[..., Any], **good: st.SearchStrategy) -> Callable:
    """Register the decorated function as the judge of what ``call`` returns."""

    def register(right: Callable[..., None]) -> Callable[..., None]:
        ENTRIES[right.__name__] = Entry(call, st.fixed_dictionaries(good), right)
        return right

    return register


def paired(call: Callable[..., Any], smallest: int = 8, **good: st.SearchStrategy) -> Callable:
    """Register, as ``entry`` does, a function of an estimate and the truth, of the same shape."""

    @st.composite
    def arguments(draw: st.DrawFn) -> Arguments:
        x = draw(small_images)
        if min(x.shape[2:]) < smallest:
            x = nn.functional.pad(x, (0, smallest, 0, smallest))
        noise = draw(st.sampled_from([0.0, 1e-6, 0.1, 3.0]))
        x_hat = x + noise * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(x)
        return {"x_hat": x_hat, "x": x, **{key: draw(value) for key, value in good.items()}}

    def register(right: Callable[..., None]) -> Callable[..., None]:
        ENTRIES[right.__name__] = Entry(call, arguments(), right)
        return right

    return register


def same(result: Tensor, x: Tensor) -> None:
    """Check for a finite image like ``x``."""
    assert result.shape == x.shape and result.dtype == x.dtype and result.device == x.device
    assert x.is_meta or result.isfinite().all()


counts, channels = st.integers(1, 6), st.integers(1, 2)
odd = st.integers(0, 5).map(lambda n: 2 * n + 1)
level, angle = st.floats(0, 2), st.floats(-720, 720)
seeds = st.integers(0, 2**40)
generators = st.none() | seeds.map(lambda seed: torch.Generator().manual_seed(seed))
shape = st.tuples(st.integers(1, 999), st.integers(1, 999))


# Operators, noise, problem.


def blur_and_apply(x: Any, **arguments: Any) -> tuple[Blurring, Tensor]:
    K = Blurring(**arguments)
    return K, K(x)


def adjoint(K: Blurring, x: Tensor) -> None:
    if x.dtype in (torch.float32, torch.float64, torch.complex64) and not x.is_meta and x.numel():
        x = x.detach().to(torch.complex128 if x.is_complex() else torch.float64)
        y = torch.randn(x.shape, generator=torch.Generator().manual_seed(5)).to(x)
        left, right = (K(x) * y).sum(), (x * K.T(y)).sum()
        assert abs(left - right) <= 1e-9 * (x.norm() * y.norm() * K.kernel.abs().sum()).abs()


@entry(
    blur_and_apply,
    img_shape=shape,
    kernel_type=st.sampled_from(["motion", "gaussian"]),
    kernel_size=odd,
    kernel_variance=st.floats(0.01, 50),
    motion_angle=angle,
    x=small_images,
)
def blurring(result: tuple, x: Tensor, **_: Any) -> None:
    K, y = result
    same(y, x)
    assert K.kernel.sum().item() == pytest.approx(1, abs=1e-5) and (K.kernel >= 0).all()
    adjoint(K, x)


@entry(
    blur_and_apply,
    kernel=odd.flatmap(lambda k: seeds.map(lambda seed: tensor(k, k, seed=seed))),
    x=small_images,
)
def own_kernel(result: tuple, x: Tensor, **_: Any) -> None:
    K, y = result
    same(y, x)
    adjoint(K, x)


twelve = st.builds(tensor, counts, st.just(1), st.just(12), st.just(12))  # pixels a side


def apply_and_return(make: Callable[..., LinearOperator]) -> Callable[..., tuple]:
    def applied(x: Any, **arguments: Any) -> tuple[LinearOperator, Tensor]:
        K = make(**arguments)
        return K, K.direct(K(x))

    return applied


def operator(result: tuple, x: Tensor, **_: Any) -> None:
    K, start = result
    same(start, x)
    if x.dtype in (torch.float32, torch.float64) and not x.is_meta and x.numel():
        x = x.detach().double()
        y = torch.randn(K(x).shape, generator=torch.Generator().manual_seed(5)).double()
        left, right = (K(x) * y).sum(), (x * K.T(y)).sum()
        assert abs(left - right) <= 1e-12 * (K(x).norm() * y.norm() + x.norm() * K.T(y).norm())


@entry(
    apply_and_return(ParallelBeam),
    n=st.just(12),
    views=st.integers(1, 9),
    bins=st.none() | st.integers(1, 30),
    x=twelve,
)
def parallel_beam(result: tuple, **arguments: Any) -> None:
    operator(result, **arguments)


@entry(
    apply_and_return(FourierSampling),
    mask=seeds.map(lambda seed: tensor(12, 12, seed=seed) > 0.6),
    x=twelve,
)
def fourier_sampling(result: tuple, **arguments: Any) -> None:
    operator(result, **arguments)


@entry(apply_and_return(Ghost), shift=st.integers(-40, 40), strength=st.floats(0, 1), x=twelve)
def ghosts(result: tuple, **arguments: Any) -> None:
    operator(result, **arguments)


@entry(
    lambda shape, factor, centre, generator: (
        regular_lines(shape, factor=factor, centre=centre),
        random_lines(shape, factor=factor, centre=centre, generator=generator),
    ),
    shape=st.tuples(st.integers(64, 300), st.integers(1, 300)),
    factor=st.floats(1, 6),
    centre=st.floats(0, 0.15),
    generator=generators,
)
def lines(result: tuple[Tensor, Tensor], shape: tuple, factor: float, **_: Any) -> None:
    for mask in result:
        assert mask.shape == tuple(shape) and mask[:, 0].sum() == round(shape[0] / factor)


@entry(sparse_view_ct, noise_level=level, views=st.integers(1, 4))
def tomography_task(result: InverseProblem, views: int, **_: Any) -> None:
    assert result.operator.views == views and result.noise_level >= 0


@entry(undersampled_fourier, noise_level=level, factor=st.floats(1, 12))
def fourier_task(result: InverseProblem, factor: float, **_: Any) -> None:
    assert result.operator.mask[:, 0].sum() == round(256 / factor)


@entry(ghost, distance=st.integers(-256, 256), noise_level=level, strength=st.floats(0, 1))
def ghost_task(result: InverseProblem, distance: int, **_: Any) -> None:
    assert result.operator.shift == distance


@entry(motion_kernel, kernel_size=odd, motion_angle=angle)
def motion_streak(result: Tensor, kernel_size: int, **_: Any) -> None:
    assert result.shape == (kernel_size, kernel_size) and abs(result.sum() - 1) < 1e-5


@entry(gaussian_kernel, kernel_size=odd, kernel_variance=st.floats(0.01, 50))
def gaussian_bell(result: Tensor, kernel_size: int, **_: Any) -> None:
    assert result.shape == (kernel_size, kernel_size) and abs(result.sum() - 1) < 1e-5
    assert result.equal(result.T)


@entry(gaussian_noise, y=small_images, noise_level=level, generator=generators)
def noise(result: Tensor, y: Tensor, noise_level: float, **_: Any) -> None:
    same(result, y)
    if y.dtype in (torch.float32, torch.float64) and not y.is_meta:
        pairs = zip(result, y, strict=True) if y.ndim == 4 else [(result, y)]
        for e, image in pairs:
            assert e.norm().item() == pytest.approx(noise_level * image.norm().item(), rel=1e-4)


@entry(
    lambda operator, noise_level, x, generator: InverseProblem(operator, noise_level).measure(
        x, generator
    ),
    operator=st.builds(lambda k: Blurring(kernel_type="motion", kernel_size=k), odd),
    noise_level=level,
    x=small_images,
    generator=generators,
)
def measurement(result: Tensor, x: Tensor, **_: Any) -> None:
    same(result, x)


@entry(motion_deblurring, noise_level=level, motion_angle=angle)
def reference_task(result: InverseProblem, **_: Any) -> None:
    assert result.operator.kernel.shape == (9, 9) and result.noise_level >= 0


# Metrics and losses.


def check_metric(result: Tensor, x: Tensor) -> Tensor:
    assert result.shape == x.shape[:1] and result.dtype == torch.float32
    assert x.is_meta or not result.isnan().any()
    return result if not x.is_meta else torch.empty(0)


ranges = st.floats(1, 1e6)


@paired(metrics.mse)
def mse(result: Tensor, x_hat: Tensor, x: Tensor) -> None:
    result = check_metric(result, x)
    assert (result >= 0).all() and result.isfinite().all()
    assert x.is_meta or metrics.mse(x, x_hat).equal(result)


@paired(metrics.psnr, data_range=ranges)
def psnr(result: Tensor, x_hat: Tensor, x: Tensor, data_range: float) -> None:
    result = check_metric(result, x)
    assert not (result == -math.inf).any()
    if not x.is_meta:
        assert (metrics.psnr(x, x, data_range=data_range) == math.inf).all()


@paired(metrics.ssim, data_range=ranges)
def ssim(result: Tensor, x_hat: Tensor, x: Tensor, data_range: float) -> None:
    result = check_metric(result, x)
    assert (result.abs() <= 1 + 1e-5).all()
    if not x.is_meta:
        assert metrics.ssim(x, x, data_range=data_range).allclose(torch.ones(len(x)))


@paired(detail, smallest=8)
def fine_detail(result: Tensor, x: Tensor, **_: Any) -> None:
    assert result.shape == x.shape[:1]


@paired(edge_width, smallest=16)
def width_of_edges(result: Tensor, x: Tensor, **_: Any) -> None:
    assert result.shape == x.shape[:1] and (result >= 0).logical_or(result.isnan()).all()


def check_loss(loss: nn.Module, value: Tensor, x: Tensor) -> None:
    assert value.shape == () and value.dtype in (torch.float32, torch.float64)
    if not x.is_meta:
        assert value.isfinite() and value >= -1e-3
        if x.detach().abs().max() <= 2:
            # with uniform windows 1e-8 is added to SSIM's denominator, which is at least C1 C2
            added = 1e-8 if isinstance(loss, SSIMLoss) and loss.sigma is None else 0
            assert -1e-3 <= loss(x, x).item() <= added / (9e-8 + added) + 1e-3


def make_and_call(make: type[nn.Module]) -> Callable[..., tuple[nn.Module, Tensor]]:
    def call(x_hat: Any, x: Any, **arguments: Any) -> tuple[nn.Module, Tensor]:
        loss = make(**arguments)
        return loss, loss(x_hat, x)

    return call


@paired(make_and_call(SSIMLoss), window_size=odd, sigma=st.none() | st.floats(0.1, 9))
def ssim_loss(result: tuple, x: Tensor, **_: Any) -> None:
    check_loss(*result, x)


@paired(make_and_call(FourierLoss), p=st.sampled_from([1, 2]), high_pass=st.floats(0, 0.4))
def fourier_loss(result: tuple, x: Tensor, **_: Any) -> None:
    check_loss(*result, x)


@paired(
    make_and_call(CombinedLoss),
    losses=st.builds(
        lambda a, b: {"L1": (a, nn.L1Loss()), "Fourier": (b, FourierLoss())}, level, level
    ),
)
def combined_loss(result: tuple, x: Tensor, **_: Any) -> None:
    check_loss(*result, x)


if features_available():

    @paired(metrics.lpips, smallest=31)
    def lpips(result: Tensor, x_hat: Tensor, x: Tensor) -> None:
        result = check_metric(result, x)
        assert (result >= 0).all() and result.isfinite().all()

    @paired(
        make_and_call(PerceptualLoss),
        smallest=31,
        weights=st.lists(st.floats(0.1, 2), min_size=5, max_size=5),
        p=st.sampled_from([1, 2]),
    )
    def perceptual_loss(result: tuple, x: Tensor, **_: Any) -> None:
        check_loss(*result, x)


# Models, small ones.


def make_and_restore(make: type[nn.Module]) -> Callable[..., Tensor]:
    def call(x: Any, **arguments: Any) -> Tensor:
        return make(**arguments).to(getattr(x, "dtype", None) if _is_float64(x) else None)(x)

    return call


def _is_float64(x: Any) -> bool:
    return isinstance(x, Tensor) and x.dtype == torch.float64


def check_model(result: Tensor, x: Tensor, channels: int) -> None:
    assert result.shape == (len(x), channels, *x.shape[2:]) and result.isfinite().all()


def images_and_channels(names: tuple[str, ...], **good: st.SearchStrategy) -> st.SearchStrategy:
    """Draw arguments of a model and an image of as many channels as it takes."""

    @st.composite
    def arguments(draw: st.DrawFn) -> Arguments:
        x = draw(small_images)
        C = draw(channels)
        drawn = dict.fromkeys(names, C) | {key: draw(value) for key, value in good.items()}
        return {"x": x.expand(-1, drawn["in_ch"], -1, -1), **drawn}

    return arguments()


def model_entry(name: str, make: type[nn.Module], good: st.SearchStrategy[Arguments]) -> None:
    def right(result: Tensor, x: Tensor, out_ch: int, **_: Any) -> None:
        check_model(result, x, out_ch)

    ENTRIES[name] = Entry(make_and_restore(make), good, right)


both = ("in_ch", "out_ch")
model_entry(
    "simple_cnn",
    SimpleCNN,
    images_and_channels(both, out_ch=channels, n_filters=counts, kernel_size=odd),
)
model_entry("res_cnn", ResCNN, images_and_channels(both, n_filters=counts, kernel_size=odd))
model_entry("loss_study_cnn", LossStudyCNN, images_and_channels(both, n_filters=counts))
for unet in (SimpleUNet, ResidualUNet, AttentionUNet, UNetPP):
    model_entry(unet.__name__, unet, images_and_channels(both, out_ch=channels, base_ch=counts))
model_entry(
    "vit",
    ViTReconstructor,
    images_and_channels(
        both,
        img_size=st.sampled_from([16, 32, 64]),
        patch_size=st.sampled_from([2, 4, 8]),
        embed_dim=st.sampled_from([4, 8, 12]),
        depth=st.integers(1, 2),
        num_heads=st.sampled_from([1, 2, 4]),
        mlp_dim=counts,
    ),
)


@entry(
    lambda x, origin: ViTReconstructor(64, 8, embed_dim=8, depth=1)(x, origin),
    x=st.just(None).map(lambda _: tensor(2, 1, 16, 24)),
    origin=st.none()
    | st.tuples(st.integers(0, 5), st.integers(0, 5)).map(lambda o: torch.tensor([o, (1, 2)])),
)
def vit_on_crops(result: Tensor, x: Tensor, **_: Any) -> None:
    check_model(result, x, 1)


@entry(
    lambda x, in_ch, embed_dim, patch_size: PatchEmbed(in_ch, embed_dim, patch_size)(x),
    x=st.just(None).map(lambda _: tensor(2, 1, 16, 24)),
    in_ch=st.just(1),
    embed_dim=counts,
    patch_size=st.sampled_from([1, 2, 4, 8]),
)
def patch_embed(result: tuple, x: Tensor, embed_dim: int, patch_size: int, **_: Any) -> None:
    tokens, (H_p, W_p) = result
    assert (H_p * patch_size, W_p * patch_size) == x.shape[2:]
    assert tokens.shape == (len(x), H_p * W_p, embed_dim) and tokens.isfinite().all()


@entry(
    lambda x, embed_dim, num_heads, mlp_dim: TransformerEncoderBlock(embed_dim, num_heads, mlp_dim)(
        x
    ),
    x=st.integers(1, 20).map(lambda n: tensor(2, n, 12)),
    embed_dim=st.just(12),
    num_heads=st.sampled_from([1, 2, 3, 4, 6, 12]),
    mlp_dim=counts,
)
def encoder_block(result: Tensor, x: Tensor, **_: Any) -> None:
    same(result, x)


@entry(build, name=st.sampled_from([*NAMES, "LossStudyCNN"]), seed=st.none() | seeds)
def built(result: nn.Module, name: str, **_: Any) -> None:
    assert type(result) is spec(name).cls


@entry(lambda name: spec(name), name=st.sampled_from(NAMES))
def specified(result: Any, name: str) -> None:
    assert result.label and issubclass(result.cls, nn.Module)


# Restoring and evaluating.


class Same(nn.Module):
    """A model that returns its input."""

    def forward(self, x: Tensor) -> Tensor:
        return 1 * x


@entry(
    restore,
    model=st.just(Same()),
    y=st.builds(tensor, channels, channels, st.integers(1, 200), st.integers(1, 200)),
    tile=st.sampled_from([None, 64, 72, 128]),
    overlap=st.sampled_from([0, 8, 16, 32]),
)
def restored(result: Tensor, y: Tensor, **_: Any) -> None:
    same(result, y)
    if not y.is_meta:
        torch.testing.assert_close(result, y, rtol=0.02, atol=1e-6)


@entry(
    lambda images, problem, seed: evaluation.measure_one_by_one(images, problem, seed=seed),
    images=st.builds(tensor, counts, st.just(1), st.integers(1, 40), st.integers(1, 40)),
    problem=st.just(motion_deblurring()),
    seed=seeds,
)
def measured(result: Tensor, images: Any, **_: Any) -> None:
    same(result, images.float())


@entry(
    evaluation.evaluate,
    models=st.just({"same": Same()}),
    images=st.builds(tensor, st.integers(1, 2), st.just(1), st.integers(7, 40), st.integers(7, 40)),
    problem=st.just(motion_deblurring()),
    metrics=st.lists(st.sampled_from(["mse", "psnr", "ssim"]), min_size=1, unique=True),
    seed=seeds,
    first=st.none() | st.integers(1, 3),
    device=st.just(torch.device("cpu")),
    progress=st.just(False),
)
def evaluated(
    result: pd.DataFrame, models: Any, images: Tensor, metrics: Any, first: Any, **_: Any
) -> None:
    assert len(result) == (1 + len(models)) * len(images[:first])
    assert list(result.columns) == ["model", "image", *dict.fromkeys(metrics)]
    assert not result.isna().any().any()


@entry(
    evaluation.summarise,
    table=st.just(
        pd.DataFrame({"model": ["a", "a", "b"], "image": [0, 1, 0], "mse": [1.0, 2.0, 3.0]})
    ),
)
def summarised(result: pd.DataFrame, table: pd.DataFrame) -> None:
    assert list(result.index) == list(dict.fromkeys(table["model"]))


# Slices.


@entry(
    generate_slice,
    seed=seeds,
    split=st.sampled_from(["train", "test"]),
    patient=st.sampled_from(["G01", "T7"]),
    index=st.integers(0, 3),
    count=st.integers(4, 9),
)
def generated(result: np.ndarray, **_: Any) -> None:
    assert result.shape == (256, 256) and result.dtype == np.uint8


# Classical restoration.


def make_and_deblur(make: type[nn.Module]) -> Callable[..., Tensor]:
    def call(y: Any, **arguments: Any) -> Tensor:
        return make(**arguments)(y)

    return call


blurs = st.builds(lambda k: Blurring(kernel_type="motion", kernel_size=k), st.sampled_from([1, 7]))
measured_images = st.builds(tensor, counts, st.just(1), st.integers(8, 40), st.integers(8, 40))


@entry(make_and_deblur(Tikhonov), operator=blurs, weight=st.floats(1e-6, 9), y=measured_images)
def tikhonov(result: Tensor, y: Tensor, **_: Any) -> None:
    same(result, y)


@entry(
    make_and_deblur(TotalVariation),
    operator=blurs,
    weight=st.floats(1e-6, 9),
    steps=st.integers(1, 20),
    penalty=st.none() | st.floats(1e-3, 9),
    y=measured_images,
)
def total_variation(result: Tensor, y: Tensor, **_: Any) -> None:
    same(result, y)


# Ways that know or are shown the operator.


denoiser = nn.AvgPool3d((2, 1, 1))  # of the image and its noise map, (B, 2, H, W)


@entry(
    make_and_deblur(PlugAndPlay),
    operator=blurs,
    noise_level=st.floats(0, 2),
    denoiser=st.just(denoiser),
    steps=st.integers(1, 3),
    strongest=st.floats(1e-3, 1),
    y=measured_images,
)
def plug_and_play(result: Tensor, y: Tensor, **_: Any) -> None:
    assert result.shape == y.shape and (y.is_meta or result.isfinite().all())


def make_and_show(make: type[InverseProblem]) -> Callable[..., Tensor]:
    def call(y: Any, **arguments: Any) -> Tensor:
        return make(**arguments).network_input(y)

    return call


@entry(make_and_show(InformedProblem), operator=blurs, noise_level=level, y=measured_images)
def informed(result: Tensor, y: Tensor, **_: Any) -> None:
    assert result.shape == (len(y), 4, *y.shape[2:]) and (y.is_meta or result.isfinite().all())


@entry(
    make_and_show(RandomNoise),
    noise_level=level,
    noise_levels=st.just((0.01, 0.1)),
    y=measured_images,
)
def shown_noise(result: Tensor, y: Tensor, **_: Any) -> None:
    assert result.shape == (len(y), 2, *y.shape[2:]) and (y.is_meta or result.isfinite().all())


def draw(**arguments: Any) -> InverseProblem:
    return RandomBlurs(**arguments).draw(np.random.default_rng(0))


@entry(
    draw,
    lengths=st.sampled_from([(5,), (3, 9)]),
    angles=st.sampled_from([(0.0, 180.0), (20, 20)]),
    noise_levels=st.just((0.01, 0.1)),
)
def drawn(result: InverseProblem, noise_levels: Any, **_: Any) -> None:
    assert noise_levels[0] * 0.999 <= result.noise_level <= noise_levels[1] * 1.001


@entry(
    data_residual,
    x_hat=st.builds(tensor, *map(st.just, (2, 1, 16, 20))),
    y=st.builds(tensor, *map(st.just, (2, 1, 16, 20))),
    operator=st.just(motion_deblurring().operator),
)
def residual(result: Tensor, x_hat: Tensor, **_: Any) -> None:
    assert result.shape == x_hat.shape[:1] and not (x_hat.is_meta or result.isnan().any())


# Files.


def first_slice(data_path: Any, **arguments: Any) -> Tensor:
    return MayoDataset(data_path, **arguments)[0]


@entry(
    first_slice,
    data_path=st.builds(lambda: data_dir() / "test"),
    data_shape=st.integers(1, 300),
    cache_bytes=st.integers(0, 2**20),
    skip_bad=st.just(False),
    white=st.none() | st.integers(1, 65535),
)
def read(result: Tensor, data_shape: int, **_: Any) -> None:
    assert result.shape == (1, data_shape, data_shape)
    assert 0 <= result.min() and result.max() <= 1


@entry(load_checkpoint, model=st.just("CNN"), path=st.builds(lambda: weights_dir() / "CNN.pth"))
def loaded(result: nn.Module, **_: Any) -> None:
    assert not result.training and all(p.isfinite().all() for p in result.parameters())


def save_in_a_new_folder(model: Any, record: Any) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        save_checkpoint(model, Path(folder, "one.pth"), record=record)
        return read_manifest(folder)


@entry(
    save_in_a_new_folder,
    model=st.just(nn.Linear(2, 2)),
    record=st.none() | st.fixed_dictionaries({"seconds": level}),
)
def saved(result: dict[str, Any], record: Any, **_: Any) -> None:
    assert (record or {}).items() <= result["one"].items()


@entry(read_manifest, folder=st.builds(weights_dir))
def recorded(result: dict[str, Any], **_: Any) -> None:
    assert all(isinstance(entry, dict) for entry in result.values())


# The test.

tried: Counter[tuple[str, bool]] = Counter()  # by entry, and whether an argument was replaced


def judge(name: str, data: st.DataObject) -> None:
    case = ENTRIES[name]
    arguments = data.draw(case.good, label="good arguments")
    least = data.draw(st.sampled_from([1, 1, 1, 1, 0]))
    some = st.sets(st.sampled_from(sorted(arguments)), min_size=least, max_size=2)
    victims = data.draw(some if least else st.builds(set), label="replaced")
    for victim in sorted(victims):
        arguments[victim] = data.draw(ANYTHING)
    tried[name, bool(victims)] += 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = case.call(**arguments)
    except (ValueError, TypeError, FileNotFoundError) as error:
        assert victims, f"good arguments were refused: {error}"
        blamed = victims | ({"x"} if "in_ch" in victims else set())  # another in_ch, same images
        named = [argument for argument in blamed if re.search(rf"\b{argument}\b", str(error))]
        assert named, f"none of {sorted(victims)} is named in: {error}"
        return
    case.right(result, **arguments)


search = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.generate, Phase.shrink],
)


@pytest.mark.parametrize("name", ENTRIES)
@settings(search, max_examples=EXAMPLES, derandomize=True)
@given(data=st.data())
def test_a_right_answer_or_a_clear_refusal(name: str, data: st.DataObject) -> None:
    judge(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENTRIES)
@settings(search, max_examples=20 * EXAMPLES)
@given(data=st.data())
def test_many_more_at_random(name: str, data: st.DataObject) -> None:
    judge(name, data)


def test_two_thousand_inputs_were_tried_and_most_were_hostile() -> None:
    if {name for name, _ in tried} != set(ENTRIES):
        pytest.skip("counts what the tests above tried, and not all of them ran")
    hostile = sum(number for (_, replaced), number in tried.items() if replaced)
    assert tried.total() >= 2000 and hostile >= 1500
