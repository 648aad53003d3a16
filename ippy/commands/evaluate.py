"""``python -m ippy evaluate``: the comparison table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from torch import nn

from ippy.base.files import write_text
from ippy.base.paths import data_dir, is_writable
from ippy.commands.parsing import Subparsers, add_skip_bad, add_task, add_white, report_skipped
from ippy.data import MayoDataset
from ippy.data.generation import read_generated
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
        "--weights",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="the checkpoints in FOLDER, such as `train --output FOLDER` wrote (default: the "
        "course's for the task)",
    )
    command.add_argument(
        "--record",
        action="store_true",
        help="enter each model's scores, and which slices gave them, in the manifest of its "
        "weights, as its scores on real slices",
    )
    command.add_argument("--first", type=int, default=None, metavar="N", help="only N slices")
    command.add_argument(
        "--csv",
        type=Path,
        default=None,
        metavar="FILE",
        help="write the scores here too, one row a model and slice",
    )
    add_task(command)
    add_white(command)
    add_skip_bad(command)
    command.set_defaults(run=_evaluate, after_stop=lambda args: "")


def _evaluate(args: argparse.Namespace) -> None:
    if args.record and args.data is None:
        raise ValueError("--record enters scores on real slices: say which, --data FOLDER")
    if args.record and _is_generated(args.data):
        raise ValueError(f"--record enters scores on real slices: {args.data} was generated")
    if args.csv is not None and args.csv.is_dir():
        raise ValueError(
            f"--csv {args.csv} is a folder; name a file, e.g. {args.csv / 'scores.csv'}"
        )
    if args.csv is not None and not is_writable(args.csv.parent):
        raise ValueError(f"--csv {args.csv}: nothing can be written in {args.csv.parent}")
    weights = task_folder(args.task) if args.weights is None else args.weights
    if args.record and not is_writable(weights):
        raise ValueError(f"--record: nothing can be written in {weights}")
    folder = args.data or data_dir() / "test"
    images = MayoDataset(folder, cache_bytes=0, skip_bad=args.skip_bad, white=args.white)
    report_skipped(images)
    problem = make_task(args.task)
    models = {
        "Tikhonov": Tikhonov(problem.operator),
        "Total variation": TotalVariation(problem.operator),
    }
    trained = _trained(weights, missing=args.weights is None)
    models |= trained
    files = checksums(trained, weights) if args.record else {}
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
        made_of = {"slices": slices} | ({} if args.white is None else {"white": args.white})
        entries = {
            name: {
                "sha256": sha256,
                "real": scores_entry(means.loc[name], len(slices)) | made_of,
            }
            for name, sha256 in files.items()
        }
        amend(entries, weights)


def _is_generated(folder: Path) -> bool:
    """Say whether the slices of a folder are a split of generated ones."""
    folder = folder.resolve()
    return folder.name in read_generated(folder.parent).get("slices", {})


def _trained(folder: Path, *, missing: bool) -> dict[str, nn.Module]:
    """Return the models that have a checkpoint in a folder.

    Args:
        folder: Where they are.
        missing: Say which of the seven are not there; else one has to be.
    """
    models = {}
    for name in LABELS:
        path = folder / f"{name}.pth"
        if not path.is_file() and not (missing and name in NAMES):
            continue
        try:
            models[name] = load_checkpoint(name, path)
        except FileNotFoundError as error:
            print(f"Left out {LABELS[name]}: {error}", file=sys.stderr)
    if not models and not missing:
        raise ValueError(f"--weights {folder} holds no model of the course, such as UNet.pth")
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
    write_text(path, rows.to_csv(index=False, lineterminator="\n"))
