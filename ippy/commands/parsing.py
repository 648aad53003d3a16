"""What the parsers of several commands share."""

from __future__ import annotations

import argparse
import sys

from ippy.data import MayoDataset
from ippy.problems import TASKS
from ippy.problems.tasks import REFERENCE

Subparsers = argparse._SubParsersAction  # what add_subparsers returns; it has no public name


def add_skip_bad(command: argparse.ArgumentParser) -> None:
    """Give a command the option ``--skip-bad``."""
    command.add_argument(
        "--skip-bad",
        action="store_true",
        help="read every file once before, list those that can't be read, and go on without them",
    )


def add_white(command: argparse.ArgumentParser) -> None:
    """Give a command the option ``--white``."""
    command.add_argument(
        "--white",
        type=int,
        default=None,
        metavar="VALUE",
        help="the value that is white in files with 16 bits a pixel, such as 4095 where they hold "
        "12 bits (default: 65535)",
    )


def add_task(command: argparse.ArgumentParser) -> None:
    """Give a command the option ``--task``."""
    command.add_argument(
        "--task",
        choices=tuple(TASKS),
        default=REFERENCE,
        help="what the slices went through: %(choices)s (default: %(default)s)",
        metavar="NAME",
    )


def report_skipped(images: MayoDataset) -> None:
    """List the files that were left out, if there are any."""
    if images.skipped:
        left_out = (
            f"Skipped {len(images.skipped)}, which can't be read; {len(images)} slices are left"
        )
        print(f"{left_out}:", file=sys.stderr)
        for fault in images.skipped.values():
            print(f"  {fault}", file=sys.stderr)
