"""Each fault of an image is none at strength 0, and can be brought to any PSNR."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from ippy.chapter import distortions
from ippy.data.phantoms import generate_slice
from ippy.quality import psnr

FAULTS = {
    "brighten": (distortions.brighten, 1),
    "weaken contrast": (distortions.weaken_contrast, 1),
    "noise": (distortions.add_noise, 1),
    "impulses": (distortions.add_impulses, 1),
    "blur": (distortions.blur, 7),
    "shift": (distortions.shift, 8),
    "blocks": (distortions.round_blocks, 3),
    "rings": (distortions.add_rings, 1),
    "grating": (partial(distortions.add_grating, row=102, column=136), 1),
    "disc": (partial(distortions.paint_disc, row=102, column=136, grey=1.0), 40),
}
each_fault = pytest.mark.parametrize(("fault", "strongest"), FAULTS.values(), ids=FAULTS)


@pytest.fixture(scope="module")
def x() -> Tensor:
    pixels = generate_slice(0, "test", "G91", 3, 16)
    return torch.from_numpy(np.asarray(pixels)).float().view(1, 1, 256, 256) / 255


@each_fault
def test_no_strength_is_no_fault(fault: distortions.Fault, strongest: float, x: Tensor) -> None:
    kept = x.clone()
    assert (fault(x, 0.0) - x).abs().mean() < 5e-5  # a disc of radius 0 has a soft rim
    assert fault(x, strongest).shape == x.shape
    assert torch.equal(x, kept)


@each_fault
@pytest.mark.parametrize("decibels", [30.0, 36.0])
def test_faults_meet_a_psnr(
    fault: distortions.Fault, strongest: float, decibels: float, x: Tensor
) -> None:
    image, strength = distortions.equally_bad(fault, x, decibels, strongest)
    assert psnr(image, x).item() == pytest.approx(decibels, abs=0.05)
    assert 0 < strength < strongest
    assert torch.equal(image, fault(x, strength).clamp(0, 1))


def test_a_disc_is_round_and_where_it_should_be(x: Tensor) -> None:
    disc = distortions.disc(x, 100, 40, 10)
    assert disc[100, 40] > 0.999 and disc[100, 49] > 0.5 > disc[100, 51]
    assert torch.allclose(disc[100, 40:60], disc[100:120, 40])
    assert disc.sum().item() == pytest.approx(torch.pi * 100, rel=0.05)


def test_a_shift_by_a_pixel_is_a_roll(x: Tensor) -> None:
    assert torch.allclose(distortions.shift(x, 1.0), x.roll(1, dims=3), atol=1e-5)


def test_blocks_change_only_where_a_coefficient_is_rounded(x: Tensor) -> None:
    flat = torch.full((1, 1, 16, 16), 0.5)
    assert torch.allclose(distortions.round_blocks(flat, 1.0), flat, atol=1e-4)  # 8 * 0.5 = 4
    coarse = distortions.round_blocks(x, 2.0)
    means = coarse.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).mean((3, 5))
    assert torch.allclose(4 * means, (4 * means).round(), atol=1e-3), "means in steps of 2 / 8"


def test_impulses_hit_few_pixels(x: Tensor) -> None:
    hit = distortions.add_impulses(x, 1.0) != x
    assert 0.001 < hit.float().mean() < 0.005
    assert {*distortions.add_impulses(x, 1.0)[hit].tolist()} <= {0.0, 1.0}
