"""The hybrid: attention at 1/8 that knows places, gets a gradient, and sees the whole image."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from ippy.models import build
from ippy.models.gated import GatedUNet
from ippy.models.hybrid import PACE, CoarseAttention, HybridUNet, WithoutSkips


def random(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def hybrid():
    return build("HybridUNet", seed=0).eval()


@pytest.mark.parametrize("size", [(32, 32), (33, 40), (47, 61), (128, 72)])
def test_any_size_goes_through_with_and_without_skips(hybrid, size):
    x = random(2, 1, *size)
    padded = F.pad(x, (0, -size[1] % 8, 0, -size[0] % 8), mode="reflect")
    with torch.no_grad():
        for model in (hybrid, WithoutSkips(hybrid)):
            y = model(x)
            assert y.shape == x.shape
            torch.testing.assert_close(y, model(padded)[..., : size[0], : size[1]])


def test_it_begins_without_its_skips_and_ends_as_the_gated_network(hybrid):
    x, straight = random(1, 1, 40, 48), WithoutSkips(hybrid)
    shared = {id(weight) for weight in hybrid.parameters()} - {id(hybrid.opening)}
    assert {id(weight) for weight in straight.parameters()} == shared
    torch.testing.assert_close(hybrid(x), straight(x))
    gated = GatedUNet()
    gated.load_state_dict(hybrid.state_dict(), strict=False)
    gated.bottleneck = hybrid.bottleneck
    hybrid.opening.data.fill_(1 / PACE)
    torch.testing.assert_close(hybrid(x), gated(x))


def test_of_many_channels_the_first_is_added():
    hybrid, x = HybridUNet(in_ch=3, out_ch=1, base_ch=8), random(2, 3, 16, 24)
    closed = hybrid(x)
    hybrid.opening.data[0] = 1 / PACE
    torch.testing.assert_close(hybrid(x), closed + x[:, :1])


def test_the_input_and_each_skip_have_a_weight_that_can_open(hybrid):
    x = random(1, 1, 32, 32)
    hybrid(x).square().sum().backward()
    assert (hybrid.opening.grad.abs() > 1e-6).all()
    closed = hybrid(x)
    for number in range(4):
        hybrid.opening.data.zero_()
        hybrid.opening.data[number] = 0.1
        assert not torch.allclose(hybrid(x), closed, atol=1e-6)
    hybrid.opening.data = torch.tensor([0.1, 0, 0, 0])
    torch.testing.assert_close(hybrid(x), closed + 0.5 * x)


def test_it_costs_no_more_than_the_gated_network(hybrid):
    assert sum(weight.numel() for weight in hybrid.parameters()) == 1_423_733
    with pytest.raises(ValueError, match="in_ch is 1 and out_ch is 2"):
        HybridUNet(1, 2)


def test_a_gradient_reaches_queries_keys_and_values_of_both_blocks(hybrid):
    for model in (hybrid, WithoutSkips(hybrid)):
        hybrid.zero_grad()
        model(random(1, 1, 64, 64)).square().sum().backward()
        for block in hybrid.bottleneck.blocks:
            for part in block.attn.in_proj_weight.grad.chunk(3):
                assert part.abs().max() > 1e-6


def test_attention_sees_what_convolutions_at_the_bottom_do_not():
    x = random(1, 1, 16, 256).requires_grad_()

    def columns_seen(model):
        (gradient,) = torch.autograd.grad(model(x)[0, 0, 8, 0], x)
        return int(gradient.abs().amax(dim=(0, 1, 2)).nonzero().max())

    assert columns_seen(build("HybridUNet", seed=0)) == 255
    assert columns_seen(build("GatedUNet", seed=0)) < 90


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_it_runs_in_its_own_type(dtype):
    model = build("HybridUNet", seed=0).to(dtype)
    assert model(torch.rand(1, 1, 32, 32, dtype=dtype)).dtype == dtype


def test_tokens_carry_waves_of_their_rows_and_columns():
    level = CoarseAttention(8)
    waves = level.waves(torch.zeros(1, 8, 5, 7))  # two rates: 1 and 0.01 radians a token
    assert waves.shape == (8, 5, 7)
    expected = [math.sin(3), math.sin(0.03), math.cos(3), math.cos(0.03)]
    expected += [math.sin(6), math.sin(0.06), math.cos(6), math.cos(0.06)]
    assert waves[:, 3, 6].tolist() == pytest.approx(expected, abs=1e-6)
    larger = level.waves(torch.zeros(1, 8, 11, 9))
    assert larger[:, :5, :7].equal(waves)  # on a larger grid a place keeps its waves
    assert level.waves(torch.zeros(1, 8, 2, 2).bfloat16()).dtype == torch.float32
    assert level.waves(torch.zeros(1, 8, 2, 2).double()).dtype == torch.float64
    alike = level(torch.ones(1, 8, 5, 7))  # of equal tokens only their places differ
    assert alike[0].flatten(1).T.unique(dim=0).shape == (35, 8)
