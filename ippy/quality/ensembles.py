"""Does an ensemble know where it is wrong? The spread of its members against their error.

Lakshminarayanan, Pritzel and Blundell, Simple and scalable predictive uncertainty estimation using
deep ensembles, NeurIPS 2017. M is the number of members, such as networks of several seeds.
"""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from ippy.base.checks import check_integer
from ippy.base.images import check_pair, check_tensor, check_values


def spread_and_error(estimates: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return what an ensemble says of its error at each pixel, and the error: (B, C, H, W) each.

    If the truth were one more member, drawn as the others, the error of their mean had the variance
    :math:`s^2 (1 + 1/M)`, where :math:`s` is the members' standard deviation. Its root is what the
    ensemble says.

    Args:
        estimates: Those of the members, (M, B, C, H, W), M at least 2.
        x: True images (B, C, H, W).

    Raises:
        ValueError: There are too few members, shapes differ, or a value is NaN or infinite.
    """
    check_tensor("estimates", estimates, axes=(5,), expected="(M, B, C, H, W)")
    check_values("estimates", estimates, wait=True)
    members = check_integer("estimates' number of members", len(estimates), least=2)
    mean = estimates.mean(dim=0)
    check_pair(mean, x, wait=True)
    spread = estimates.var(dim=0, correction=1).mul(1 + 1 / members).sqrt()
    return spread, (mean - x).abs()


def reliability(estimates: Tensor, x: Tensor, *, groups: int = 10) -> pd.DataFrame:
    """Return how large errors are where an ensemble says how large: a row a group of pixels.

    Pixels are sorted by what the ensemble says and cut into groups of equal number. An honest
    ensemble has ``error`` = ``spread`` in each; one that is too sure has larger errors.

    Args:
        estimates: Those of the members, (M, B, C, H, W), M at least 2.
        x: True images (B, C, H, W).
        groups: Number of groups, at most that of the pixels.

    Returns:
        Columns ``spread``, ``error`` (root mean squares over the group's pixels) and ``pixels``.

    Raises:
        ValueError: As :func:`spread_and_error`, or there are more groups than pixels.
    """
    spread, error = spread_and_error(estimates, x)
    groups = check_integer("groups", groups, least=1, most=spread.numel())
    order = spread.flatten().argsort()
    parts = [
        (s.square().mean().sqrt().item(), e.square().mean().sqrt().item(), len(s))
        for s, e in zip(
            spread.flatten()[order].tensor_split(groups),
            error.flatten()[order].tensor_split(groups),
            strict=True,
        )
    ]
    return pd.DataFrame(parts, columns=["spread", "error", "pixels"])


def rank_correlation(estimates: Tensor, x: Tensor) -> Tensor:
    """Return Spearman's rank correlation between spread and error over each image's pixels, (B,).

    1: the ensemble ranks its pixels as their errors do; 0: it knows nothing of them.

    Args:
        estimates: Those of the members, (M, B, C, H, W), M at least 2.
        x: True images (B, C, H, W).

    Raises:
        ValueError: As :func:`spread_and_error`.
    """
    from scipy.stats import spearmanr  # half a second of importing

    spread, error = spread_and_error(estimates, x)
    spread, error = (pixels.flatten(1).numpy(force=True) for pixels in (spread, error))
    pairs = zip(spread, error, strict=True)
    return x.new_tensor([spearmanr(s, e).statistic for s, e in pairs], dtype=torch.float32)
