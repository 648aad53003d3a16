"""The gated U-Net: its norm looks at one pixel, and it is what the study of blocks calls gated."""

from __future__ import annotations

import re

import pytest
import torch
from torch.nn import functional as F

from ippy.models import build
from ippy.models.gated import GatedBlock, GatedUNet, PixelNorm
from ippy.studies import load


def random(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def with_random_weights(module):
    generator = torch.Generator().manual_seed(1)
    for weight in module.parameters():
        weight.data = 0.2 * torch.randn(weight.shape, generator=generator)
    return module


def test_the_norm_sees_one_pixel_at_a_time():
    norm, x = with_random_weights(PixelNorm(6)), random(2, 6, 5, 7)
    y = norm(x)
    pixel = x[1, :, 3, 4]
    expected = (pixel - pixel.mean()) / (pixel.var(correction=0) + norm.eps).sqrt()
    torch.testing.assert_close(y[1, :, 3, 4], expected * norm.weight + norm.bias)
    other = x.clone()
    other[1, :, 0, 0] = 9
    changed = (norm(other) != y).any(dim=1).nonzero()
    assert changed.tolist() == [[1, 0, 0]]


def test_a_block_adds_the_product_of_two_halves():
    block, x = with_random_weights(GatedBlock(4)), random(1, 4, 6, 6)
    wide = F.conv2d(block.norm(x), block.widen.weight, block.widen.bias, padding=1)
    product = wide[:, :4] * wide[:, 4:]
    expected = x + F.conv2d(product, block.narrow.weight, block.narrow.bias, padding=1)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("size", [(32, 32), (33, 40), (47, 61), (256, 200)])
def test_any_size_goes_through_and_a_multiple_of_eight_needs_no_border(size):
    model, x = build("GatedUNet", seed=0).eval(), random(1, 1, *size)
    with torch.no_grad():
        y = model(x)
        bottom, right = -size[0] % 8, -size[1] % 8
        padded = model(F.pad(x, (0, right, 0, bottom), mode="reflect"))
    assert y.shape == x.shape
    torch.testing.assert_close(y, padded[..., : size[0], : size[1]])


def test_it_corrects_its_input():
    model = build("GatedUNet", seed=0)
    torch.nn.init.zeros_(model.last.weight)
    torch.nn.init.zeros_(model.last.bias)
    x = random(1, 1, 32, 32)
    assert model(x).equal(x)
    assert sum(weight.numel() for weight in model.parameters()) == 1_772_785
    with pytest.raises(ValueError, match="in_ch is 1 and out_ch is 2"):
        GatedUNet(1, 2)


@pytest.mark.parametrize(("in_ch", "out_ch"), [(4, 1), (3, 2), (2, 2)])
def test_of_many_channels_it_corrects_the_first(in_ch, out_ch):
    model, x = with_random_weights(GatedUNet(in_ch, out_ch, base_ch=4)), random(2, in_ch, 19, 24)
    corrected = model(x)
    assert corrected.shape == (2, out_ch, 19, 24)
    torch.nn.init.zeros_(model.last.weight)
    torch.nn.init.zeros_(model.last.bias)
    assert model(x).equal(x[:, :out_ch])
    assert not corrected.allclose(x[:, :out_ch])


def test_it_is_the_network_that_the_study_of_blocks_calls_gated():
    study = load("blocks")
    variant = study.job(network="gated", seed=0).model().eval()
    names = {"down": "enc", "reduce": "down", "enlarge": "up", "up": "dec"}

    def renamed(key):
        part, _, rest = key.partition(".")
        if part in names:
            level, _, rest = rest.partition(".")
            part = f"{names[part]}{int(level) + 1}"
        part = "bottleneck" if part == "bottom" else part
        return re.sub(r"norm\.norm", "norm", f"{part}.{rest}")

    model = build("GatedUNet").eval()
    model.load_state_dict({renamed(key): value for key, value in variant.state_dict().items()})
    x = random(1, 1, 40, 48)
    torch.testing.assert_close(model(x), variant(x))
