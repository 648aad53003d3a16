"""``python -m ippy evaluate``: the comparison table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ippy.base.paths import data_dir
from ippy.commands.parsing import Subparsers, add_skip_bad, report_skipped
from ippy.data import MayoDataset
from ippy.models import LABELS, NAMES
from ippy.problems import Tikhonov, TotalVariation, motion_deblurring
from ippy.quality import METRICS, evaluate, summarise
from ippy.quality.features import MISSING_FEATURES, features_available
from ippy.train.course import scores_entry
from ippy.weights import load_checkpoint
from ippy.weights.manifest import amend, checksums


def add(commands: Subparsers) -> None:
    """Add the command's parser; its handler is below."""
    command = commands.add_parser(
        "evaluate",
        help="print the comparison table for a folder of slices",
        description="Blur and corrupt every slice, restore it with two classical methods and "
        "every model that has a checkpoint, and print the mean MSE, PSNR (dB), SSIM and LPIPS. The "
        "protocol is the published one: noise drawn image by image from a CPU generator seeded "
        "with 123, output clamped to [0, 1].",
        epilog="Example: python -m ippy evaluate --data Mayo/test --first 8",
    )
    command.add_argument(
        "--data",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="a folder of <patient>/<n>.png (default: the course's Mayo/test)",
    )
    command.add_argument(
        "--record",
        action="store_true",
        help="enter each model's scores, and which slices gave them, in weights/manifest.json, "
        "as its scores on real slices",
    )
    command.add_argument("--first", type=int, default=None, metavar="N", help="only N slices")
    command.add_argument(
        "--white",
        type=int,
        default=None,
        metavar="VALUE",
        help="the value that is white in files with 16 bits a pixel, such as 4095 where they hold "
        "12 bits (default: 65535)",
    )
    add_skip_bad(command)
    command.set_defaults(run=_evaluate, after_stop=lambda args: "")


def _evaluate(args: argparse.Namespace) -> None:
    folder = args.data or data_dir() / "test"
    images = MayoDataset(folder, cache_bytes=0, skip_bad=args.skip_bad, white=args.white)
    report_skipped(images)
    problem = motion_deblurring()
    operator = problem.operator
    models = {"Tikhonov": Tikhonov(operator), "Total variation": TotalVariation(operator)}
    for name in NAMES:
        try:
            models[name] = load_checkpoint(name)
        except FileNotFoundError as error:
            print(f"Left out {LABELS[name]}: {error}", file=sys.stderr)
    files = checksums([name for name in models if name in NAMES]) if args.record else {}
    metrics = ["mse", "psnr", "ssim"]
    if features_available():
        metrics.append("lpips")
    else:
        print(MISSING_FEATURES, file=sys.stderr)
    table = summarise(
        evaluate(models, images, problem, metrics=metrics, first=args.first, progress=True)
    )
    formats = {name: f"{{:.{metric.digits}f}}".format for name, metric in METRICS.items()}
    slices = [path.relative_to(folder).as_posix() for path in images.paths[: args.first]]
    print(f"Means over {len(slices)} slices of {folder}")
    print(table.rename(index=LABELS).rename_axis(None).to_string(formatters=formats))
    entries = {
        name: {
            "sha256": sha256,
            "real": scores_entry(table.loc[name], len(slices)) | {"slices": slices},
        }
        for name, sha256 in files.items()
    }
    if args.record:
        amend(entries)
