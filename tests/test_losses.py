"""The losses against direct formulas, and their gradients against finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.quality import CombinedLoss, FourierLoss, PerceptualLoss, SSIMLoss, features
from ippy.quality.features import MISSING_FEATURES, alexnet_features, features_available

from .callers import CALLERS_STATES, TRANSFORMS, unchanged, unchanged_world

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


def test_a_loss_says_its_settings() -> None:
    said = [repr(make()) for make in LOSSES.values()]
    assert len(set(said)) == len(LOSSES)  # a training run is told by them
    assert said[2] == "SSIMLoss(window_size=7, sigma=1.5)"


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


def test_images_of_bytes_are_not_taken_for_images_from_0_to_1() -> None:
    with pytest.raises(ValueError, match=r"x goes from 0 to 2\.5; expected values on the scale"):
        SSIMLoss()(torch.zeros(1, 1, 2, 2), torch.tensor([[[[0.0, 2.5], [1.0, 1.0]]]]))


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


def slice_like(*shape: int) -> Tensor:
    """Return images of a smooth body in black air, of which most windows are flat."""
    rows, columns = (torch.linspace(-1.4, 1.4, n) for n in shape[-2:])
    body = (rows[:, None].square() + columns.square() < 1).float()
    smooth = 0.4 + 0.1 * torch.sin(6 * rows)[:, None] * torch.cos(4 * columns)
    return (body * smooth).expand(shape)


def denominator(x: Tensor) -> Tensor:
    """Return SSIM's denominator for equal images, by 3x3 windows continued by zeros, in float64."""
    mu, square = (F.avg_pool2d(a.double(), 3, stride=1, padding=1) for a in (x, x.double() ** 2))
    return (2 * mu**2 + 0.01**2) * (2 * (square - mu**2) + 0.03**2)


@pytest.mark.parametrize(
    ("x", "cost"),
    [
        (torch.zeros(1, 1, 32, 32), 0.1),  # of C1 C2 + 1e-8, 1e-8 is a tenth
        (slice_like(2, 1, 64, 72), None),
        (pair(2, 3, 20, 27)[1], None),
        (torch.ones(1, 1, 16, 16), None),
    ],
    ids=["black", "slice", "noise", "white"],
)
def test_equal_images_cost_what_the_published_constant_costs(x: Tensor, cost: float | None) -> None:
    largest = denominator(x)
    expected = 1 - (largest / (largest + 1e-8)).mean().item()
    assert expected > 0
    assert SSIMLoss()(x, x).item() == pytest.approx(expected, abs=3e-6)
    if cost is not None:
        assert SSIMLoss()(x, x).item() == pytest.approx(cost, abs=1e-6)


def test_no_other_image_costs_less_than_the_truth() -> None:
    x = slice_like(1, 1, 48, 48).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(SSIMLoss()(x, x.detach()), x)
    assert gradient.abs().max() < 1e-6
    x_hat = x.detach() + 0.01 * pair(1, 1, 48, 48)[0]
    assert SSIMLoss()(x_hat, x.detach()) > SSIMLoss()(x.detach(), x.detach())


@pytest.mark.parametrize("sigma", [1.5, 0.8])
@pytest.mark.parametrize("kind", ["slice", "noise", "black"])
def test_gaussian_windows_are_scikit_images_away_from_the_border(kind: str, sigma: float) -> None:
    truth = {
        "slice": slice_like(2, 1, 60, 52),
        "noise": pair(2, 1, 60, 52)[1],
        "black": torch.zeros(2, 1, 60, 52),
    }
    x = truth[kind]
    x_hat = (x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(3))).clamp(
        0, 1
    )
    radius = int(3.5 * sigma + 0.5)  # scikit-image's windows reach so far
    loss = SSIMLoss(2 * radius + 1, sigma=sigma)
    inside = (slice(radius, -radius), slice(radius, -radius))
    for a, b, found in zip(x_hat, x, loss.ssim_map(x_hat, x), strict=True):
        _, expected = structural_similarity(
            *(image[0].double().numpy() for image in (a, b)),
            data_range=1,
            gaussian_weights=True,
            sigma=sigma,
            use_sample_covariance=False,
            full=True,
        )
        found = found[0][inside].double()
        expected = torch.from_numpy(expected[inside])
        assert found.mean().item() == pytest.approx(expected.mean().item(), abs=1e-5)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert loss(x, x).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES)
