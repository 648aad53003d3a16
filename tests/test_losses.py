"""The losses against direct formulas, and their gradients against finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.quality import CombinedLoss, FourierLoss, PerceptualLoss, SSIMLoss, features
from ippy.quality.features import MISSING_FEATURES, alexnet_features, features_available

LOSSES = {
    "SSIM": SSIMLoss,
    "SSIM 5": lambda: SSIMLoss(5),
    "SSIM Gaussian": lambda: SSIMLoss(7, sigma=1.5),
    "Fourier": FourierLoss,
    "Fourier squared": lambda: FourierLoss(p=2),
    "Fourier high-pass": lambda: FourierLoss(high_pass=0.2),
    "combined": lambda: CombinedLoss({"L1": (0.5, nn.L1Loss()), "SSIM": (0.2, SSIMLoss())}),
}
needs_features = pytest.mark.skipif(not features_available(), reason=MISSING_FEATURES)


def pair(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(*shape, generator=generator, dtype=dtype)
    noise = torch.randn(*shape, generator=generator, dtype=dtype)
    return (x + 0.1 * noise).clamp(0, 1), x


@pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES)
def test_equal_images_cost_nothing_and_others_something(make: Callable[[], nn.Module]) -> None:
    x_hat, x = pair(2, 1, 20, 27)
    loss = make()
    assert loss(x, x).item() == pytest.approx(0, abs=1e-4)
    assert loss(x_hat, x).shape == ()
    assert loss(x_hat, x).item() > 1e-3


@pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES)
def test_gradient_is_that_of_finite_differences(make: Callable[[], nn.Module]) -> None:
    x_hat, x = pair(1, 1, 8, 9, dtype=torch.float64)
    assert torch.autograd.gradcheck(make(), (x_hat.requires_grad_(), x))


@pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES)
def test_bfloat16_under_autocast_is_computed_in_float32(make: Callable[[], nn.Module]) -> None:
    x_hat, x = pair(1, 1, 16, 16)
    x_hat = x_hat.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        value = make()(x_hat, x)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, make()(x_hat.float(), x))


@pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize(
    "shapes",
    [((2, 1, 16, 16), (1, 1, 16, 16)), ((16, 16), (16, 16))],
    ids=["broadcast", "no batch"],
)
def test_wrong_shapes_are_explained(
    make: Callable[[], nn.Module], shapes: tuple[tuple[int, ...], ...]
) -> None:
    with pytest.raises(ValueError, match=r"x_hat has shape .* expected the same \(B, C, H, W\)"):
        make()(*(torch.zeros(shape) for shape in shapes))


def test_ssim_is_the_formula_window_by_window() -> None:
    x_hat, x = pair(1, 1, 6, 5, dtype=torch.float64)
    a, b = (F.pad(image, (1, 1, 1, 1))[0, 0] for image in (x_hat, x))
    values = []
    for i in range(6):
        for j in range(5):
            u, v = a[i : i + 3, j : j + 3], b[i : i + 3, j : j + 3]
            cov = ((u - u.mean()) * (v - v.mean())).mean()
            top = (2 * u.mean() * v.mean() + 1e-4) * (2 * cov + 9e-4)
            bottom = (u.mean() ** 2 + v.mean() ** 2 + 1e-4) * (
                u.var(unbiased=False) + v.var(unbiased=False) + 9e-4
            )
            values.append(top / (bottom + 1e-8))
    assert SSIMLoss()(x_hat, x).item() == pytest.approx(1 - torch.stack(values).mean().item())


def test_gaussian_window_is_a_normalised_convolution() -> None:
    taps = torch.exp(-(torch.arange(-5, 6.0) ** 2) / (2 * 1.5**2))
    kernel = taps[:, None] * taps / (taps.sum() ** 2)
    x_hat, x = pair(2, 3, 24, 30)

    def average(image: Tensor) -> Tensor:
        flat = image.flatten(0, 1)[:, None]
        return F.conv2d(flat, kernel[None, None], padding=5).view_as(image)

    mu_hat, mu = average(x_hat), average(x)
    cov = average(x_hat * x) - mu_hat * mu
    var = average(x_hat**2) - mu_hat**2 + average(x**2) - mu**2
    top = (2 * mu_hat * mu + 1e-4) * (2 * cov + 9e-4)
    expected = top / ((mu_hat**2 + mu**2 + 1e-4) * (var + 9e-4) + 1e-8)
    found = SSIMLoss(11, sigma=1.5).ssim_map(x_hat, x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_fourier_is_the_formula() -> None:
    x_hat, x = pair(2, 1, 5, 6, dtype=torch.float64)
    rows = torch.exp(-2j * math.pi * torch.outer(torch.arange(5), torch.arange(5)) / 5)
    columns = torch.exp(-2j * math.pi * torch.outer(torch.arange(6), torch.arange(6)) / 6)
    rows, columns = rows.to(torch.complex128), columns.to(torch.complex128)
    spectra = [rows @ image.to(torch.complex128) @ columns / math.sqrt(30) for image in (x_hat, x)]
    expected = (spectra[0] - spectra[1]).abs().mean().item()
    assert FourierLoss()(x_hat, x).item() == pytest.approx(expected, rel=1e-5)


def test_squared_fourier_is_the_mean_squared_error() -> None:
    x_hat, x = pair(2, 1, 32, 31)
    torch.testing.assert_close(FourierLoss(p=2)(x_hat, x), F.mse_loss(x_hat, x))


def test_high_pass_sees_only_frequencies_from_the_cut_off_on() -> None:
    column = torch.arange(64.0)
    x = torch.full((1, 1, 64, 64), 0.5)
    slow, fast = (
        x + 0.1 * torch.cos(2 * math.pi * cycles / 64 * column).expand(1, 1, 64, 64)
        for cycles in (4, 24)  # 0.0625 and 0.375 cycles per pixel
    )
    loss = FourierLoss(high_pass=0.2)
    assert loss(slow, x).item() == pytest.approx(0, abs=1e-6)
    assert loss(fast, x).item() > FourierLoss()(fast, x).item() > 1e-4


def test_combined_is_the_weighted_sum_and_reports_its_terms() -> None:
    x_hat, x = pair(2, 1, 16, 16)
    mse, fourier = nn.MSELoss(), FourierLoss()
    loss = CombinedLoss({"MSE": (1.0, mse), "0.1 Fourier": (0.1, fourier)})
    terms = loss.terms(x_hat, x)
    assert terms == {"MSE": mse(x_hat, x), "0.1 Fourier": fourier(x_hat, x)}
    assert loss(x_hat, x).item() == pytest.approx(
        terms["MSE"].item() + 0.1 * terms["0.1 Fourier"].item()
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SSIMLoss(4), "window_size is 4"),
        (lambda: SSIMLoss(sigma=0.0), "sigma is 0.0"),
        (lambda: FourierLoss(p=3), "p is 3"),
        (lambda: FourierLoss(high_pass=0.5), "high_pass is 0.5"),
        (
            lambda: PerceptualLoss(weights=(1, 1, 1, 1, -1)),
            r"weights\[4\] is -1; expected a number from 0",
        ),
        (lambda: PerceptualLoss(weights=(1, 1)), "2 weights came"),
        (lambda: CombinedLoss({}), "no losses came"),
        (lambda: CombinedLoss({"MSE": (-1.0, nn.MSELoss())}), r"weights\['MSE'\] is -1.0"),
        (lambda: CombinedLoss({"MSE": (math.nan, nn.MSELoss())}), r"weights\['MSE'\] is nan"),
    ],
)
def test_wrong_settings_are_explained(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@needs_features
def test_features_are_torchvisions_and_frozen() -> None:
    from torchvision.models import alexnet

    before = torch.get_rng_state()
    network = alexnet_features()
    assert torch.equal(torch.get_rng_state(), before)
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    with torch.random.fork_rng(devices=[]):
        whole = alexnet(weights="DEFAULT", progress=False).features.eval()
    x = pair(2, 3, 64, 64)[0]
    outputs = network(x)
    assert [f.shape[1] for f in outputs] == [64, 192, 384, 256, 256]
    for found, last in zip(outputs, (1, 4, 7, 9, 11), strict=True):
        torch.testing.assert_close(found, whole[: last + 1](x))


@needs_features
@pytest.mark.parametrize("p", [1, 2])
def test_perceptual_is_the_formula(p: int) -> None:
    x_hat, x = pair(2, 1, 64, 48)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    a, b = (alexnet_features()((image.repeat(1, 3, 1, 1) - mean) / std) for image in (x_hat, x))
    each = [(u - v).abs().pow(p).mean() for u, v in zip(a, b, strict=True)]
    torch.testing.assert_close(PerceptualLoss(p=p)(x_hat, x), sum(each))
    weighted = PerceptualLoss(weights=(0, 2, 0, 0, 1), p=p)(x_hat, x)
    torch.testing.assert_close(weighted, 2 * each[1] + each[4])


@needs_features
def test_perceptual_has_a_gradient_for_the_estimate() -> None:
    x_hat, x = pair(1, 1, 32, 32)
    PerceptualLoss()(x_hat.requires_grad_(), x).backward()
    assert x_hat.grad.isfinite().all() and x_hat.grad.any()


@pytest.fixture
def no_network(tmp_path, monkeypatch):
    """Features that can't be downloaded, and an empty cache folder for them."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.urlopen", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    features._pretrained.cache_clear()
    yield tmp_path / "hub" / "checkpoints"
    features._pretrained.cache_clear()


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint", b"PK\x03\x04" + bytes(500)])
def test_missing_or_broken_features_are_said_in_one_line(no_network, capfd, content) -> None:
    if content is not None:
        no_network.mkdir(parents=True)
        (no_network / "alexnet-owt-7be5be79.pth").write_bytes(content)
    assert features_available() is False
    with pytest.raises(FileNotFoundError) as caught:
        PerceptualLoss()
    assert str(caught.value) == MISSING_FEATURES and "\n" not in MISSING_FEATURES
    assert capfd.readouterr() == ("", "")
