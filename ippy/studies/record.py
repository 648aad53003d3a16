"""The record of a study: one JSON file with a row a run, written row by row."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pandas as pd

from ippy.base.files import locked, write_json
from ippy.base.paths import studies_dir
from ippy.studies.definition import Study, is_stale, load, row_key

Row = dict[str, Any]


def read(name: str, *, complete: bool = True) -> pd.DataFrame:
    """Return the record of a study as a tidy table: a row a run, factors and results as columns.

    Args:
        name: The study.
        complete: Refuse a record in which runs are missing.

    Raises:
        ValueError: There is no study of that name, or rows are stale (their definition has
            changed since) or missing.
        FileNotFoundError: Nothing of it was run yet, and ``complete`` is False.
    """
    study = load(name)
    rows, stale, missing = status(name, study)
    advice = f"run `python -m ippy study {name}`"
    if stale:
        raise ValueError(f"studies/{name}.json has stale rows, such as {stale[0]!r}: {advice}")
    if missing and complete:
        raise ValueError(
            f"studies/{name}.json lacks {len(missing)} of {len(study.rows)} rows, such as "
            f"{missing[0]!r}: {advice}"
        )
    if not rows:
        raise FileNotFoundError(f"no run of the study {name!r} is recorded: {advice}")
    return pd.DataFrame([row["factors"] | _flat(row) for row in rows])


def status(name: str, study: Study) -> tuple[list[Row], list[str], list[str]]:
    """Return the good rows in the study's order, and the keys of stale and of missing ones."""
    recorded = read_rows(name)
    rows, stale, missing = [], [], []
    for factors in study.rows:
        key = row_key(factors)
        row = recorded.get(key)
        if row is None:
            missing.append(key)
        elif is_stale(row, name, study.job(**factors)):
            stale.append(key)
        else:
            rows.append(row)
    return rows, stale, missing


def read_rows(name: str) -> dict[str, Row]:
    """Return all recorded rows by their key, those of a cluster's shards merged in."""
    rows: dict[str, Row] = {}
    for path in [record_path(name), *sorted(studies_dir().glob(f"{name}.shard-*.json"))]:
        rows |= _not_worse(name, rows_so_far(path), rows)
    return rows


def _not_worse(name: str, rows: dict[str, Row], known: dict[str, Row]) -> dict[str, Row]:
    """Return rows without those that are stale where the known one is not, as of an older array."""
    if not rows.keys() & known.keys():
        return rows
    study = load(name)
    jobs = {row_key(factors): study.job(**factors) for factors in study.rows}

    def is_good(row: Row | None) -> bool:
        job = jobs.get(row_key(row["factors"])) if row else None
        return job is not None and not is_stale(row, name, job)

    return {k: row for k, row in rows.items() if is_good(row) or not is_good(known.get(k))}


def append(path: Path, row: Row) -> None:
    """Enter a finished run in a record; a row of the same factors is replaced.

    The file is written whole or not at all, and several processes may append to it at once.

    Args:
        path: The record, as :func:`record_path` names it; made if it is not there.
        row: The run, with its ``factors``.

    Raises:
        ValueError: The record is damaged. Nothing was written.
        OSError: The disk is full or the folder can't be written.
    """
    with _locked(path):
        rows = rows_so_far(path)
        rows[row_key(row["factors"])] = row
        write_json(path, [*rows.values()])


def _locked(path: Path) -> AbstractContextManager[None]:
    """Return the lock of a record, which one process at a time holds."""
    return locked(path.with_name(f".{path.name}.lock"), path)


def merge_shards(name: str) -> None:
    """Enter the rows of all shards in the study's own record, and remove the shards."""
    for path in sorted(studies_dir().glob(f"{name}.shard-*.json")):
        with _locked(path):  # a task of the array may be entering a row
            rows = read_record(path)
            for row in _not_worse(name, rows, rows_so_far(record_path(name))).values():
                append(record_path(name), row)
            path.unlink()


def record_path(name: str, shard: str | None = None) -> Path:
    """Return the file of a study's record, or of one shard of it."""
    return studies_dir() / (f"{name}.json" if shard is None else f"{name}.shard-{shard}.json")


def rows_so_far(path: Path) -> dict[str, Row]:
    """Return the rows of one file by their key; none if it is not there yet.

    Raises:
        ValueError: It is damaged, or something else.
    """
    return read_record(path) if path.is_file() else {}


def read_record(path: Path) -> dict[str, Row]:
    """Return the rows of one file by their key.

    Raises:
        ValueError: It is damaged, or something else.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(rows, list):
            raise TypeError("it holds no list of rows")
        made = {row_key(row["factors"]): row for row in rows if row["digest"]}
        return {key: row for key, row in made.items() if row.get("checkpoint") or row["recipe"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} can't be read as the record of a study ({error}); restore it, e.g. with git"
        ) from error


def _flat(row: Row) -> Row:
    """Return a row's results with nested names joined: ``test.psnr``."""
    flat: Row = {}
    for name, value in row.items():
        if name in ("factors", "digest"):
            continue
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": v for inner, v in value.items()}
        else:
            flat[name] = value
    return flat
