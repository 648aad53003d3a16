"""Muon makes a matrix's update orthogonal, and AdamW moves the weights that are none."""

import pytest
import torch
from torch import nn

from ippy.models import NAMES, build
from ippy.train import Recipe
from ippy.train.muon import MOMENTUM, Muon, is_matrix, make_optimizers, orthogonalise

from .callers import CALLERS_STATES


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (16, 8, 3, 3), (64, 8, 2, 2), (5, 5)])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_an_update_keeps_its_directions_and_loses_its_lengths(shape, scale):
    generator = torch.Generator().manual_seed(0)
    update = scale * torch.randn(shape, generator=generator)
    result = orthogonalise(update)
    assert result.shape == update.shape and result.dtype == torch.float32
    U, _, Vh = torch.linalg.svd(update.flatten(1), full_matrices=False)
    lengths = U.T @ result.flatten(1) @ Vh.T  # in the update's own directions
    sizes = lengths.diagonal()
    assert ((sizes > 0.6) & (sizes < 1.25)).all()
    torch.testing.assert_close(lengths, sizes.diag(), atol=2e-3, rtol=0)


def test_the_small_matrices_give_what_the_plain_iteration_gives():
    x = torch.randn(12, 40, generator=torch.Generator().manual_seed(1)).double()
    result = orthogonalise(x)
    x = x / x.norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(result, x.float(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("state", ["float64 by default", "another device by default"])
def test_the_callers_defaults_do_not_matter(state):
    update = torch.randn(6, 20, generator=torch.Generator().manual_seed(0))
    expected = orthogonalise(update)
    with CALLERS_STATES[state]():
        assert orthogonalise(update).equal(expected)


def test_an_update_of_zeros_stays_zero():
    assert orthogonalise(torch.zeros(4, 9)).equal(torch.zeros(4, 9))


def test_what_is_no_matrix_is_adamws_at_a_fifth_of_the_rate_and_all_decay_alike():
    vector, matrix = nn.Parameter(torch.ones(7)), nn.Parameter(torch.ones(3, 4))
    muon, adamw = make_optimizers([vector, matrix], Recipe(lr=1e-2, weight_decay=0.1))
    assert type(muon) is Muon and type(adamw) is torch.optim.AdamW
    (of_muon,), (of_adamw,) = muon.param_groups, adamw.param_groups
    assert of_muon["params"] == [matrix] and of_adamw["params"] == [vector]
    assert of_adamw["lr"] == pytest.approx(0.2 * of_muon["lr"]) == pytest.approx(2e-3)
    assert of_adamw["betas"] == (0.9, 0.95) and of_adamw["eps"] == 1e-10
    vector.grad, matrix.grad = torch.zeros(7), torch.zeros(3, 4)
    muon.step()
    adamw.step()
    for weight in (vector, matrix):
        torch.testing.assert_close(weight, torch.full_like(weight, 1 - 1e-3), rtol=0, atol=1e-7)


@pytest.mark.parametrize("shape", [(7,), (3, 4)])
def test_an_optimiser_without_weights_is_not_made(shape):
    (only,) = make_optimizers([nn.Parameter(torch.ones(shape))], Recipe())
    assert isinstance(only, Muon) == (len(shape) == 2)


def test_adamw_alone_is_given_all_weights_at_the_whole_rate():
    weights = [nn.Parameter(torch.ones(7)), nn.Parameter(torch.ones(3, 4))]
    recipe = Recipe(optimizer="adamw", lr=1e-3, weight_decay=0.01)
    (adamw,) = make_optimizers(weights, recipe)
    (group,) = adamw.param_groups
    assert type(adamw) is torch.optim.AdamW and group["params"] == weights
    assert (group["lr"], group["weight_decay"]) == (1e-3, 0.01)


def test_the_rate_of_what_is_no_matrix_is_the_recipes_and_its_decay_stays():
    weights = [nn.Parameter(torch.ones(7)), nn.Parameter(torch.ones(3, 4))]
    _, adamw = make_optimizers(weights, Recipe(lr=1e-2, vector_lr=0.5, weight_decay=0.1))
    (group,) = adamw.param_groups
    assert group["lr"] == pytest.approx(5e-3)
    assert group["lr"] * group["weight_decay"] == pytest.approx(1e-3)


def test_a_weight_without_a_gradient_stays_as_it_is():
    weights = [nn.Parameter(torch.ones(3, 4)) for _ in range(2)]
    weights[0].grad = torch.ones(3, 4)
    Muon(weights, lr=1e-2, weight_decay=0.1).step()
    assert not weights[0].equal(torch.ones(3, 4)) and weights[1].equal(torch.ones(3, 4))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_a_matrix_moves_as_the_reference_moves_it():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(24, 40, generator=generator)
    ours, theirs = (nn.Parameter(start.clone()) for _ in range(2))
    settings = {"lr": 1e-2, "weight_decay": 0.1}
    reference = torch.optim.Muon(
        [theirs], momentum=MOMENTUM, nesterov=True, adjust_lr_fn="match_rms_adamw", **settings
    )
    optimizers = Muon([ours], **settings), reference
    for _ in range(5):
        gradient = torch.randn(24, 40, generator=generator)
        for weight, optimizer in zip((ours, theirs), optimizers, strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    moves = [(weight.detach() - start).flatten() for weight in (ours, theirs)]
    assert torch.cosine_similarity(*moves, dim=0) > 0.999
    assert (moves[0].norm() / moves[1].norm()).item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (8, 4, 3, 3)])
def test_the_length_of_a_step_is_a_fifth_of_the_learning_rate(shape):
    weight = nn.Parameter(torch.zeros(shape))
    weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    Muon([weight], lr=1e-2).step()
    size = weight.detach().square().mean().sqrt().item()  # AdamW's first step has 1e-2
    assert size == pytest.approx(0.2e-2, rel=0.25)  # singular values are from 0.7 to 1.2, not 1


@pytest.mark.parametrize("name", NAMES)
def test_the_bulk_of_every_model_is_matrices(name):
    weights = dict(build(name).named_parameters())
    bulk = sum(w.numel() for w in weights.values() if is_matrix(w))
    assert bulk > 0.85 * sum(w.numel() for w in weights.values())
    assert not any(is_matrix(w) for key, w in weights.items() if key.endswith(("bias", "embed")))
