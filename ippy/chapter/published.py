"""The numbers that the course's source published, as they stand in ``book/``."""

from __future__ import annotations

import pandas as pd

from ippy.base.paths import course_root


def published_models() -> pd.DataFrame:
    """Return the published comparison, one row a model of ``ippy.models.NAMES``.

    Returns:
        The columns ``mse``, ``psnr`` (dB), ``ssim`` and ``lpips``, means over eight real slices;
        ``epochs``, ``batch_size`` and ``slices``, the real slices of an epoch.
    """
    return _read("published.csv")


def published_losses() -> pd.DataFrame:
    """Return the published loss study, one row a loss: ``mse``, ``psnr`` (dB) and ``ssim``."""
    return _read("published_losses.csv")


def _read(name: str) -> pd.DataFrame:
    path = course_root() / "book" / name
    return pd.read_csv(path, comment="#", index_col=0, encoding="utf-8")
