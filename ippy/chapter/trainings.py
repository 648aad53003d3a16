"""How the shipped networks were trained, read from the manifest of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pandas as pd
import torch

from ippy.models import build
from ippy.quality.cost import gflop
from ippy.train.recipe import with_defaults

SIDE = 256  # of a whole slice, in pixels
Manifest = Mapping[str, Mapping[str, Any]]


def recipes(manifest: Manifest) -> pd.DataFrame:
    """Return the recipes in a manifest: a row a network, a column a setting.

    Args:
        manifest: Name -> record, as :func:`ippy.weights.read_manifest` gives it.
    """
    rows = [with_defaults(entry["recipe"]) for entry in manifest.values()]
    return pd.DataFrame(rows, index=[*manifest], dtype=object)


def shared_and_own(table: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """Split a table into what is the same in all rows, and the columns that differ."""
    differs = table.nunique(dropna=False) > 1
    return table.loc[:, ~differs].iloc[0], table.loc[:, differs]


def slices_seen(recipe: Mapping[str, Any], steps: float | None = None) -> float:
    """Return how many whole slices' worth of pixels a training goes through.

    Args:
        recipe: Its settings, with ``steps``, ``batch_size`` and ``crop`` among them.
        steps: Up to this step; all of them if None.
    """
    part = 1.0 if recipe["crop"] is None else (recipe["crop"] / SIDE) ** 2
    return (recipe["steps"] if steps is None else steps) * recipe["batch_size"] * part


def operations(name: str, recipe: Mapping[str, Any], steps: float | None = None) -> float:
    """Return the multiplications and additions of a training's networks, in 10^12.

    Forward and backward; the optimiser's own are not counted.

    Args:
        name: The network, as :func:`ippy.models.build` takes it.
        recipe: Its settings, as for :func:`slices_seen`.
        steps: Up to this step; all of them if None.
    """
    steps = recipe["steps"] if steps is None else steps
    return steps * recipe["batch_size"] * _gflop_of_crop(name, recipe["crop"] or SIDE) / 1000


@cache
def _gflop_of_crop(name: str, side: int) -> float:
    """Return the operations of a forward and a backward pass of one crop, in 10^9."""
    return gflop(build(name, seed=0), torch.zeros(1, 1, side, side), backward=True)
