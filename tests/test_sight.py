"""How far a network sees is measured by derivatives, where it looks by its attention."""

from __future__ import annotations

import torch
from torch import nn

from ippy.models.vit import TransformerEncoderBlock, ViTReconstructor
from ippy.studies.sight import attention_by_offset, receptive_field, rows_seen, sight_of_ghost


def moved(rows, weight):
    """Return a network that adds the image moved down by so many rows, times a weight."""

    class Moved(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(weight))

        def forward(self, y):
            return y + self.weight * y.roll(rows, dims=-2)

    return Moved()


def test_the_receptive_field_is_where_the_derivatives_are():
    model = nn.Conv2d(1, 1, (7, 3), padding=(3, 1))
    field = receptive_field(model, torch.rand(2, 1, 32, 40))
    kernel = model.weight[0, 0].abs()
    assert rows_seen(field) == 3
    torch.testing.assert_close(field[13:20, 19:22], kernel)
    assert field.count_nonzero() == 21 and all(w.grad is None for w in model.parameters())


def test_what_is_seen_of_a_ghost_is_the_derivative_at_its_source():
    y = torch.rand(2, 1, 32, 32)
    assert sight_of_ghost(moved(8, 0.5), y, 8) == {"rows_seen": 8, "ghost_seen": 0.5}
    assert sight_of_ghost(moved(-8, 0.5), y, 8)["ghost_seen"] == 0


class Looking(nn.Module):
    """A network whose two heads look so many rows of tokens, and columns, away."""

    def __init__(self, offsets):
        super().__init__()
        self.block = TransformerEncoderBlock(4, 2, 4)
        token = torch.arange(16).view(4, 4)
        places = [token.roll(offset, dims=(0, 1)).flatten() for offset in offsets]
        weights = nn.functional.one_hot(torch.stack(places), 16).float()  # (2, 16, 16)
        self.block.attention_weights = lambda h: weights.expand(len(h), -1, -1, -1)

    def forward(self, y):
        tokens = nn.functional.avg_pool2d(y, 8).flatten(2).mT.expand(-1, -1, 4)
        return y + self.block(tokens).mean()


def test_attention_is_averaged_over_the_places_it_is_paid_from():
    model, y = Looking([(1, 0), (0, -2)]), torch.rand(3, 1, 32, 32)
    maps = attention_by_offset(model, y)
    assert maps.shape == (1, 2, 4, 4)
    assert maps[0, 0, 3, 0] == 1 and maps[0, 1, 0, 2] == 1 and maps.sum() == 2
    seen = sight_of_ghost(model, y, 8)
    assert seen["attention_at_ghost"] == 1 and seen["attention_by_rows"] == [0, 1, 0, 0]
    assert sight_of_ghost(model, y, 4)["attention_at_ghost"] == 1  # of two tokens the farther
    assert sight_of_ghost(model, y, 12)["attention_at_ghost"] == 0
    assert len(attention_by_offset(nn.Conv2d(1, 1, 1), y)) == 0
    assert not model.block._forward_hooks


def test_what_a_transformer_pays_attention_to_sums_to_one():
    model = ViTReconstructor(img_size=32, embed_dim=16, depth=2, num_heads=2, mlp_dim=16).eval()
    y = torch.rand(2, 1, 32, 32)
    maps = attention_by_offset(model, y)
    assert maps.shape == (2, 2, 4, 4)
    torch.testing.assert_close(maps.sum(dim=(2, 3)), torch.ones(2, 2))
    own = model.attention_maps(y)[1].diagonal(dim1=2, dim2=3).mean(dim=(0, 2))
    torch.testing.assert_close(maps[1, :, 0, 0], own)


def test_a_network_that_sees_nothing_can_be_recorded():
    y = torch.rand(1, 1, 32, 32)
    silent = nn.Conv2d(1, 1, 1)
    nn.init.zeros_(silent.weight)
    assert sight_of_ghost(silent, y, 8) == {"rows_seen": 0, "ghost_seen": None}
