"""Problems that show more than a measurement: exact inverses, honest channels, families."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ippy.data.phantoms import generate_slice
from ippy.models.gated import GatedUNet
from ippy.operators import Blurring, Each, LinearOperator, ParallelBeam
from ippy.problems import (
    INFORMED_CHANNELS,
    InformedProblem,
    InverseProblem,
    MisinformedProblem,
    PlugAndPlay,
    RandomBlurs,
    RandomNoise,
    Tikhonov,
    TotalVariation,
    motion_deblurring,
    smooth_inverse,
)
from ippy.problems.informed import NOISE_UNIT
from ippy.problems.smooth_inverse import SmoothInverse
from ippy.quality import evaluate, psnr, restore
from ippy.train import Recipe, fit
from ippy.train.pairs import TrainingPairs
from ippy.train.resume import probe

CPU = torch.device("cpu")
RAGGED = Blurring(kernel=[[0.0, 0.3, 0.0], [0.1, 0.2, 0.0], [0.0, 0.0, 0.4]])


class DeadPixels(LinearOperator):
    """A detector without some of its pixels, that in the middle among them."""

    def _forward(self, x: Tensor) -> Tensor:
        H, W = x.shape[-2:]
        dead = torch.zeros(H, W, dtype=torch.bool)
        dead[1::3, ::2] = dead[H // 2, W // 2] = True
        return x.masked_fill(dead, 0)

    _adjoint = _forward


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def matrix(operator, H: int, W: int) -> np.ndarray:
    """The operator on images (H, W), column by column."""
    basis = torch.eye(H * W, dtype=torch.float64).reshape(-1, 1, H, W)
    return operator(basis).flatten(1).numpy().T


def differences(H: int, W: int) -> np.ndarray:
    """All differences of neighbours in an image that is surrounded by zeros."""
    rows = []
    for down, right in ((1, 0), (0, 1)):
        for row in range(-1, H):
            for column in range(-1, W):
                difference = np.zeros((H + 1, W + 1))
                difference[row + down, column + right] += 1
                difference[row, column] -= 1  # -1 is what lies around the image
                rows.append(difference[:H, :W].ravel())
    return np.array(rows)


@pytest.fixture(scope="module")
def x() -> Tensor:
    """A generated slice, (1, 1, 256, 256)."""
    return torch.from_numpy(generate_slice(7, "test", "G91", 3, 8)).float()[None, None] / 255


@pytest.mark.parametrize("operator", [RAGGED, DeadPixels()], ids=["ragged", "dead pixels"])
def test_the_smooth_inverse_solves_its_equation_with_zeros_beyond_the_border(operator) -> None:
    (H, W), weight = (9, 12), 0.03
    y = images(2, 1, H, W).double()
    found = SmoothInverse(operator, (H, W), y)(y, weight, y, tolerance=1e-9)
    K, D = matrix(operator, H, W), differences(H, W)
    expected = np.linalg.solve(K.T @ K + weight * D.T @ D, K.T @ y.flatten(1).numpy().T)
    np.testing.assert_allclose(found.flatten(1).numpy().T, expected, atol=1e-7)


def test_few_steps_are_enough_for_it_on_an_image_that_does_not_end_in_black(monkeypatch) -> None:
    monkeypatch.setattr(smooth_inverse, "MOST_ITERATIONS", 100)
    wide = Blurring(kernel_type="gaussian", kernel_size=9, kernel_variance=4.0)
    smooth = wide(images(1, 1, 120, 120))[..., 12:108, 12:108]
    x = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    blur = Blurring(kernel_type="motion", kernel_size=9, motion_angle=110)
    y = InverseProblem(blur, 0.01).measure(x, seeded())
    inverse, calls = SmoothInverse(blur, y.shape[-2:], y), []
    normal = blur.normal
    monkeypatch.setattr(blur, "normal", lambda image: calls.append(1) or normal(image))
    inverse(y, 8e-4, y, tolerance=1e-5)
    assert len(calls) <= 21  # with a preconditioner of the image's own size 27


@pytest.mark.parametrize(("length", "angle"), [(9, 20), (13, 110)])
def test_the_first_channel_is_far_better_than_a_periodic_inverse(
    x: Tensor, length: int, angle: float
) -> None:
    blur = Blurring(kernel_type="motion", kernel_size=length, motion_angle=angle)
    problem = InformedProblem(blur, 0.01)
    y = problem.measure(x, seeded())
    best, smooth, start, _ = problem.network_input(y).clamp(0, 1).split(1, dim=1)
    assert psnr(best, x) > psnr(Tikhonov(blur)(y).clamp(0, 1), x) + 1
    assert psnr(best, x) > psnr(smooth, x) > psnr(start, x)


def test_a_network_is_shown_inverses_the_measurement_and_the_noise() -> None:
    problem = InformedProblem(RAGGED, 0.04)
    x = images(3, 1, 40, 33)
    y = problem.measure(x, seeded())
    shown = problem.network_input(y)
    assert shown.shape == (3, INFORMED_CHANNELS, 40, 33)
    assert shown[:, 2:3].equal(y)
    sigma = (y - RAGGED(x)).flatten(1).square().mean(dim=1).sqrt()
    expected = (sigma / NOISE_UNIT).log().view(3, 1, 1, 1).expand(3, 1, 40, 33)
    torch.testing.assert_close(shown[:, 3:], expected, atol=2e-2, rtol=0)
    one_by_one = torch.cat([problem.network_input(image) for image in y.split(1)])
    torch.testing.assert_close(shown, one_by_one, atol=5e-3, rtol=0)
    roughness = [part.diff(dim=-1).square().mean() for part in shown[:, :2].split(1, dim=1)]
    assert roughness[0] > 1.05 * roughness[1]
    assert problem.start(y).equal(y) and not shown.requires_grad


def test_what_a_dead_pixel_hides_is_filled_in() -> None:
    x = torch.linspace(0, 1, 33)[:, None].expand(1, 1, 33, 33)
    y = InverseProblem(DeadPixels(), 0.01).measure(x, seeded())
    start = psnr(y, x)
    assert psnr(InformedProblem(DeadPixels(), 0.01).network_input(y)[:, :1], x) > start + 10
    assert psnr(TotalVariation(DeadPixels(), 1e-3)(y), x) > start + 10


def test_other_operators_are_shown_too() -> None:
    K = ParallelBeam(24, views=40)
    y = InverseProblem(K, 0.01).measure(images(1, 1, 24, 24), seeded())
    shown = InformedProblem(K, 0.01).network_input(y)
    assert shown.shape == (1, 4, 24, 24)
    torch.testing.assert_close(shown[:, 2:3], K.direct(y))


def test_who_believes_in_another_operator_is_shown_its_inverse() -> None:
    wrong = InformedProblem(Blurring(kernel_type="motion", kernel_size=5, motion_angle=90), 0.02)
    problem = MisinformedProblem(RAGGED, 0.01, wrong)
    x = images(1, 1, 24, 24)
    y = problem.measure(x, seeded())
    assert y.equal(InverseProblem(RAGGED, 0.01).measure(x, seeded()))
    assert problem.network_input(y).equal(wrong.network_input(y))
    assert problem.operator is RAGGED and problem.known_operator is wrong.operator
    assert problem.start(y).equal(y)
    with pytest.raises(TypeError, match="believed is a Blurring"):
        MisinformedProblem(RAGGED, 0.01, RAGGED)


def test_a_family_draws_lengths_angles_and_noise_evenly() -> None:
    family, rng = RandomBlurs(), np.random.default_rng(0)
    drawn = [family.draw(rng) for _ in range(600)]
    assert all(type(problem) is InformedProblem for problem in drawn)
    sizes, counts = np.unique([len(p.operator.kernel) for p in drawn], return_counts=True)
    assert sizes.tolist() == [5, 7, 9, 11, 13, 15] and counts.min() > 70
    levels = np.log([problem.noise_level for problem in drawn])
    low, high = math.log(0.005), math.log(0.05)
    assert low <= levels.min() and levels.max() <= high
    assert levels.mean() == pytest.approx((low + high) / 2, abs=0.1)
    kernels = {problem.operator.kernel.numpy().tobytes() for problem in drawn}
    assert len(kernels) > 100  # many angles
    reference = motion_deblurring()
    assert family.operator.kernel.equal(reference.operator.kernel)
    assert family.noise_level == reference.noise_level
    narrow = RandomBlurs(lengths=(5,), angles=(90, 90), noise_levels=(0.02, 0.02)).draw(rng)
    vertical = Blurring(kernel_type="motion", kernel_size=5, motion_angle=90)
    assert narrow.operator.kernel.equal(vertical.kernel)
    assert narrow.noise_level == pytest.approx(0.02)
    assert reference.draw(rng) is reference


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"lengths": (5, 6)}, r"lengths\[1\] is 6; expected an odd number"),
        ({"noise_levels": (0.0, 0.1)}, r"noise_levels\[0\] is 0.0"),
        ({"noise_levels": (0.1, 0.05)}, r"noise_levels\[1\] is 0.05"),
        ({"noise_levels": (0.1,)}, "noise_levels has 1 entries"),
        ({"lengths": ()}, "lengths is empty"),
        ({"angles": (180.0, 0.0)}, r"angles\[1\] is 0.0"),
        ({"angles": (math.nan, 1.0)}, r"angles\[0\] is nan"),
    ],
)
def test_a_family_that_makes_no_sense_is_refused(settings: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RandomBlurs(**settings)


@pytest.mark.parametrize("family", [RandomBlurs(), RandomNoise()], ids=["blurs", "noise"])
def test_what_is_shown_is_made_of_one_channel_and_finite_values(family) -> None:
    for y, says in (
        (images(1, 3, 16, 16), r"y has shape \(1, 3, 16, 16\)"),
        (images(1, 16, 16), r"y has shape \(1, 16, 16\)"),
        (images(1, 1, 16, 16) * math.nan, "y holds NaN"),
    ):
        with pytest.raises(ValueError, match=says):
            family.network_input(y)


@pytest.mark.parametrize("family", [RandomBlurs(), RandomNoise()], ids=["blurs", "noise"])
@pytest.mark.parametrize("crop", [32, None])
def test_a_pair_draws_the_same_problem_in_every_batch_and_process(family, crop) -> None:
    slices = images(5, 1, 40, 48)

    def pairs(seed: int = 0) -> TrainingPairs:
        return TrainingPairs(slices, family, crop=crop, seed=seed, grid=1, device=CPU)

    def kernels(batch) -> list[bytes]:
        operators = [getattr(K, "operator", K) for K in batch.operator.operators]
        return [K.kernel.numpy().tobytes() for K in operators]

    together = pairs().batch(range(6))
    shares = [pairs().batch(numbers) for numbers in (range(4, 6), range(4))]  # processes
    for part in ("x", "images", "y"):
        apart = torch.cat([getattr(share, part) for share in reversed(shares)])
        assert getattr(together, part).equal(apart)
    assert kernels(together) == kernels(shares[1]) + kernels(shares[0])
    levels = together.images[:, -1].amax(dim=(1, 2))
    assert len(set(levels.tolist())) == 6  # each pair has a noise of its own
    assert not pairs(seed=1).batch(range(6)).images.equal(together.images)
    assert all(a.equal(b) for a, b in zip(pairs().batch(range(6))[:2], together[:2], strict=True))


def test_a_crop_of_all_channels_is_cut_from_the_whole_measurement() -> None:
    slices, quiet = images(1, 1, 40, 48), RandomBlurs(noise_levels=(1e-6, 1e-6))
    pairs = TrainingPairs(slices, quiet, crop=32, seed=0, grid=1, device=CPU)
    x, shown, _, y, K = pairs.batch(range(3))
    assert shown.shape == (3, 4, 32, 32) and y.equal(shown[:, 2:3])
    assert K.T(K(x) - y).abs().max() < 1e-4  # a crop explains its data, but for their border
    whole = torch.cat(
        [part.operator(image) for part, image in zip(K.operators, x.split(1), strict=True)]
    )
    assert (whole - y).abs().max() > 0.05


def test_a_network_trains_on_a_family_and_is_scored_on_any_member(monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    slices = images(4, 1, 40, 48)
    torch.manual_seed(0)
    model = GatedUNet(INFORMED_CHANNELS, 1, base_ch=4)
    history = fit(
        model, slices, RandomBlurs(), Recipe(steps=3, crop=32), device=CPU,
        validation=slices[:2], progress=False,
    )  # fmt: skip
    assert len(history.loss) == 3
    problem = RandomBlurs()
    y = problem.measure(slices[:2], seeded(0))
    with torch.no_grad():
        x_hat = torch.cat([model(shown) for shown in problem.network_input(y).split(1)])
    score = psnr(x_hat.clamp(0, 1), slices[:2]).mean().item()
    assert history.validation[-1][2] == pytest.approx(score, abs=2e-3)

    problem = InformedProblem(RAGGED, 0.02)
    models = {"informed": model, "Tikhonov": Tikhonov(RAGGED)}
    table = evaluate(models, slices[:1], problem, metrics=["psnr"], device=CPU)
    y = problem.measure(slices[:1], seeded(123))
    with torch.no_grad():
        expected = [y, model(problem.network_input(y)), Tikhonov(RAGGED)(y)]
    scores = [psnr(image.clamp(0, 1), slices[:1]).item() for image in expected]
    assert table.psnr.tolist() == pytest.approx(scores, abs=1e-3)
    torch.testing.assert_close(restore(model, y, problem=problem), expected[1])


def test_a_stopped_run_of_another_family_is_another_run() -> None:
    slices = images(4, 1, 40, 48)
    assert probe(slices, RandomBlurs()).equal(probe(slices, RandomBlurs()))
    for other in ({"lengths": (5,)}, {"angles": (0, 5)}, {"noise_levels": (0.2, 0.4)}):
        assert not torch.allclose(probe(slices, RandomBlurs(**other)), probe(slices, RandomBlurs()))


def test_a_denoiser_is_shown_the_noise_and_no_blur() -> None:
    family, x = RandomNoise(), images(2, 1, 16, 16)
    problem = family.draw(np.random.default_rng(3))
    assert isinstance(problem, RandomNoise) and 0.003 <= problem.noise_level <= 0.3
    assert problem.noise_level != family.noise_level
    y = problem.measure(x, seeded())
    assert (y - x).norm() / x.norm() == pytest.approx(problem.noise_level, rel=1e-3)
    shown = problem.network_input(y)
    assert shown.shape == (2, 2, 16, 16) and shown[:, :1].equal(y)
    deviation = problem.noise_level * x[0].square().mean().sqrt()
    assert shown[0, 1, 0, 0] == pytest.approx(math.log(deviation / NOISE_UNIT), abs=0.05)


class Remembers(nn.Module):
    """A denoiser that halves the image, and keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Tensor] = []

    def forward(self, shown: Tensor) -> Tensor:
        self.given.append(shown)
        return shown[:, :1] / 2


