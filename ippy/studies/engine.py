"""Run what a study lacks, one process a run; say what is there; repeat a row and compare."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from tqdm import tqdm

from ippy.base.checks import check_integer
from ippy.base.device import get_device
from ippy.data import MayoDataset
from ippy.studies.definition import load, names, row_key
from ippy.studies.record import Row, merge_shards, read_record, record_path, status

POLL = 0.2  # seconds between two looks at the processes
TOLERANCE = 0.1  # dB between two runs of one row on unlike machines
# A terminal's Ctrl-C is for the study, which stops its runs.
ALONE: dict[str, int] = (
    {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    if sys.platform == "win32"
    else {"process_group": 0}
)
SURROUNDINGS = ("cpu", "ran_on", "versions", "data")  # where these agree, so does every bit


def run(
    name: str,
    *,
    only: str = "*",
    jobs: int = 1,
    real: Path | None = None,
    shard: tuple[int, int] | None = None,
    progress: bool = True,
) -> list[str]:
    """Run the missing and the stale rows of a study; stopped, it goes on when called again.

    Args:
        name: The study.
        only: Only rows whose key matches this pattern, such as ``"*loss=l1*"``.
        jobs: Processes at a time; on a CPU each has one thread.
        real: A folder ``<patient>/*.png`` of real slices to score each run on too.
        shard: (I, N), counted from 1: run every N-th row of the study only, from the I-th on, and
            enter them in a file of this shard's own. The share does not depend on what is done, so
            the tasks of an array never take the same row, whenever they start. Without it the rows
            of earlier shards are merged first.
        progress: Show a bar.

    Returns:
        The keys of the rows whose process failed.

    Raises:
        ValueError: There is no study of that name, no row matches, or ``jobs`` is below 1.
        FileNotFoundError: ``real`` holds no slices.
        KeyboardInterrupt: After Ctrl-C or SIGTERM, once the runs have saved their states.
    """
    check_integer("jobs", jobs, least=1)
    if real is not None:
        MayoDataset(real)  # hours before it is needed
    study = load(name)
    if shard is None:
        merge_shards(name)
    keys = [key for key in map(row_key, study.rows) if fnmatchcase(key, only)]
    if not keys:
        example = row_key(study.rows[0])
        raise ValueError(f"no run of {name!r} matches {only!r}; they are called like {example!r}")
    if shard is not None:
        index, count = shard
        keys = keys[index - 1 :: count]
    good, stale, missing = status(name, study)
    todo = [key for key in keys if key in missing or key in stale]
    unscored = sum(row_key(row["factors"]) in keys and "real" not in row for row in good)
    if real is not None and unscored:
        print(
            f"{unscored} rows that are there have no scores on real slices, and get none now: "
            "--real is for runs that are still to be made",
            file=sys.stderr,
        )
    record = record_path(name, None if shard is None else "{}-of-{}".format(*shard))
    return _run_all({key: _command(name, key, record, real) for key in todo}, jobs, progress)


def overview() -> pd.DataFrame:
    """Return a row a study: how many rows are done, stale and missing, and hours of one core."""
    lines = []
    for name in names():
        study = load(name)
        rows, stale, missing = status(name, study)
        lines.append(
            {
                "study": name,
                "question": study.question,
                "done": len(rows),
                "stale": len(stale),
                "missing": len(missing),
                "hours done": round(sum(row["cpu_seconds"] for row in rows) / 3600, 2),
                "hours left": round(study.minutes * (len(stale) + len(missing)) / 60, 2),
            }
        )
    return pd.DataFrame(lines)


def check(name: str | None = None) -> str:
    """Repeat the recorded run that took the least time, and compare it with its row.

    It is a training, where any is recorded, and else an evaluation.

    Args:
        name: The study; the cheapest of all studies if None.

    Returns:
        What was found, in words.

    Raises:
        ValueError: No good row is recorded, the run failed, or the two differ: in a bit on a CPU of
            the same kind with the same software, or by more than 0.1 dB elsewhere.
    """
    asked = names() if name is None else [name]
    recorded = [
        (study, row)
        for study in asked
        for row in status(study, load(study))[0]
        if "diverged" not in row
    ]
    if not recorded:
        raise ValueError(f"no good row of {', '.join(asked)} is recorded; nothing to compare with")
    study, cheapest = min(
        recorded, key=lambda found: ("recipe" not in found[1], found[1]["cpu_seconds"])
    )
    key = row_key(cheapest["factors"])
    with TemporaryDirectory() as folder:
        record = Path(folder) / "repeated.json"
        if _run_all({key: _command(study, key, record, None)}, 1, progress=False):
            raise ValueError(f"the run {key!r} failed; its error stands above")
        (repeated,) = read_record(record).values()
    return f"{study}, {key}: {compare(cheapest, repeated)}"


def compare(recorded: Row, repeated: Row) -> str:
    """Compare two rows of the same factors; see :func:`check`."""
    if "diverged" in repeated:
        raise ValueError(f"the repetition diverged: {repeated['diverged']}")
    alike = all(recorded[part] == repeated[part] for part in SURROUNDINGS)
    made, what = ("weights", "weights") if "weights" in recorded else ("test", "scores")
    if alike and recorded[made] == repeated[made]:
        return f"the same {what}, bit for bit"
    before, after = recorded["test"]["psnr"], repeated["test"]["psnr"]
    if not math.isclose(before, after, abs_tol=TOLERANCE):
        raise ValueError(f"the row has {before:.3f} dB and its repetition {after:.3f} dB")
    if alike:
        raise ValueError(f"the {what} differ on a CPU of the same kind ({before:.3f} dB)")
    return f"{after:.3f} dB, recorded {before:.3f} dB"


def _command(name: str, key: str, record: Path, real: Path | None) -> list[str]:
    """Return the command that trains one run in a process of its own."""
    options = [] if real is None else ["--real", str(real)]
    command = [sys.executable, "-m", "ippy.studies.worker", "--with-parent", *options]
    return [*command, name, key, str(record)]


def _run_all(commands: dict[str, list[str]], jobs: int, progress: bool) -> list[str]:
    """Run commands, so many at a time; return the keys of those that failed."""
    waiting, running, failed = list(commands), {}, []
    with (
        _terminated_like_interrupted(),
        tqdm(total=len(commands), unit="run", disable=not progress) as bar,
    ):
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    key = waiting.pop(0)
                    running[key] = subprocess.Popen(
                        commands[key], env=_environment(), stdin=subprocess.PIPE, **ALONE
                    )  # the pipe ends with this process, however that ends
                time.sleep(POLL)
                for key in [key for key, process in running.items() if process.poll() is not None]:
                    process = running.pop(key)
                    process.stdin.close()
                    if process.returncode:
                        failed.append(key)
                    bar.update()
        except KeyboardInterrupt:
            for process in running.values():
                process.stdin.close()  # which tells a run to save its state and stop
            for process in running.values():
                process.wait()
            raise
    return failed


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C: a scheduler kills what is left once this process has ended."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are not for this thread
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _environment() -> dict[str, str]:
    """Return the environment of a run: one thread on a CPU, so that sums round alike."""
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    on_cpu = get_device() == torch.device("cpu")
    return os.environ | (one_thread if on_cpu else {})