def test_transforms_pass_through_the_losses(make: Callable, transform: Callable) -> None:
    loss = make()
    transform(lambda a, b: loss(a, b), *pair(2, 1, 34, 36))


@pytest.mark.parametrize("name", ["Fourier squared", "SSIM", "SSIM Gaussian"])
def test_what_is_smooth_has_a_second_derivative_where_images_agree(name: str) -> None:
    x = pair(1, 1, 6, 7, dtype=torch.float64)[1]
    hessian = torch.func.hessian(lambda a: LOSSES[name]()(a, x))(x).view(42, 42)
    assert hessian.isfinite().all() and torch.linalg.eigvalsh(hessian).max() > 1e-3


@pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES)
def test_a_loss_leaves_its_images_and_the_world_alone(make: Callable[[], nn.Module]) -> None:
    x_hat, x = pair(2, 1, 34, 36)
    with unchanged_world(), unchanged(x_hat, x):
        expected = make()(x_hat, x)
    for state in CALLERS_STATES.values():
        with state():
            found = make()(x_hat, x)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "make",
    [*LOSSES.values(), lambda: CombinedLoss({"Huber": (1.0, nn.HuberLoss())})],
    ids=[*LOSSES, "Huber"],
)
def test_float64_truth_and_float32_estimate_train(make: Callable[[], nn.Module]) -> None:
    x_hat, x = pair(2, 1, 34, 36)
    gradients = []
    for truth in (x, x.double()):
        estimate = x_hat.clone().requires_grad_()
        make()(estimate, truth).backward()
        gradients.append(estimate.grad)
    assert gradients[1].dtype == torch.float32
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-6)


def test_numbers_of_numpy_are_numbers() -> None:
    x_hat, x = pair(1, 1, 12, 12)
    weights = {"a": (np.float64(0.5), nn.L1Loss()), "b": (np.float32(2), nn.MSELoss())}
    plain = {"a": (0.5, nn.L1Loss()), "b": (2.0, nn.MSELoss())}
    for made, expected in [
        (FourierLoss(p=np.int64(2)), FourierLoss(p=2)),
        (FourierLoss(high_pass=np.float32(0.25)), FourierLoss(high_pass=0.25)),
        (SSIMLoss(np.int32(5), sigma=np.float64(1.5)), SSIMLoss(5, sigma=1.5)),
        (SSIMLoss(np.array(5)), SSIMLoss(5)),
        (CombinedLoss(weights), CombinedLoss(plain)),
    ]:
        assert torch.equal(made(x_hat, x), expected(x_hat, x))


def test_a_weight_may_be_learned() -> None:
    weight = torch.tensor(0.5, requires_grad=True)
    x_hat, x = pair(1, 1, 12, 12)
    CombinedLoss({"MSE": (weight, nn.MSELoss())})(x_hat, x).backward()
    assert weight.grad == nn.MSELoss()(x_hat, x)
    learned = nn.Parameter(torch.tensor(0.5))
    loss = CombinedLoss({"L1": (1.0, nn.L1Loss()), "0.5 MSE": (learned, nn.MSELoss())})
    assert [*loss.parameters()] == [learned] and [*loss.state_dict().values()] == [learned]


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


def test_the_highest_frequency_of_an_image_may_be_the_cut_off() -> None:
    x_hat, x = pair(1, 1, 5, 1)
    spectrum = torch.fft.fft(x_hat - x, dim=2, norm="ortho").abs()  # 0, 0.2, 0.4, 0.4 and 0.2
    assert FourierLoss(high_pass=0.4)(x_hat, x).item() == pytest.approx(spectrum[..., 2, 0].item())
    with pytest.raises(ValueError, match=r"x is 5x1 pixels; no frequency .* high_pass 0\.45"):
        FourierLoss(high_pass=0.45)(x_hat, x)


