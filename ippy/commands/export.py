"""``python -m ippy export``: a trained model for other runtimes."""

from __future__ import annotations

import argparse
from pathlib import Path

from ippy.base.paths import output_dir
from ippy.commands.parsing import Subparsers
from ippy.models import spec
from ippy.tools.export import export
from ippy.train import RECIPES


def add(commands: Subparsers) -> None:
    """Add the command's parser; its handler is below."""
    command = commands.add_parser(
        "export",
        help="write a trained model as an ONNX file, for other runtimes",
        description="Write a trained model as an ONNX file, which runs without Python and PyTorch: "
        "in a browser, on a phone, in C++. It takes measurements of any height and width from "
        "8 pixels. Its metadata say for which task it was trained, on which scale, and the sha256 "
        "of its weights.",
        epilog="Example: python -m ippy export UNet --output unet.onnx",
    )
    command.add_argument("name", metavar="NAME", help=f"one of {', '.join(RECIPES)}")
    command.add_argument(
        "--output",
        type=Path,
        default=None,
        metavar="FILE",
        help="the file to write (default: weights/NAME.onnx in the course)",
    )
    command.set_defaults(run=_export, after_stop=lambda args: "; nothing was written")


def _export(args: argparse.Namespace) -> None:
    spec(args.name)  # an unknown name is refused before a folder is made for it
    path = args.output or output_dir("weights") / f"{args.name}.onnx"
    print(f"{args.name} is in {export(args.name, path)}")
