"""``python -m ippy prepare``: generate the slices."""

from __future__ import annotations

import argparse

from ippy.commands.parsing import Subparsers
from ippy.data import prepare_mayo


def add(commands: Subparsers) -> None:
    """Add the command's parser; its handler is below."""
    command = commands.add_parser(
        "prepare",
        help="generate the slices that the course trains and tests on",
        description="Generate CT-like slices into Mayo/train and Mayo/test, once; a second call "
        "finds them there. Real slices put there as <patient>/<n>.png are never touched.",
    )
    command.add_argument(
        "--seed", type=int, default=None, help="another seed gives other slices, which stay"
    )
    command.set_defaults(run=_prepare, after_stop=lambda args: "")


def _prepare(args: argparse.Namespace) -> None:
    print(f"The slices are in {prepare_mayo(seed=args.seed)}")
