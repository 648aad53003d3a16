"""``python -m ippy evaluate``: the comparison table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from torch import nn

from ippy.base.paths import data_dir, is_writable
from ippy.commands.parsing import Subparsers, add_skip_bad, add_task, report_skipped
from ippy.data import MayoDataset
from ippy.models import LABELS, NAMES
from ippy.problems import Tikhonov, TotalVariation
from ippy.problems.tasks import make_task
from ippy.quality import METRICS, available_metrics, evaluate, summarise
from ippy.quality.features import MISSING_FEATURES
from ippy.train.course import scores_entry
from ippy.weights import load_checkpoint
from ippy.weights.manifest import amend, checksums, task_folder


def add(commands: Subparsers) -> None:
    """Add the command's parser; its handler is below."""
    command = commands.add_parser(
        "evaluate",
        help="print the comparison table for a folder of slices",
        description="Measure every slice, restore it with two classical methods and every model "
        "that has a checkpoint for the task, and print the mean MSE, PSNR (dB), SSIM and LPIPS. "
        "The protocol is the published one: noise drawn image by image from a CPU generator "
        "seeded with 123, output clamped to [0, 1].",
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
    command.add_argument(
        "--csv",
        type=Path,
        default=None,
        metavar="FILE",
        help="write the scores here too, one row a model and slice",
    )
    add_task(command)
    add_skip_bad(command)
    command.set_defaults(run=_evaluate, after_stop=lambda args: "")


def _evaluate(args: argparse.Namespace) -> None:
    if args.record and args.data is None:
        raise ValueError("--record enters scores on real slices: say which, --data FOLDER")
    if args.csv is not None and args.csv.is_dir():
        raise ValueError(
            f"--csv {args.csv} is a folder; name a file, e.g. {args.csv / 'scores.csv'}"
        )
    if args.csv is not None and not is_writable(args.csv.parent):
        raise ValueError(f"--csv {args.csv}: nothing can be written in {args.csv.parent}")
    if args.record and not is_writable(task_folder(args.task)):
        raise ValueError(f"--record: nothing can be written in {task_folder(args.task)}")
    folder = args.data or data_dir() / "test"
    images = MayoDataset(folder, cache_bytes=0, skip_bad=args.skip_bad, white=args.white)
    report_skipped(images)
    problem = make_task(args.task)
    models = {
        "Tikhonov": Tikhonov(problem.operator),
        "Total variation": TotalVariation(problem.operator),
    }
    trained = _trained(args.task)
    models |= trained
    files = checksums(trained, args.task) if args.record else {}
    metrics = available_metrics()
    if "lpips" not in metrics:
        print(MISSING_FEATURES, file=sys.stderr)
    table = evaluate(models, images, problem, metrics=metrics, first=args.first, progress=True)
    slices = [path.relative_to(folder).as_posix() for path in images.paths[: args.first]]
    means = summarise(table)
    formats = {name: f"{{:.{metric.digits}f}}".format for name, metric in METRICS.items()}
    print(f"Means over {len(slices)} slices of {folder}")
    print(means.rename(index=LABELS).rename_axis(None).to_string(formatters=formats))
    if args.csv is not None:
        _write_rows(table, args.csv, args.task, problem.noise_level, slices)
    if args.record:
        entries = {
            name: {
                "sha256": sha256,
                "real": scores_entry(means.loc[name], len(slices)) | {"slices": slices},
            }
            for name, sha256 in files.items()
        }
        amend(entries, args.task)


def _trained(task: str) -> dict[str, nn.Module]:
    """Return the models that have a checkpoint for a task; of the seven, say which have none."""
    models, folder = {}, task_folder(task)
    for name in LABELS:
        path = folder / f"{name}.pth"
        if name not in NAMES and not path.is_file():
            continue
        try:
            models[name] = load_checkpoint(name, path)
        except FileNotFoundError as error:
            print(f"Left out {LABELS[name]}: {error}", file=sys.stderr)
    return models


def _write_rows(
    table: pd.DataFrame, path: Path, task: str, noise_level: float, slices: list[str]
) -> None:
    """Write a tidy table: a row a model and slice, with the task that it belongs to."""
    rows = table.assign(
        task=task, noise_level=noise_level, slice=[slices[number] for number in table["image"]]
    )
    first = ["task", "noise_level", "model", "image", "slice"]
    rows = rows[[*first, *(column for column in rows if column not in first)]]
    rows.to_csv(path, index=False, lineterminator="\n")
