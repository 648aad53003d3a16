"""The record of a study in a table to be read: a row a setting, seeds taken together."""

from __future__ import annotations

import pandas as pd

from ippy.studies.definition import load
from ippy.studies.record import read

COLUMNS = {
    "validation.psnr": "validation (dB)",
    "test.psnr": "test (dB)",
    "real.psnr": "real (dB)",
    "test.ssim": "SSIM",
    "cpu_seconds": "core-seconds",
}
DIGITS = {"SSIM": 4, "core-seconds": 0}  # the others are decibels


def summarise(name: str, *, complete: bool = True) -> pd.DataFrame:
    """Return the means over the seeds, a row for each setting of the other factors.

    The spread is the largest PSNR on the test slices minus the smallest, in dB, over the seeds of a
    setting: a difference between settings that is no larger says nothing. Runs that diverged have
    no scores; where there are any, a column counts them. Core-seconds are those of the trainings:
    networks that were only evaluated count among the seeds, but not there.

    Args:
        name: The study.
        complete: Refuse a record in which runs are missing.

    Raises:
        ValueError: As :func:`~ippy.studies.read`.
        FileNotFoundError: As :func:`~ippy.studies.read`.
    """
    table = read(name, complete=complete)
    if "recipe.steps" in table:
        table["cpu_seconds"] = table.cpu_seconds.where(table["recipe.steps"].notna())
    if "test.psnr" not in table:  # all runs so far have diverged
        table["test.psnr"] = float("nan")
    factors = [factor for factor in load(name).rows[0] if factor != "seed"]
    by = factors or pd.Series("all", table.index, name="runs")
    groups = table.groupby(by, sort=False, dropna=False)  # None is a setting, too
    there = [column for column in COLUMNS if column in table]
    means = groups[there].mean().rename(columns=COLUMNS)
    means.insert(0, "seeds", groups.size())
    score = groups["test.psnr"]
    means["spread (dB)"] = score.max() - score.min()
    if "diverged" in table:
        means["diverged"] = groups["diverged"].count()
    means = means.round({column: DIGITS.get(column, 2) for column in means})
    return means.astype({COLUMNS["cpu_seconds"]: "Int64"})  # whole numbers, or missing
