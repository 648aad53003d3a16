"""Attention with a number for each offset: what it adds, and that it reaches any image."""

from __future__ import annotations

import pytest
import torch

from ippy.models import build, relative, seeded
from ippy.models.relative import PACE, RelativeBlock, RelativeHybrid, RelativeViT
from ippy.models.vit import TransformerEncoderBlock
from ippy.studies.sight import attention_by_offset


def random(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def block():
    block = seeded(lambda: RelativeBlock(16, 4, 32, reach=2), 0).eval()
    block.offsets.data = random(1, 4, 5, 5) - 0.5
    return block


def test_without_a_bias_it_is_a_transformer_block(block):
    plain, x = TransformerEncoderBlock(16, 4, 32), random(2, 9, 16)
    plain.load_state_dict(block.state_dict(), strict=False)
    assert not torch.allclose(block(x), plain(x), atol=1e-3)
    block.offsets.data.zero_()
    torch.testing.assert_close(block(x), plain(x))
    torch.testing.assert_close(block.attention_weights(x), plain.attention_weights(x))


def test_the_bias_depends_on_the_offset_alone_and_rules_out_what_is_beyond_the_reach(block):
    rows, columns, infinity = 4, 3, torch.full((4,), torch.inf)
    bias = block.bias((rows, columns)).view(4, rows, columns, rows, columns)
    table = PACE * block.offsets[0]
    for i in range(rows):
        for j in range(rows):
            for k in range(columns):
                for m in range(columns):
                    down, right = j - i, m - k
                    there = table[:, 2 + down, 2 + right] if abs(down) <= 2 else -infinity
                    assert torch.equal(bias[:, i, k, j, m], there)
    of_two_rows = block.bias((rows, columns), slice(1, 3)).view(4, 2, columns, rows, columns)
    assert torch.equal(of_two_rows, bias[:, 1:3])


def test_weights_are_a_softmax_with_the_bias(block):
    x, grid = random(2, 6, 16), (2, 3)
    q, k, v = block.queries_keys_values(block.norm1(x))
    weights = torch.softmax(q @ k.mT / 2 + block.bias(grid), dim=-1)  # sqrt(d_k) = 2
    torch.testing.assert_close(block.attention_weights(x, grid), weights)
    h = x + block.join(weights @ v)
    torch.testing.assert_close(block(x, grid), h + block.mlp(block.norm2(h)))


def test_many_weights_are_made_for_a_few_rows_at_a_time(block, monkeypatch):
    x, grid, asked = random(2, 15, 16), (5, 3), []
    whole = block(x, grid)
    bias = block.bias(grid)

    def of_rows(grid, rows):
        asked.append(rows)
        return bias.unflatten(1, grid)[:, rows].flatten(1, 2)

    monkeypatch.setattr(block, "bias", of_rows)
    monkeypatch.setattr(relative, "LARGEST", 2 * 4 * 15 * 3 * 2)  # of two rows of each image
    torch.testing.assert_close(block(x, grid), whole)
    assert asked == [slice(0, 2), slice(2, 4), slice(4, 6)]


@pytest.mark.parametrize("size", [(32, 32), (33, 40), (47, 61), (72, 24)])
def test_the_vit_takes_any_size_and_gives_what_its_input_lacks(size):
    model, x = seeded(lambda: RelativeViT(32, depth=1), 0).eval(), random(2, 1, *size)
    with torch.no_grad():
        assert model(x).shape == x.shape
        model.to_pixels.weight.zero_()
        model.to_pixels.bias.zero_()
        assert torch.equal(model(x), x)


def test_what_it_looks_at_is_seen_and_is_what_the_result_depends_on():
    model, x = seeded(lambda: RelativeViT(64, depth=1), 0).eval(), random(1, 1, 64, 64)
    reach = model.encoder[0].reach
    model.encoder[0].offsets.data[..., reach - 3, reach] = 4  # three tokens up
    weights = attention_by_offset(model, x)[0]
    assert (weights[:, -3, 0] > 0.6).all()  # five of the eight rows of tokens have one so far up
    x.requires_grad_()
    model(x)[..., 36, 36].sum().backward()
    by_token = x.grad[0, 0].abs().unfold(0, 8, 8).unfold(1, 8, 8).sum((2, 3))
    by_token[4, 4] = 0
    assert by_token.argmax() == 1 * 8 + 4


def test_no_token_looks_beyond_its_reach_however_large_the_image(block):
    grid, x = (3, 7), random(1, 21, 16)
    changed = x.clone()
    changed[0, [6, 13, 20], :8] += 1  # the last column
    before, after = (block(tokens, grid).view(3, 7, 16) for tokens in (x, changed))
    assert torch.equal(before[:, :4], after[:, :4])  # three columns from it, and more
    assert not torch.isclose(before[:, 4:], after[:, 4:]).all(dim=-1).any()


def test_the_reach_of_a_vit_is_its_window_or_the_image_that_it_is_trained_on():
    assert [block.reach for block in RelativeViT(128).encoder] == [15, 15]
    assert [block.reach for block in RelativeViT(128, reach=7).encoder] == [7, 7]
    assert RelativeViT(8).encoder[0].reach == 1
    assert RelativeHybrid(128, reach=7).vit.encoder[0].reach == 7


def test_the_offsets_learn(block):
    block(random(1, 9, 16)).square().sum().backward()
    assert (block.offsets.grad.abs() > 0).all()


@pytest.mark.parametrize(
    ("shape", "grid", "message"),
    [
        ((1, 6, 16), None, "^x has 6 tokens, and no grid is given; expected a square number"),
        ((1, 6, 16), (2, 2), r"^x has 6 tokens, and grid=\(2, 2\)"),
        ((1, 4, 12), None, "expected tokens"),
    ],
)
def test_tokens_that_fill_no_grid_are_refused(block, shape, grid, message):
    with pytest.raises(ValueError, match=message):
        block(random(*shape), grid)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"embed_dim": 18}, "^embed_dim 18 is not a multiple of num_heads 4"),
        ({"depth": 0}, "^depth is 0"),
        ({"img_size": 0}, "^img_size is 0"),
        ({"reach": 0}, "^reach is 0"),
    ],
)
def test_settings_that_fit_nothing_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        RelativeViT(**kwargs)


def test_a_reach_is_a_count():
    with pytest.raises(ValueError, match=r"^reach is 0"):
        RelativeBlock(16, 4, 32, 0)


def test_the_hybrid_corrects_the_image_of_its_vit_and_sees_its_input_too():
    model, x = build("RelativeHybrid", seed=0).eval(), random(2, 1, 33, 40)
    with torch.no_grad():
        seen = torch.cat([model.vit(x), x], dim=1)
        assert torch.equal(model(x), model.gated(seen))
        model.gated.last.weight.zero_()
        model.gated.last.bias.zero_()
        assert torch.equal(model(x), model.vit(x))


@pytest.mark.parametrize("size", [(32, 32), (47, 61), (256, 264)])
def test_the_hybrid_takes_any_size(size):
    model, x = build("RelativeHybrid", seed=0).eval(), random(1, 1, *size)
    with torch.no_grad():
        assert model(x).shape == x.shape
