"""The classical references solve the problems that they say they solve."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ippy.data.phantoms import generate_slice
from ippy.problems import Tikhonov, TotalVariation, motion_deblurring
from ippy.problems.classical import transfer
from ippy.quality import psnr

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


def test_total_variation_lowers_its_objective_below_any_neighbour(y: Tensor) -> None:
    weight = 3e-4
    h = transfer(BLUR.kernel, y.shape[-2:])

    def objective(image: Tensor) -> float:
        residual = torch.fft.ifft2(h * torch.fft.fft2(image)).real - y
        rows = image.diff(dim=-2, append=image[..., -1:, :])
        columns = image.diff(dim=-1, append=image[..., :, -1:])
        variation = (rows.square() + columns.square()).sqrt().sum()
        return (residual.square().sum() / 2 + weight * variation).item()

    best = objective(TotalVariation(BLUR, weight, steps=100)(y))
    for other in (y, Tikhonov(BLUR)(y), TotalVariation(BLUR, 2 * weight)(y)):
        assert best < objective(other)


def test_they_restore_and_the_edges_favour_total_variation(x: Tensor, y: Tensor) -> None:
    scores = [psnr(image.clamp(0, 1), x).item() for image in (y, Tikhonov(BLUR)(y))]
    scores.append(psnr(TotalVariation(BLUR)(y).clamp(0, 1), x).item())
    assert scores[0] + 2 < scores[1] < scores[2] - 1


@pytest.mark.parametrize("method", [Tikhonov, TotalVariation])
def test_a_batch_is_its_images_one_by_one(method: type, y: Tensor) -> None:
    batch = torch.cat([y[..., :64, 90:170], y[..., 60:124, 60:140]])
    one_by_one = torch.cat([method(BLUR)(image[None]) for image in batch])
    torch.testing.assert_close(method(BLUR)(batch), one_by_one, atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", [Tikhonov, TotalVariation])
def test_what_cannot_be_is_refused(method: type) -> None:
    with pytest.raises(ValueError, match="weight is -1"):
        method(BLUR, -1)
    with pytest.raises(ValueError, match="weight is inf"):
        method(BLUR, float("inf"))
    with pytest.raises(TypeError, match="operator is a NoneType; expected a Blurring"):
        method(None)
    with pytest.raises(ValueError, match=r"expected \(B, 1, H, W\)"):
        method(BLUR)(torch.zeros(64, 64))
    with pytest.raises(TypeError, match=r"y holds torch\.bfloat16"):
        method(BLUR)(torch.zeros(1, 1, 64, 64).bfloat16())


def test_steps_are_a_count() -> None:
    for steps, error in [(True, TypeError), (2.5, TypeError), (0, ValueError)]:
        with pytest.raises(error, match="steps is"):
            TotalVariation(BLUR, steps=steps)
