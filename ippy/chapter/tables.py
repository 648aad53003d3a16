"""The tables of scores that the chapters share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from torch import Tensor

from ippy.models import LABELS
from ippy.quality.metrics import METRICS


def score_table(
    images: Mapping[str, Tensor], x: Tensor, metrics: Sequence[str] = ("mse", "psnr", "ssim")
) -> pd.DataFrame:
    """Score images against the truth: a row an image, a column a metric under its label.

    Args:
        images: Name -> images (B, 1, H, W) in [0, 1], whose scores are averaged.
        x: The truth, (B, 1, H, W).
        metrics: Names of ``ippy.quality.metrics``.
    """
    rows = {
        name: {METRICS[m].label: METRICS[m].function(x_hat, x).mean().item() for m in metrics}
        for name, x_hat in images.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def formatted(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of scores as text, with models and metrics under their labels.

    Args:
        table: A column a metric, under its name or its label. A missing score becomes a dash.
    """
    digits = {key: m.digits for name, m in METRICS.items() for key in (name, m.label)}
    text = {
        column: table[column].map(lambda v, d=digits[column]: "–" if v != v else f"{v:.{d}f}")
        for column in table
    }
    labels = {name: metric.label for name, metric in METRICS.items()}
    return pd.DataFrame(text).rename(index=LABELS, columns=labels)
