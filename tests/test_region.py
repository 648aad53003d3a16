"""Scores inside the body: where the mask is, and that it alone decides."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ippy.chapter.region import body_mask, psnr_inside, ssim_inside
from ippy.quality import psnr, ssim


def disc(row: int, column: int, radius: float) -> Tensor:
    """A disc in a picture of 96 x 96 pixels, (1, 1, 96, 96)."""
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    return ((rows - row) ** 2 + (columns - column) ** 2 <= radius**2)[None, None]


@pytest.fixture
def body() -> Tensor:
    """A body with a dark lung, above a couch of four rows and beside a small bright thing."""
    x = 0.4 * disc(40, 48, 30) - 0.35 * disc(40, 48, 10) + 0.9 * disc(10, 90, 4)
    x[..., 80:84, :] = 0.4
    return x


def test_the_mask_is_the_largest_thing_that_is_thick_and_has_no_holes(body: Tensor) -> None:
    mask = body_mask(torch.cat([body, body.transpose(2, 3)]))
    assert mask.shape == (2, 1, 96, 96) and mask.dtype == torch.bool
    assert (mask[:1] != disc(40, 48, 30)).sum() <= 8, "an opening takes a few pixels of the rim"
    assert torch.equal(mask[1], mask[0].transpose(1, 2)), "each image has a mask of its own"


def test_an_image_without_a_body_has_none() -> None:
    assert not body_mask(torch.zeros(1, 1, 32, 32)).any()


def test_over_a_whole_image_the_scores_are_the_usual_ones(body: Tensor) -> None:
    noisy = body + 0.02 * torch.randn(body.shape, generator=torch.Generator().manual_seed(0))
    everything = torch.ones_like(body, dtype=torch.bool)
    assert psnr_inside(noisy, body, everything).item() == pytest.approx(psnr(noisy, body).item())
    found, expected = ssim_inside(noisy, body, everything), ssim(noisy, body)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)


def test_what_lies_outside_does_not_count(body: Tensor) -> None:
    mask = body_mask(body)
    wrong = body.clone()
    wrong[..., 88:, :] += 0.1  # more than a window away from the body
    assert psnr_inside(wrong, body, mask).item() == math.inf
    assert ssim_inside(wrong, body, mask).item() == pytest.approx(1)
    assert ssim(wrong, body).item() < 0.99
    assert psnr_inside(body + 0.1 * mask, body, mask).item() == pytest.approx(20, abs=1e-4)
