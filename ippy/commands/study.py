"""``python -m ippy study``: run the experiments behind the book, or say what is there."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ippy.commands.parsing import Subparsers
from ippy.data import prepare_mayo
from ippy.studies import engine, load, summarise
from ippy.studies.record import status


def add(commands: Subparsers) -> None:
    """Add the command's parser; its handler is below."""
    command = commands.add_parser(
        "study",
        help="run the experiments behind the book, or list them",
        description="Run what the record of a study lacks, one process a run, each with one thread "
        "on a CPU. It may be stopped at any time; the same command goes on from there. At the end "
        "the scores are shown, means over the seeds and how far the seeds are apart. Without a "
        "name: list the studies, with how many of their runs are done, stale and missing.",
        epilog="Example: python -m ippy study loss --jobs 2",
    )
    command.add_argument("name", nargs="?", help="a study: a file in studies/")
    command.add_argument(
        "--only", default="*", metavar="PATTERN", help="only runs like this, such as '*seed=0*'"
    )
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at a time")
    command.add_argument(
        "--real",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="score each run on real slices too, <patient>/<n>.png in FOLDER",
    )
    command.add_argument(
        "--shard",
        type=_shard,
        default=None,
        metavar="I/N",
        help="run only each N-th run of the study, from the I-th on: for a cluster's array of N",
    )
    command.add_argument(
        "--check",
        action="store_true",
        help="repeat the cheapest training, of this study or of all, and compare it with its row",
    )
    command.set_defaults(
        run=_study, after_stop=lambda args: "; the same command goes on from there"
    )


def _study(args: argparse.Namespace) -> None:
    _refuse_unused(args)
    if args.check:
        prepare_mayo()
        print(engine.check(args.name))
        return
    if args.name is None:
        print(engine.overview().to_string(index=False))
        return
    print(load(args.name).question)
    prepare_mayo()
    options = {"only": args.only, "jobs": args.jobs, "real": args.real, "shard": args.shard}
    failed = engine.run(args.name, **options)
    rows, stale, _ = status(args.name, load(args.name))
    if stale:
        print(f"{len(stale)} rows are stale, such as {stale[0]}: without them there is no table")
    elif args.shard is None and rows:
        print(summarise(args.name, complete=False).to_string())
    if failed:
        raise ValueError(f"{len(failed)} runs failed, as said above: {'; '.join(failed)}")


def _refuse_unused(args: argparse.Namespace) -> None:
    """Refuse options that a list of the studies, or a check, would pass over in silence."""
    given = {
        "--only": args.only != "*",
        "--jobs": args.jobs != 1,
        "--real": args.real is not None,
        "--shard": args.shard is not None,
    }
    unused = [option for option, is_given in given.items() if is_given]
    if unused and args.check:
        raise ValueError(f"--check repeats one run as it was; leave {unused[0]} out")
    if unused and args.name is None:
        raise ValueError(f"{unused[0]} is for the runs of one study: name it")


def _shard(text: str) -> tuple[int, int]:
    """Read ``"2/8"``."""
    parts = re.fullmatch(r"(\d+)/(\d+)", text)
    if parts is None or not 1 <= int(parts[1]) <= int(parts[2]):
        raise argparse.ArgumentTypeError(f"{text!r}; expected I/N with I from 1 to N, e.g. 1/8")
    return int(parts[1]), int(parts[2])
