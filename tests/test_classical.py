"""The classical references solve the problems that they say they solve."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor
from torch.nn import functional as F

from ippy.data.phantoms import generate_slice
from ippy.operators import Blurring, Ghost
from ippy.problems import Tikhonov, TotalVariation, motion_deblurring
from ippy.problems.normal import NormalEquations, transfer
from ippy.quality import psnr

from .callers import CALLERS_STATES, TRANSFORMS, unchanged, unchanged_world

PROBLEM = motion_deblurring()
BLUR = PROBLEM.operator


@pytest.fixture(scope="module")
def x() -> Tensor:
    pixels = torch.from_numpy(generate_slice(7, "test", "G91", 3, 8)).float() / 255
    return pixels[None, None]


@pytest.fixture(scope="module")
def y(x: Tensor) -> Tensor:
    return PROBLEM.measure(x, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(40, 40), (41, 56)])
def test_transfer_is_the_blur_of_an_image_with_a_dark_border(shape: tuple[int, int]) -> None:
    image = torch.zeros(1, 1, *shape)
    image[..., 9:-9, 9:-9] = torch.rand(shape[0] - 18, shape[1] - 18)
    blurred = torch.fft.ifft2(transfer(BLUR.kernel, shape) * torch.fft.fft2(image)).real
    torch.testing.assert_close(blurred, BLUR(image), atol=1e-6, rtol=0)


def test_tikhonov_has_no_gradient_left_where_it_stops(y: Tensor) -> None:
    weight = 3e-3
    h = transfer(BLUR.kernel, y.shape[-2:])
    x_hat = Tikhonov(BLUR, weight)(y)
    residual = torch.fft.ifft2(h * torch.fft.fft2(x_hat)).real - y
    gradient = torch.fft.ifft2(h.conj() * torch.fft.fft2(residual)).real + weight * x_hat
    assert gradient.abs().max() < 1e-6


def box(side: int) -> Tensor:
    """A grey square on black in white noise, (1, 1, side, side)."""
    image = torch.zeros(1, 1, side, side)
    image[..., side // 4 : -side // 4, side // 4 : -side // 4] = 0.7
    return image + 0.1 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))


def objective(x_hat: Tensor, y: Tensor, blur: Blurring, weight: float) -> float:
    """Return the objective of total variation as its docstring has it, in float64."""
    x_hat, y = x_hat.double(), y.double()
    residual = blur(x_hat) - y
    rows = x_hat.diff(dim=-2, append=x_hat[..., -1:, :])
    columns = x_hat.diff(dim=-1, append=x_hat[..., :, -1:])
    variation = (rows.square() + columns.square()).sqrt().sum()
    return (residual.square().sum() / 2 + weight * variation).item()


def converged(y: Tensor, blur: Blurring, weight: float, steps: int) -> float:
    """Return the least objective by another algorithm: primal-dual (Chambolle and Pock, 2011)."""
    y = y.double()
    shape, pixels = y.shape, y.numel()
    K = blur(torch.eye(pixels, dtype=y.dtype).view(-1, *shape[1:])).flatten(1).T  # as a matrix
    tau = weight**-0.5 / 8  # of the image; of the multipliers 1 / (8 tau)
    system = torch.linalg.inv(K.T @ K + torch.eye(pixels, dtype=y.dtype) / tau)
    data = K.T @ y.flatten()
    x, p = y, torch.zeros(2, *y.shape, dtype=torch.float64)
    ahead = x
    for _ in range(steps):
        p[0] += ahead.diff(dim=-2, append=ahead[..., -1:, :]) / (8 * tau)
        p[1] += ahead.diff(dim=-1, append=ahead[..., :, -1:]) / (8 * tau)
        p *= (weight / p.square().sum(dim=0).sqrt().clamp(min=1e-30)).clamp(max=1)
        down, right = p[0][..., :-1, :], p[1][..., :-1]  # the last differences are 0
        adjoint = F.pad(down, (0, 0, 1, 0)) - F.pad(down, (0, 0, 0, 1))
        adjoint += F.pad(right, (1, 0)) - F.pad(right, (0, 1))
        before, x = x, (system @ (data + (x / tau - adjoint).flatten())).view(shape)
        ahead = 2 * x - before
    return objective(x, y, blur, weight)


KERNELS = {
    "identity": Blurring(kernel=[[1.0]]),
    "motion": BLUR,
    "Gaussian": Blurring(kernel_type="gaussian", kernel_size=9, kernel_variance=4.0),
}


@pytest.mark.parametrize("weight", [1e-4, 3e-4, 1e-2, 0.1])
@pytest.mark.parametrize("name", KERNELS)
def test_total_variation_minimises_its_objective(name: str, weight: float) -> None:
    blur = KERNELS[name]
    y = blur(box(33))
    least = converged(y, blur, weight, steps=2000)
    found = objective(TotalVariation(blur, weight)(y), y, blur, weight)
    assert found == pytest.approx(least, rel=1e-3)


@pytest.mark.parametrize("weight", [0.01, 0.1])
def test_without_a_blur_it_is_the_denoiser_of_scikit_image(weight: float) -> None:
    y = box(64)
    image = denoise_tv_chambolle(y[0, 0].double().numpy(), weight, eps=1e-10, max_num_iter=5000)
    identity = KERNELS["identity"]
    least = objective(torch.from_numpy(image)[None, None], y, identity, weight)
    method = TotalVariation(identity, weight)
    assert objective(method(y), y, identity, weight) == pytest.approx(least, rel=1e-3)
    assert (method(y)[0, 0] - torch.from_numpy(image)).abs().max() < 0.02


@pytest.mark.parametrize("name", KERNELS)
def test_the_penalty_sets_the_speed_and_not_the_limit(name: str) -> None:
    blur, weight = KERNELS[name], 0.1
    y = blur(box(32))
    limits = [
        objective(TotalVariation(blur, weight, penalty=p)(y), y, blur, weight)
        for p in (None, 1e-3, 0.02, 1.0, 30.0)
    ]
    assert max(limits) == pytest.approx(min(limits), rel=1e-3)


def test_the_objective_is_the_one_that_is_written(y: Tensor) -> None:
    batch = torch.cat([y, Tikhonov(BLUR)(y)])
    found = TotalVariation(BLUR, 0.02).objective(batch.flip(0), batch)
    expected = [objective(batch[1 - k, None], batch[k, None], BLUR, 0.02) for k in (0, 1)]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(
        ValueError, match=r"x_hat has shape .* expected \(1, 1, 256, 256\) for x_hat"
    ):
        TotalVariation(BLUR).objective(batch, y)


@pytest.mark.parametrize(("level", "most"), [(0.0, 5), (0.4, 80)])
def test_a_flat_image_is_found_whole_up_to_its_border(level: float, most: int, monkeypatch) -> None:
    counted, solve = [], NormalEquations.solve

    def counting(*args):
        counted.append(args)
        return solve(*args)

    monkeypatch.setattr(NormalEquations, "solve", counting)
    flat = torch.full((1, 1, 40, 41), level)
    torch.testing.assert_close(TotalVariation(BLUR)(BLUR(flat)), flat, atol=1e-5, rtol=0)
    assert len(counted) <= most


def test_total_variation_takes_the_border_as_the_blur_has_it() -> None:
    bright = torch.full((1, 1, 40, 40), 0.8)
    bright[..., 10:20, 10:20] = 0.2
    restored = {method: method(BLUR, 1e-4)(BLUR(bright)) for method in (Tikhonov, TotalVariation)}
    errors = {m: (x_hat - bright)[..., -3:].abs().mean().item() for m, x_hat in restored.items()}
    assert errors[TotalVariation] < 0.01 < 0.1 < errors[Tikhonov]


def test_they_restore_and_the_edges_favour_total_variation(x: Tensor, y: Tensor) -> None:
    scores = [psnr(image.clamp(0, 1), x).item() for image in (y, Tikhonov(BLUR)(y))]
    scores.append(psnr(TotalVariation(BLUR)(y).clamp(0, 1), x).item())
    assert scores[0] + 2 < scores[1] < scores[2] - 4


@pytest.fixture(scope="module")
def batch(y: Tensor) -> Tensor:
    """Two measurements and one that is done at once, (3, 1, 64, 80)."""
    pair = torch.cat([y[..., :64, 90:170], y[..., 60:124, 60:140]])
    return torch.cat([pair, torch.zeros_like(pair[:1])])


@pytest.mark.parametrize(
    ("method", "dtype"),
    # Total variation enlarges what rounding makes different, so it has little of it here.
    [(Tikhonov(BLUR), torch.float32), (TotalVariation(BLUR, steps=10), torch.float64)],
)
def test_a_batch_is_its_images_one_by_one(
    method: torch.nn.Module, dtype: torch.dtype, batch: Tensor
) -> None:
    batch = batch.to(dtype)
    one_by_one = torch.cat([method(image[None]) for image in batch])
    torch.testing.assert_close(method(batch), one_by_one, atol=1e-6, rtol=0)


def test_of_a_batch_each_image_is_finished_by_itself(batch: Tensor) -> None:
    method = TotalVariation(BLUR)
    restored, one_by_one = method(batch), torch.cat([method(image[None]) for image in batch])
    # Rounding, which differs in a batch, may end the iterations a look earlier.
    torch.testing.assert_close(restored, one_by_one, atol=0.01, rtol=0)
    objectives = method.objective(restored, batch), method.objective(one_by_one, batch)
    torch.testing.assert_close(*objectives, atol=0, rtol=1e-3)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms_pass_through_tikhonov(transform: Callable) -> None:
    images = torch.rand(2, 2, 1, 20, 22, generator=torch.Generator().manual_seed(0))

    def measure(y: Tensor, x: Tensor) -> Tensor:
        return (Tikhonov(BLUR)(y) - x).square().mean()

    transform(measure, *images)


def test_tikhonov_has_the_gradient_of_finite_differences() -> None:
    y = torch.rand(1, 1, 9, 10, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(Tikhonov(BLUR), (y,))


def test_total_variation_has_no_gradient() -> None:
    y = box(32).requires_grad_()
    assert not TotalVariation(BLUR)(y).requires_grad
    gradient = torch.func.grad(lambda image: TotalVariation(BLUR)(image).sum())(y.detach())
    assert not gradient.any()


@pytest.mark.parametrize("method", [Tikhonov, TotalVariation])
def test_the_result_is_the_same_in_any_state(method: type) -> None:
    y = BLUR(box(40))
    with unchanged_world(), unchanged(y):
        expected = method(BLUR)(y)
    for name, state in CALLERS_STATES.items():
        with state():
            torch.testing.assert_close(method(BLUR, np.float64(method(BLUR).weight))(y), expected)
            if name == "autocast":
                assert method(BLUR)(y.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("method", [Tikhonov, TotalVariation])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_it_computes_in_float32(method: type, dtype: torch.dtype) -> None:
    y = box(40).to(dtype)
    result = method(BLUR)(y)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, method(BLUR)(y.float()), atol=0.05, rtol=0)


@pytest.mark.parametrize("method", [Tikhonov, TotalVariation])
def test_what_cannot_be_is_refused(method: type) -> None:
    with pytest.raises(ValueError, match="weight is -1"):
        method(BLUR, -1)
    with pytest.raises(ValueError, match="weight is inf"):
        method(BLUR, float("inf"))
    with pytest.raises(TypeError, match="operator is None; expected a LinearOperator"):
        method(None)
    with pytest.raises(ValueError, match=r"expected \(B, 1, H, W\)"):
        method(BLUR)(torch.zeros(64, 64))


@pytest.mark.parametrize("method", [Tikhonov, TotalVariation])
def test_the_numbers_of_the_measurement_are_those_of_the_result(method: type) -> None:
    y = box(40)
    double = Blurring(kernel=BLUR.kernel.double())
    torch.testing.assert_close(method(double)(y), method(BLUR)(y))
    assert method(BLUR)(y.double()).dtype == torch.float64


def test_steps_are_a_count() -> None:
    for steps, error in [(True, TypeError), (2.5, TypeError), (0, ValueError)]:
        with pytest.raises(error, match="steps is"):
            TotalVariation(BLUR, steps=steps)


@pytest.mark.parametrize("make", [Tikhonov, TotalVariation])
def test_measurements_whose_squares_overflow_are_refused(make) -> None:
    with pytest.raises(ValueError, match="y holds values from"):
        make(Ghost(4))(1e20 * torch.rand(1, 1, 16, 16))