def test_combined_compares_no_images_of_different_sizes() -> None:
    loss = CombinedLoss({"MSE": (1.0, nn.MSELoss())})  # which would repeat the smaller one
    with pytest.raises(ValueError, match=r"x_hat has shape \(1, 1, 8, 8\) and x has \(2, 1, 8, 8"):
        loss(torch.zeros(1, 1, 8, 8), torch.zeros(2, 1, 8, 8))


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
        (lambda: PerceptualLoss(weights=(1, 1)), "weights has 2 entries; expected 5"),
        (lambda: CombinedLoss({}), "losses is empty; expected a dict"),
        (lambda: CombinedLoss({"MSE": (-1.0, nn.MSELoss())}), r"losses\['MSE'\]\[0\] is -1.0"),
        (lambda: CombinedLoss({"MSE": (math.nan, nn.MSELoss())}), r"losses\['MSE'\]\[0\] is nan"),
    ],
)
def test_wrong_settings_are_explained(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_loss_that_is_no_module_is_explained() -> None:
    with pytest.raises(TypeError, match=r"losses\['MSE'\]\[1\] is a function; expected a torch"):
        CombinedLoss({"MSE": (1.0, F.mse_loss)})


@needs_features
def test_images_that_are_too_small_for_the_features_are_explained() -> None:
    with pytest.raises(ValueError, match="x is 30x64 pixels; expected 31x31 at least"):
        PerceptualLoss()(*pair(1, 1, 30, 64))


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
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms_pass_through_the_perceptual_loss(transform: Callable) -> None:
    loss = PerceptualLoss(p=2)
    transform(lambda a, b: loss(a, b), *pair(2, 1, 34, 36))


@needs_features
def test_perceptual_works_in_any_state_and_with_numpys_weights() -> None:
    x_hat, x = pair(2, 1, 34, 36)
    expected = PerceptualLoss(weights=(1, 0, 2, 0, 0))(x_hat, x)
    with unchanged_world(), unchanged(x_hat, x):
        found = PerceptualLoss(weights=np.array([1, 0, 2, 0, 0]))(x_hat, x.double())
    torch.testing.assert_close(found, expected)
    made_before = PerceptualLoss(weights=(1, 0, 2, 0, 0))
    for name, state in CALLERS_STATES.items():
        with state():
            found = made_before(x_hat, x)
            if name != "another device by default":  # where a new module would be
                assert found.equal(PerceptualLoss(weights=(1, 0, 2, 0, 0))(x_hat, x))
        close = {"rtol": 0.03, "atol": 0} if name == "autocast" else {}
        torch.testing.assert_close(found, expected, **close)


@needs_features
def test_perceptual_has_a_gradient_for_the_truth_too() -> None:
    x_hat, x = pair(1, 1, 32, 32)
    loss = PerceptualLoss(p=2)
    (there,) = torch.autograd.grad(loss(x_hat, x.requires_grad_()), x)
    (back,) = torch.autograd.grad(loss(x, x_hat), x)
    torch.testing.assert_close(there, back)


@needs_features
def test_perceptual_has_a_gradient_for_the_estimate() -> None:
    x_hat, x = pair(1, 1, 32, 32)
    PerceptualLoss()(x_hat.requires_grad_(), x).backward()
    assert x_hat.grad.isfinite().all() and x_hat.grad.any()


FEATURES = Path(torch.hub.get_dir()) / "checkpoints" / "alexnet-owt-7be5be79.pth"


@pytest.fixture
def no_network(tmp_path, monkeypatch):
    """Features that can't be downloaded, and an empty cache folder for them."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.urlopen", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    features._loaded.cache_clear()
    yield tmp_path / "hub" / "checkpoints"
    features._loaded.cache_clear()


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


@needs_features
def test_features_that_come_later_are_found(no_network) -> None:
    file = FEATURES.resolve()
    assert features_available() is False
    no_network.mkdir(parents=True, exist_ok=True)
    (no_network / file.name).symlink_to(file)
    assert features_available() is True
