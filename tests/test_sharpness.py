"""Sharpness measures on images whose sharpness is known."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import ndimage

from ippy.quality import detail, edge_width


def waves(*, low, high):
    """Return an image (1, 1, 64, 64) of two waves, of 1/16 and 3/8 cycles per pixel."""
    t = torch.arange(64) * 2 * math.pi
    wave = low * torch.cos(t / 16) + high * torch.cos(t * 3 / 8)
    return 0.5 + wave.expand(1, 1, 64, 64)


def disc(s):
    """Return a disc (1, 1, 96, 96) with an edge blurred by a Gaussian of s pixels."""
    row, column = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    distance = torch.hypot(row - 47.3, column - 48.1) - 25
    return torch.special.ndtr(-distance / s)[None, None]


def test_detail_is_power_beyond_the_cutoff_alone():
    x = waves(low=0.3, high=0.1)
    assert detail(x, x).item() == pytest.approx(1)
    assert detail(waves(low=0.3, high=0.05), x).item() == pytest.approx(0.25, rel=1e-4)
    assert detail(waves(low=0.1, high=0.1), x).item() == pytest.approx(1, rel=1e-4)
    share = (0.1**2 + 0.1**2) / (0.3**2 + 0.1**2)
    assert detail(waves(low=0.1, high=0.1), x, cutoff=0.05).item() == pytest.approx(share, rel=1e-4)


def test_detail_looks_along_columns_too_and_image_by_image():
    x = torch.cat([waves(low=0.3, high=0.1), waves(low=0.3, high=0.2)])
    x_hat = waves(low=0.3, high=0.05).expand(2, 1, 64, 64)
    assert detail(x_hat.mT, x.mT).tolist() == pytest.approx([0.25, 0.0625], rel=1e-4)


@pytest.mark.parametrize("s", [1.0, 1.5, 2.0])
def test_an_edge_blurred_by_a_gaussian_is_as_wide_as_said(s):
    width = math.sqrt(2 * math.pi) * s
    assert edge_width(disc(s), disc(0.7)).item() == pytest.approx(width, rel=0.05)


def test_edges_are_those_of_the_truth():
    x = disc(0.7)
    x_hat = x.clone()
    x_hat[..., 4:20, 4:20] = 1  # a sharper square where the truth is flat
    assert edge_width(x_hat, x).item() == edge_width(x, x).item()


def test_the_width_has_nothing_to_do_with_contrast():
    assert edge_width(0.3 * disc(1.5), disc(0.7)).item() == pytest.approx(
        edge_width(disc(1.5), disc(0.7)).item()
    )


def test_an_edge_that_is_gone_is_not_sharp():
    x = disc(0.7)
    flat = torch.full_like(x, 0.5)
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
    for gone in (flat, flat + 1e-6 * noise):
        assert edge_width(gone, x).item() == math.inf
    assert math.isnan(edge_width(x, flat).item())


def test_blurred_images_have_less_detail_and_wider_edges():
    x = disc(0.7)
    blurred = torch.from_numpy(ndimage.gaussian_filter(x.numpy(), (0, 0, 1.5, 1.5)))
    assert detail(blurred, x).item() < 0.01
    assert edge_width(blurred, x).item() > 1.5 * edge_width(x, x).item()


def test_a_cutoff_or_share_that_makes_no_sense_is_refused():
    x = disc(1.0)
    with pytest.raises(ValueError, match="cutoff"):
        detail(x, x, cutoff=1)
    with pytest.raises(ValueError, match="share"):
        edge_width(x, x, share=0)
    with pytest.raises(ValueError, match="16x16"):
        edge_width(x[..., :15], x[..., :15])
    with pytest.raises(ValueError, match=r"expected \(B, 1, H, W\)"):
        edge_width(x.expand(-1, 3, -1, -1), x.expand(-1, 3, -1, -1))


def test_a_frequency_that_no_small_image_has_is_named():
    x = torch.rand(1, 1, 5, 5)
    with pytest.raises(ValueError, match=r"cutoff is 0\.6; images of 5x5 pixels"):
        detail(x, x, cutoff=0.6)
