"""An ensemble's spread against its error: honest, too sure, and without a clue."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ippy.quality import rank_correlation, reliability, spread_and_error

M, SIZE = 4, (2, 1, 60, 80)


def gaussian(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def honest() -> tuple[torch.Tensor, torch.Tensor]:
    """Members and a truth that are drawn alike, with a spread that grows from left to right."""
    scale = torch.linspace(0.01, 0.1, SIZE[-1])
    drawn = 0.5 + scale * gaussian(M + 1, *SIZE, seed=0)
    return drawn[:M], drawn[M]


def test_spread_and_error_are_those_of_numpy(honest):
    estimates, x = honest
    spread, error = spread_and_error(estimates, x)
    members, truth = estimates.numpy().astype(float), x.numpy()
    by_hand = members.std(axis=0, ddof=1) * np.sqrt(1 + 1 / M)
    np.testing.assert_allclose(spread.numpy(), by_hand, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(error.numpy(), abs(members.mean(axis=0) - truth), atol=1e-6)


def test_an_honest_ensemble_has_the_errors_that_it_says(honest):
    estimates, x = honest
    table = reliability(estimates, x, groups=6)
    assert table.pixels.sum() == x.numel() and table.pixels.std() < 1
    assert table.spread.is_monotonic_increasing
    # Over all pixels, and from left to right, where the scale is known.
    whole = reliability(estimates, x, groups=1).iloc[0]
    assert whole.error == pytest.approx(whole.spread, rel=0.03)
    too_sure = reliability(x + 0.25 * (estimates - 0.5), x, groups=1).iloc[0]
    shifted = reliability(estimates + 0.3, x, groups=1).iloc[0]
    assert too_sure.spread == pytest.approx(whole.spread / 4, rel=0.01)
    assert shifted.error > 4 * shifted.spread


def test_the_rank_correlation_is_that_of_the_ranks(honest):
    estimates, x = honest
    found = rank_correlation(estimates, x)
    assert found.shape == (2,) and (found > 0.3).all()
    spread, error = spread_and_error(estimates, x)
    for value, s, e in zip(found, spread, error, strict=True):
        ranks = [part.flatten().argsort().argsort().double() for part in (s, e)]
        assert value == pytest.approx(torch.corrcoef(torch.stack(ranks))[0, 1].item(), abs=1e-3)
    clueless = 0.5 + 0.05 * gaussian(M, *SIZE, seed=1)
    unrelated = clueless.mean(dim=0) + 0.1 * gaussian(*SIZE, seed=2)
    assert rank_correlation(clueless, unrelated).abs().max() < 0.05


def test_what_is_no_ensemble_is_refused(honest):
    estimates, x = honest
    with pytest.raises(ValueError, match="number of members is 1; expected 2"):
        reliability(estimates[:1], x)
    with pytest.raises(ValueError, match=r"estimates has shape \(2, 1, 60, 80\)"):
        spread_and_error(estimates[0], x)
    with pytest.raises(ValueError, match="expected the same"):
        rank_correlation(estimates, x[:1])
    with pytest.raises(ValueError, match="groups is 0"):
        reliability(estimates, x, groups=0)
    with pytest.raises(ValueError, match="estimates holds NaN"):
        reliability(estimates * torch.nan, x)
