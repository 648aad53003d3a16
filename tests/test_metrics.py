"""The metrics against scikit-image and the lpips package, image by image."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import skimage.metrics
import torch
from torch import Tensor

from ippy import course_root, quality
from ippy.quality import METRICS, lpips, metrics, mse, psnr, ssim
from ippy.quality.features import MISSING_FEATURES, features_available

from .callers import CALLERS_STATES, TRANSFORMS, unchanged, unchanged_world

needs_features = pytest.mark.skipif(not features_available(), reason=MISSING_FEATURES)
PER_PIXEL = {"mse": mse, "psnr": psnr, "ssim": ssim}


def batch(*shape: int, noise: float = 0.05, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return smooth images with a flat, black border, and noisy estimates of them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(*shape, generator=generator).cumsum(-1).sin().abs()
    x[..., : shape[-2] // 4, :] = 0
    return (x + noise * torch.randn(*shape, generator=generator)).clamp(0, 1), x


def slices(*tensors: Tensor) -> list[tuple[np.ndarray, ...]]:
    return list(zip(*(tensor[:, 0].double().numpy() for tensor in tensors), strict=True))


@pytest.mark.parametrize("noise", [0.0005, 0.05, 0.5])
@pytest.mark.parametrize("size", [(256, 256), (33, 50), (7, 7)])
def test_values_are_scikit_images(size: tuple[int, int], noise: float) -> None:
    x_hat, x = batch(4, 1, *size, noise=noise)
    pairs = slices(x_hat, x)
    expected = {
        "mse": [skimage.metrics.mean_squared_error(b, a) for a, b in pairs],
        "psnr": [skimage.metrics.peak_signal_noise_ratio(b, a, data_range=1) for a, b in pairs],
        "ssim": [skimage.metrics.structural_similarity(b, a, data_range=1) for a, b in pairs],
    }
    for name, metric in PER_PIXEL.items():
        found = metric(x_hat, x)
        assert found.shape == (4,) and found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), expected[name], rtol=0, atol=1e-5, err_msg=name)


def test_flat_images_lose_nothing_to_rounding() -> None:
    x = torch.full((1, 1, 64, 64), 0.9)
    x[..., 20:40, 20:40] = 0.3
    x_hat = 0.97 * x
    ((a, b),) = slices(x_hat, x)
    expected = skimage.metrics.structural_similarity(b, a, data_range=1)
    assert ssim(x_hat, x).item() == pytest.approx(expected, abs=1e-5)


def test_flat_images_that_are_far_apart_agree_too() -> None:
    levels = torch.linspace(0, 1, 21)
    x = levels.repeat_interleave(21)[:, None, None, None].expand(-1, 1, 12, 12)
    x_hat = levels.repeat(21)[:, None, None, None].expand(-1, 1, 12, 12)
    expected = [
        skimage.metrics.structural_similarity(b, a, data_range=1) for a, b in slices(x_hat, x)
    ]
    np.testing.assert_allclose(ssim(x_hat, x).numpy(), expected, rtol=0, atol=1e-5)


def test_data_range_is_that_of_scikit_image() -> None:
    x_hat, x = (255 * image for image in batch(2, 1, 32, 32))
    for (a, b), db, similarity in zip(
        slices(x_hat, x),
        psnr(x_hat, x, data_range=255),
        ssim(x_hat, x, data_range=255),
        strict=True,
    ):
        expected = skimage.metrics.peak_signal_noise_ratio(b, a, data_range=255)
        assert db.item() == pytest.approx(expected, abs=1e-5)
        expected = skimage.metrics.structural_similarity(b, a, data_range=255)
        assert similarity.item() == pytest.approx(expected, abs=1e-5)


def test_colour_is_averaged_over_its_channels() -> None:
    x_hat, x = batch(1, 3, 32, 40)
    a, b = (image[0].permute(1, 2, 0).double().numpy() for image in (x_hat, x))
    expected = skimage.metrics.structural_similarity(b, a, data_range=1, channel_axis=2)
    assert ssim(x_hat, x).item() == pytest.approx(expected, abs=1e-5)
    assert psnr(x_hat, x).item() == pytest.approx(
        skimage.metrics.peak_signal_noise_ratio(b, a, data_range=1), abs=1e-5
    )


def test_equal_images_are_perfect() -> None:
    x = batch(2, 1, 16, 16)[1]
    assert mse(x, x).tolist() == [0, 0]
    assert psnr(x, x).tolist() == [float("inf")] * 2
    assert ssim(x, x).tolist() == [1, 1]


@pytest.mark.parametrize("name", [*PER_PIXEL, pytest.param("lpips", marks=needs_features)])
def test_every_metric_says_which_way_is_better(name: str) -> None:
    metric = getattr(metrics, name)
    less_noise, more_noise = (metric(*batch(3, 1, 40, 64, noise=noise)) for noise in (0.02, 0.1))
    higher, lower = less_noise, more_noise
    if not METRICS[name].higher_is_better:
        higher, lower = lower, higher
    assert (higher > lower).all()


def test_the_table_of_metrics_has_the_metrics_of_the_package() -> None:
    assert list(METRICS) == ["mse", "psnr", "ssim", "lpips"]
    assert all(getattr(quality, name) is getattr(metrics, name) for name in METRICS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        METRICS["psnr"].digits = 3
    assert (
        METRICS["psnr"].label == "PSNR (dB)" and f"{34.6964:.{METRICS['psnr'].digits}f}" == "34.70"
    )


def test_ssim_stays_in_its_bounds_where_rounding_is_all_there_is() -> None:
    generator = torch.Generator().manual_seed(0)
    x_hat, x = 1e7 + torch.rand(2, 500, 1, 7, 7, generator=generator, dtype=torch.float64)
    assert (ssim(x_hat, x).abs() <= 1).all()


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_has_the_digits_of_the_published_table(name: str) -> None:
    table = pd.read_csv(course_root() / "book" / "published.csv", comment="#", dtype=str)
    (digits,) = {len(number.partition(".")[2]) for number in table[name]}
    assert METRICS[name].digits == digits - (name == "psnr")  # hundredths of a dB are enough


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("shapes", [((1, 1, 32, 32), (2, 1, 32, 32)), ((32, 32), (32, 32))])
def test_shapes_are_explained(name: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r"expected the same \(B, C, H, W\) for both"):
        getattr(metrics, name)(*(torch.zeros(shape) for shape in shapes))


def test_other_wrong_input_is_explained() -> None:
    small = torch.zeros(1, 1, 6, 40)
    with pytest.raises(ValueError, match="x is 6x40 pixels; expected 7x7 at least"):
        ssim(small, small)
    with pytest.raises(ValueError, match="31x31 at least"):
        lpips(small, small)
    with pytest.raises(TypeError, match=r"torch\.uint8"):
        mse(small.byte(), small.byte())
    with pytest.raises(ValueError, match="data_range is 0"):
        psnr(small, small, data_range=0)


@pytest.mark.parametrize("name", PER_PIXEL)
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms_pass_through_the_metrics(name: str, transform: Callable) -> None:
    x_hat, x = batch(3, 1, 12, 14)
    transform(PER_PIXEL[name], x_hat, x)


@pytest.mark.parametrize("name", PER_PIXEL)
def test_a_traced_metric_takes_any_number_of_images(name: str) -> None:
    metric, few, many = PER_PIXEL[name], batch(2, 1, 20, 24), batch(5, 1, 20, 24, seed=1)
    traced = torch.jit.trace(metric, few)
    torch.testing.assert_close(traced(*many), metric(*many))


@pytest.mark.parametrize("name", PER_PIXEL)
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    x_hat, x = (image.double() for image in batch(2, 1, 8, 9))
    assert torch.autograd.gradcheck(
        lambda a, b: PER_PIXEL[name](a, b).double(),
        (x_hat.requires_grad_(), x.requires_grad_()),
        eps=1e-3,  # the metric is rounded to float32
        atol=1e-2,
        rtol=1e-2,
    )


@pytest.mark.parametrize("name", [*PER_PIXEL, pytest.param("lpips", marks=needs_features)])
def test_a_metric_leaves_its_images_and_the_world_alone(name: str) -> None:
    x_hat, x = batch(2, 1, 40, 36)
    metrics._lpips_network.cache_clear()
    with unchanged_world(), unchanged(x_hat, x):
        expected = getattr(metrics, name)(x_hat, x)
    for state in CALLERS_STATES.values():
        metrics._lpips_network.cache_clear()
        with state():
            torch.testing.assert_close(getattr(metrics, name)(x_hat, x), expected)


@needs_features
def test_lpips_is_the_packages(capfd) -> None:
    import lpips as package

    x_hat, x = batch(3, 1, 64, 64)
    before = torch.get_rng_state()
    metrics._lpips_network.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = lpips(x_hat, x)
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), before)
    assert found.shape == (3,) and not found.requires_grad

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.no_grad():
        warnings.simplefilter("ignore")
        network = package.LPIPS(net="alex", verbose=False)
        for value, a, b in zip(found, x_hat, x, strict=True):
            expected = network(
                *((2 * image - 1).repeat(1, 3, 1, 1) for image in (a[None], b[None]))
            )
            assert value.item() == pytest.approx(expected.item(), abs=1e-6)


@needs_features
def test_lpips_takes_colour_and_tells_noise() -> None:
    little, much = (lpips(*batch(2, 3, 40, 64, noise=noise)) for noise in (0.02, 0.2))
    assert (0 < little).all() and (little < much).all()
    x = batch(2, 3, 40, 64)[1]
    assert lpips(x, x).tolist() == [0, 0]


def test_lpips_without_features_says_how_to_get_them(monkeypatch) -> None:
    monkeypatch.setattr(metrics, "features_available", lambda: False)
    metrics._lpips_network.cache_clear()
    x = torch.zeros(1, 1, 32, 32)
    with pytest.raises(FileNotFoundError) as caught:
        lpips(x, x)
    assert str(caught.value) == MISSING_FEATURES
    metrics._lpips_network.cache_clear()
