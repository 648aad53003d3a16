"""Muon makes a matrix's update orthogonal, and leaves the other weights to AdamW."""

import pytest
import torch
from torch import Tensor, nn

from ippy.models import NAMES, build
from ippy.train.muon import MOMENTUM, Muon, is_matrix, orthogonalise


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (16, 8, 3, 3), (64, 8, 2, 2), (5, 5)])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("coarse", [False, True])
def test_an_update_keeps_its_directions_and_loses_its_lengths(shape, scale, coarse):
    generator = torch.Generator().manual_seed(0)
    update = scale * torch.randn(shape, generator=generator)
    result = orthogonalise(update, coarse=coarse)
    assert result.shape == update.shape and result.dtype == torch.float32
    U, _, Vh = torch.linalg.svd(update.flatten(1), full_matrices=False)
    lengths = U.T @ result.flatten(1) @ Vh.T  # in the update's own directions
    sizes = lengths.diagonal()
    assert ((sizes > 0.6) & (sizes < 1.25)).all()
    torch.testing.assert_close(lengths, sizes.diag(), atol=2e-3, rtol=0)


@pytest.mark.parametrize("coarse", [False, True])
def test_the_small_matrices_give_what_the_plain_iteration_gives(coarse):
    x = torch.randn(12, 40, generator=torch.Generator().manual_seed(1)).double()
    result = orthogonalise(x, coarse=coarse)
    x = x / x.norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(result, x.float(), atol=1e-4, rtol=0)


def test_an_update_of_zeros_stays_zero():
    assert orthogonalise(torch.zeros(4, 9)).equal(torch.zeros(4, 9))


def test_what_is_no_matrix_moves_as_adamw_moves_it_at_a_fifth_of_the_rate():
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2))
    optimizers = (
        Muon([ours], lr=1e-2, weight_decay=0.1),
        torch.optim.AdamW([theirs], lr=2e-3, weight_decay=0.5, betas=(0.9, 0.95), eps=1e-10),
    )
    for step in range(5):
        for weight, optimizer in zip((ours, theirs), optimizers, strict=True):
            weight.grad = torch.cos(3 * weight.detach() + step)
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_rounding_in_the_small_matrices_does_not_grow(monkeypatch):
    """As on a GPU that multiplies with the 10 bits of TF32."""

    def rounded(x):
        mantissa, exponent = torch.frexp(x)
        return torch.ldexp((mantissa * 2**11).round() / 2**11, exponent)

    plain = Tensor.__matmul__
    U, _, Vh = torch.linalg.svd(torch.randn(64, 576, generator=torch.Generator().manual_seed(0)))
    update = U * torch.logspace(0, -6, 64) @ Vh[:64]
    monkeypatch.setattr(Tensor, "__matmul__", lambda a, b: plain(rounded(a), rounded(b)))
    result = orthogonalise(update, coarse=True)
    monkeypatch.undo()
    assert torch.linalg.svdvals(result).max() < 1.25


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


def test_the_length_of_a_step_is_a_fifth_of_the_learning_rate():
    weight = nn.Parameter(torch.zeros(8, 32))
    weight.grad = torch.randn(8, 32, generator=torch.Generator().manual_seed(0))
    Muon([weight], lr=1e-2).step()
    size = weight.detach().square().mean().sqrt().item()  # AdamW's first step has 1e-2
    assert 0.1e-2 < size < 0.3e-2  # 0.2 times it, as in the paper


@pytest.mark.parametrize("name", NAMES)
def test_the_bulk_of_every_model_is_matrices(name):
    weights = dict(build(name).named_parameters())
    bulk = sum(w.numel() for w in weights.values() if is_matrix(w))
    assert bulk > 0.85 * sum(w.numel() for w in weights.values())
    assert not any(is_matrix(w) for key, w in weights.items() if key.endswith(("bias", "embed")))


def test_a_state_of_other_weights_is_refused():
    weight = nn.Parameter(torch.ones(3, 4))
    optimizer = Muon([weight], lr=1e-3)
    weight.grad = torch.ones(3, 4)
    optimizer.step()
    optimizer.check_state()
    optimizer.state[weight]["momentum"] = torch.ones(4, 3)
    with pytest.raises(ValueError, match=r"momentum has shape \(4, 3\); expected \(3, 4\)"):
        optimizer.check_state()
    del optimizer.state[weight]["momentum"]
    with pytest.raises(KeyError):
        optimizer.check_state()
