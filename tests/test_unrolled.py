"""Unrolled networks against hand-written descent; operators made of others; data steps."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ippy.models.gated import GatedUNet
from ippy.models.unrolled import DataConsistent, Unrolled, data_step
from ippy.operators import Blurring, Each, Interior, ParallelBeam
from ippy.problems import InformedProblem, InverseProblem, MisinformedProblem, RandomBlurs
from ippy.quality import data_residual, evaluate, psnr, restore
from ippy.train import Recipe, fit
from ippy.train.pairs import TrainingPairs

CPU = torch.device("cpu")
RAGGED = Blurring(kernel=[[0.0, 0.3, 0.0], [0.1, 0.2, 0.0], [0.0, 0.0, 0.4]])
STREAK = Blurring(kernel_type="motion", kernel_size=5, motion_angle=110)


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def matrix(operator, H: int, W: int) -> np.ndarray:
    """The operator on images (H, W), column by column."""
    basis = torch.eye(H * W, dtype=torch.float64).reshape(-1, 1, H, W)
    return operator(basis).flatten(1).numpy().T


def without_networks(model: Unrolled) -> Unrolled:
    """Let the networks correct nothing: plain descent is left."""
    for network in model.networks:
        nn.init.zeros_(network.last.weight)
        nn.init.zeros_(network.last.bias)
    return model


@pytest.fixture
def model() -> Unrolled:
    """A small network with weights of its own, for four channels."""
    torch.manual_seed(0)
    return Unrolled(4, steps=3, base_ch=4)


@pytest.mark.parametrize("K", [Each([RAGGED, STREAK]), Interior(RAGGED), Interior(STREAK)])
def test_operators_made_of_others_have_exact_adjoints(K) -> None:
    x = images(2, 1, 17, 12, seed=1, dtype=torch.float64).requires_grad_()
    y = images(2, 1, 17, 12, seed=2, dtype=torch.float64)
    assert abs((K(x) * y).sum() - (x * K.T(y)).sum()) < 1e-12 * y.numel()
    (gradient,) = torch.autograd.grad((K(x) * y).sum(), x)
    torch.testing.assert_close(gradient, K.T(y), rtol=1e-12, atol=1e-12)


def test_each_image_of_a_batch_has_its_own_operator() -> None:
    x = images(2, 1, 9, 11)
    y = Each([RAGGED, STREAK])(x)
    assert y[:1].equal(RAGGED(x[:1])) and y[1:].equal(STREAK(x[1:]))
    beam = ParallelBeam(8, views=3)
    assert Each([beam, beam])(images(2, 1, 8, 8)).shape == (2, 1, *beam.out_shape)
    with pytest.raises(ValueError, match=r"expected \(\.\.\., 8, 8\)"):
        Each([beam, beam])(images(2, 1, 9, 8))
    start = beam.direct(beam(images(1, 1, 8, 8)))
    both = Each([beam, beam])
    assert both.direct_name == "FBP"
    assert both.direct(both(images(1, 1, 8, 8).expand(2, -1, -1, -1)))[1:].equal(start)
    for use in (Each([RAGGED, STREAK]), Each([RAGGED, STREAK]).T, Each([RAGGED, STREAK]).direct):
        with pytest.raises(ValueError, match="a batch of 3 meets 2 operators"):
            use(images(3, 1, 9, 11))


def test_the_interior_of_a_crop_is_that_of_the_whole() -> None:
    whole = images(1, 1, 30, 40)
    crop = (..., slice(5, 25), slice(7, 33))
    K = Interior(STREAK)
    inside = (..., slice(2, -2), slice(2, -2))
    assert K(whole[crop])[inside].equal(STREAK(whole)[crop][inside])
    border = torch.ones(1, 1, 20, 26)
    border[inside] = 0
    assert (K(whole[crop]) * border).abs().max() == 0
    assert Interior(Blurring(kernel_type="gaussian", kernel_size=15))(images(1, 1, 8, 8)).sum() == 0


def test_its_steps_are_those_of_gradient_descent_by_hand() -> None:
    H, W, taus = 6, 7, [0.9, 0.4, 1.3]
    model = without_networks(Unrolled(1, steps=3, base_ch=4)).double()
    model.tau.data = torch.tensor(taus, dtype=torch.float64)
    x, y = (images(2, 1, H, W, seed=k, dtype=torch.float64) for k in (1, 2))
    K, by_hand, data = matrix(RAGGED, H, W), x.flatten(1).numpy().T, y.flatten(1).numpy().T
    for tau in taus:
        by_hand = by_hand - tau * K.T @ (K @ by_hand - data)
    np.testing.assert_allclose(model(x, y, RAGGED).detach().flatten(1).numpy().T, by_hand)


def test_its_gradients_are_those_of_gradient_descent_by_hand() -> None:
    H, W, first, second = 5, 6, 0.7, 1.1
    model = without_networks(Unrolled(1, steps=2, base_ch=4)).double()
    model.tau.data = torch.tensor([first, second], dtype=torch.float64)
    x, y, c = (images(1, 1, H, W, seed=k, dtype=torch.float64) for k in (1, 2, 3))
    x.requires_grad_(), y.requires_grad_()
    (model(x, y, RAGGED) * c).sum().backward()
    K, eye = matrix(RAGGED, H, W), np.eye(H * W)
    x0, data, c = (image.detach().numpy().ravel() for image in (x, y, c))
    x1 = x0 - first * K.T @ (K @ x0 - data)
    back = (eye - second * K.T @ K) @ c  # of the second step
    np.testing.assert_allclose(x.grad.numpy().ravel(), (eye - first * K.T @ K) @ back)
    np.testing.assert_allclose(y.grad.numpy().ravel(), K @ (first * back + second * c))
    slopes = [-(K.T @ (K @ x0 - data)) @ back, -(K.T @ (K @ x1 - data)) @ c]
    np.testing.assert_allclose(model.tau.grad.numpy(), slopes)


def test_a_network_after_each_step_sees_where_it_went_and_all_other_channels(model) -> None:
    shown, y = images(2, 4, 16, 16), images(2, 1, 16, 16, seed=1)
    seen: list[Tensor] = []
    for network in model.networks:
        network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        found = model(shown, y, STREAK)
        x = shown[:, :1]
        for given, network, tau in zip(list(seen), model.networks, model.tau, strict=True):
            closer = data_step(x, y, STREAK, tau)
            torch.testing.assert_close(
                given, torch.cat([closer, closer - x, shown[:, 1:]], dim=1), rtol=0, atol=1e-6
            )
            x = network(given)
    torch.testing.assert_close(found, x)
    assert all((network(seen[0]) != seen[0][:, :1]).any() for network in model.networks)


def test_steps_may_share_a_network() -> None:
    own, shared = Unrolled(2, steps=3, base_ch=4), Unrolled(2, steps=3, base_ch=4, shared=True)
    weights = [sum(w.numel() for w in model.parameters()) - 3 for model in (own, shared)]
    assert weights[0] == 3 * weights[1]
    x = images(1, 2, 8, 8)
    assert shared(x, x[:, :1], STREAK).shape == (1, 1, 8, 8)


def test_the_residual_falls_with_every_step_towards_the_data() -> None:
    problem = InverseProblem(STREAK, 0.01)
    y = problem.measure(images(1, 1, 24, 24), seeded())
    residuals = [
        data_residual(DataConsistent(nn.Identity(), steps)(y, y, STREAK), y, STREAK).item()
        for steps in range(1, 8)
    ]
    assert all(later < earlier for earlier, later in pairwise(residuals))
    assert residuals[0] < data_residual(y, y, STREAK).item()
    unrolled = without_networks(Unrolled(1, steps=7, base_ch=4))(y, y, STREAK)
    assert data_residual(unrolled, y, STREAK).item() == pytest.approx(residuals[-1], rel=1e-4)


def test_the_residual_of_the_truth_is_the_noise() -> None:
    x = images(3, 1, 20, 30)
    y = InverseProblem(RAGGED, 0.03).measure(x, seeded())
    e, data = (part.flatten(1).numpy() for part in (RAGGED(x) - y, y))
    expected = np.linalg.norm(e, axis=1) / np.linalg.norm(data, axis=1)
    np.testing.assert_allclose(data_residual(x, y, RAGGED).numpy(), expected, rtol=1e-5)
    assert data_residual(x, y, RAGGED)[0].item() == pytest.approx(0.03, rel=0.01)


def test_a_residual_is_of_measurements_that_fit() -> None:
    x, y = images(2, 1, 16, 16), images(2, 1, 16, 16)
    for bad, says in (
        (y[:1], r"y has shape \(1, 1, 16, 16\); K x_hat has \(2, 1, 16, 16\)"),
        (y[..., :1], r"y has shape \(2, 1, 16, 1\)"),
        (y * math.nan, "y holds NaN"),
    ):
        with pytest.raises(ValueError, match=says):
            data_residual(x, bad, STREAK)
    nothing = torch.zeros_like(y)
    assert data_residual(nothing, nothing, STREAK).tolist() == [0, 0]
    assert data_residual(x, nothing, STREAK).tolist() == [math.inf] * 2


@pytest.mark.parametrize("size", [(8, 8), (33, 40), (17, 61)])
def test_any_size_goes_through(model, size) -> None:
    with torch.no_grad():
        found = model(images(1, 4, *size), images(1, 1, *size), STREAK)
    assert found.shape == (1, 1, *size) and found.isfinite().all()


def test_data_need_not_be_images() -> None:
    K = ParallelBeam(16, views=5)
    problem = InverseProblem(K, 0.01)
    model = Unrolled(1, steps=2, base_ch=4, tau=1e-2)
    x = images(2, 1, 16, 16)
    y = problem.measure(x, seeded())
    with torch.no_grad():
        assert model(problem.network_input(y), y, K).shape == x.shape
    history = fit(model, x, problem, Recipe(steps=2, crop=None), device=CPU, progress=False)
    assert len(history.loss) == 2


def test_wrong_input_is_explained(model) -> None:
    shown, y = images(2, 4, 16, 16), images(2, 1, 16, 16)
    with pytest.raises(ValueError, match=r"images has shape \(2, 1, 16, 16\); expected \(B, 4"):
        model(y, y, STREAK)
    with pytest.raises(ValueError, match=r"y has shape \(1, 1, 16, 16\) and images"):
        model(shown, y[:1], STREAK)
    with pytest.raises(ValueError, match=r"y has shape \(2, 1, 16, 8\); expected \(B, C, 16, 16\)"):
        model(shown, y[..., :8], STREAK)
    with pytest.raises(TypeError, match=r"y holds torch\.float64"):
        model(shown, y.double(), STREAK)
    with pytest.raises(ValueError, match="y holds NaN"):
        model(shown, y * math.nan, STREAK)
    with pytest.raises(ValueError, match=r"images has shape \(2, 4, 16, 16\); expected .*32, 32"):
        model(shown, images(2, 1, 6, 46), ParallelBeam(32, 6))
    with pytest.raises(TypeError, match="operator is an InverseProblem"):
        model(shown, y, InverseProblem(STREAK, 0.01))
    with pytest.raises(TypeError, match=r"images holds torch\.float64"):
        model(shown.double(), y.double(), STREAK)
    with pytest.raises(ValueError, match="steps is 0"):
        Unrolled(steps=0)
    with pytest.raises(ValueError, match="tau is -1"):
        Unrolled(tau=-1)
    assert Unrolled(tau=1, base_ch=4).tau.tolist() == [1.0] * 4


@pytest.mark.parametrize("crop", [32, None])
def test_fit_gives_it_the_data_and_the_operator_of_each_pair(model, crop, monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    slices, before = images(4, 1, 40, 48), copy.deepcopy(model)
    recipe = Recipe(steps=1, crop=crop, batch_size=2)
    history = fit(model, slices, RandomBlurs(), recipe, device=CPU, progress=False)
    pairs = TrainingPairs(slices, RandomBlurs(), crop=crop, seed=0, grid=1, device=CPU)
    x, shown, _, y, operator = pairs.batch([0, 1])
    with torch.no_grad():
        loss = (before(shown, y, operator) - x).abs().mean().item()
    assert history.loss == [pytest.approx(loss, rel=1e-4)]
    assert not model.tau.equal(before.tau)  # the lengths of the steps are learned


def test_training_is_followed_with_the_operator(model, monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    slices, problem = images(3, 1, 24, 24), InformedProblem(RAGGED, 0.02)
    recipe = Recipe(steps=1, crop=16)
    history = fit(model, slices, problem, recipe, device=CPU, validation=slices[:1], progress=False)
    y = problem.measure(slices[:1], seeded(0))
    with torch.no_grad():
        x_hat = model(problem.network_input(y), y, RAGGED)
    expected = psnr(x_hat.clamp(0, 1), slices[:1]).item()
    assert history.validation[0][2] == pytest.approx(expected, abs=2e-3)


def test_evaluate_and_restore_give_it_what_is_known(model) -> None:
    believed = InformedProblem(STREAK, 0.05)
    problem = MisinformedProblem(RAGGED, 0.02, believed)
    x = images(2, 1, 24, 20)
    table = evaluate({"unrolled": model}, x, problem, metrics=["psnr", "residual"], device=CPU)
    generator = seeded(123)
    rows = []
    for image in x.split(1):
        y = problem.measure(image, generator)
        with torch.no_grad():
            found = model(believed.network_input(y), y, STREAK)
        torch.testing.assert_close(restore(model, y, problem=problem), found)
        answer = found.clamp(0, 1)
        rows.append([psnr(answer, image).item(), data_residual(answer, y, RAGGED).item()])
    scores = table[table.model == "unrolled"][["psnr", "residual"]].to_numpy()
    np.testing.assert_allclose(scores, rows, rtol=1e-4)
    with pytest.raises(TypeError, match="problem is None; expected an InverseProblem"):
        restore(model, y)


def test_any_network_may_be_followed_by_steps_towards_the_data() -> None:
    torch.manual_seed(0)
    network, x = GatedUNet(base_ch=4).eval(), images(2, 1, 16, 16)
    problem = InverseProblem(STREAK, 0.01)
    y = problem.measure(x, seeded())
    followed = DataConsistent(network, steps=2, tau=0.8)
    with torch.no_grad():
        expected = network(y)
        for _ in range(2):
            expected = expected - 0.8 * STREAK.T(STREAK(expected) - y)
        torch.testing.assert_close(followed(y, y, STREAK), expected)
        torch.testing.assert_close(restore(followed, y, problem=problem), expected)
    before = data_residual(network(y), y, STREAK)
    assert (data_residual(expected, y, STREAK) < before).all()
    with pytest.raises(ValueError, match="steps is 0"):
        DataConsistent(network, steps=0)