@pytest.mark.parametrize("level", [0.05, 0.6])  # below the strongest, and beyond it
def test_plug_and_play_alternates_the_data_and_the_denoiser(level: float) -> None:
    H, W = 8, 10
    y = InverseProblem(RAGGED, level).measure(images(1, 1, H, W).double(), seeded())
    denoiser = Remembers()
    found = PlugAndPlay(RAGGED, level, denoiser, steps=3, strongest=0.2)(y)
    K, flat = matrix(RAGGED, H, W), y.flatten().numpy()
    sigma = level * np.sqrt((flat**2).mean() / (1 + level**2))
    strengths = np.geomspace(max(0.2, sigma), sigma, 3)
    z = flat
    for strength, shown in zip(strengths, denoiser.given, strict=True):
        near = sigma**2 / strength**2
        x = np.linalg.solve(K.T @ K + near * np.eye(H * W), K.T @ flat + near * z)
        np.testing.assert_allclose(shown[0, 0].flatten().numpy(), x, atol=1e-3)
        assert shown[0, 1, 0, 0] == pytest.approx(math.log(strength / NOISE_UNIT), abs=1e-6)
        z = x / 2
    np.testing.assert_allclose(found.flatten().numpy(), z, atol=1e-3)


def test_plug_and_play_stands_beside_the_classical_methods() -> None:
    problem, x = InverseProblem(RAGGED, 0.02), images(2, 1, 20, 17)
    method = PlugAndPlay(RAGGED, 0.02, GatedUNet(2, 1, base_ch=4))
    table = evaluate({"plug and play": method}, x, problem, metrics=["psnr"])
    assert len(table) == 4 and np.isfinite(table.psnr).all()
    y = problem.measure(x, seeded())
    torch.testing.assert_close(restore(method, y, problem=problem), method(y))
    torch.testing.assert_close(method(y.bfloat16()), method(y.bfloat16().float()))
    with pytest.raises(ValueError, match="y holds NaN"):
        method(y * math.nan)
    with pytest.raises(TypeError, match="denoiser is a function"):
        PlugAndPlay(RAGGED, 0.02, lambda shown: shown)
    with pytest.raises(ValueError, match="steps is 0"):
        PlugAndPlay(RAGGED, 0.02, method.denoiser, steps=0)


@pytest.mark.parametrize(
    "method",
    [
        lambda K: Tikhonov(K, 1e-3),
        lambda K: TotalVariation(K, 1e-3),
        lambda K: PlugAndPlay(K, 0.02, nn.AvgPool3d((2, 1, 1)), steps=3),
    ],
    ids=["Tikhonov", "TotalVariation", "PlugAndPlay"],
)
def test_methods_take_a_batch_whose_images_have_an_operator_each(method) -> None:
    streak = Blurring(kernel_type="motion", kernel_size=5, motion_angle=110)
    unlike = [DeadPixels(), streak, RAGGED]
    y = Each(unlike)(images(3, 1, 24, 20))
    alone = zip(unlike, y.split(1), strict=True)
    one_by_one = torch.cat([method(Each([K]))(image) for K, image in alone])
    together, mixed = method(Each(unlike))(y), method(Each(unlike[::-1]))(y)
    assert (together - one_by_one).norm() < 0.005 * one_by_one.norm()  # each stops near its limit
    assert (mixed - one_by_one).norm() > 0.05 * one_by_one.norm()
