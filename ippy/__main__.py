"""The command line: ``python -m ippy {prepare,import-dicom,train,evaluate}``."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from ippy.base.paths import data_dir
from ippy.data import MayoDataset, prepare_mayo
from ippy.models import LABELS, NAMES
from ippy.problems import Tikhonov, TotalVariation, motion_deblurring
from ippy.quality import METRICS, evaluate, summarise
from ippy.quality.features import MISSING_FEATURES, features_available
from ippy.tools.dicom import SEED, SPLITS, TEST_FRACTION, WINDOW, import_dicom, summary
from ippy.train import RECIPES, Recipe, Stopped
from ippy.train.course import checkpoint_path, is_finished, scores_entry, train_model
from ippy.train.distributed import accelerator, on_main
from ippy.train.resume import stopped_after
from ippy.weights import load_checkpoint
from ippy.weights.manifest import amend, checksums

Subparsers = argparse._SubParsersAction  # what add_subparsers returns; it has no public name


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="python -m ippy",
        description="Prepare the course's data, train its seven models, compare them. "
        "Everything runs on the best device there is: CUDA, MPS or CPU.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_prepare, _add_import, _add_train, _add_evaluate):
        add(commands)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status; an error is one line on stderr.

    The status is 2 after an error and 130 after Ctrl-C.
    """
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except (ValueError, ModuleNotFoundError, OSError, FloatingPointError) as error:
        notes = getattr(error, "__notes__", [])
        _print_error("; ".join([f"error: {error}", *notes]), error)
        return 2
    except KeyboardInterrupt as stop:
        place = f" after step {stop.step} of {stop.steps}" if isinstance(stop, Stopped) else ""
        _print_error(f"stopped{place}{args.after_stop(args)}", stop)
        return 130
    return 0


def _print_error(line: str, reason: BaseException) -> None:
    """Print a line to stderr: once if all processes have the same reason, else each its own."""
    rank = int(os.environ.get("RANK", 0))
    if rank == 0:
        print(line, file=sys.stderr)
    elif not (isinstance(reason, KeyboardInterrupt) or getattr(reason, "shared", False)):
        print(f"process {rank}: {line}", file=sys.stderr, flush=True)


def _add_prepare(commands: Subparsers) -> None:
    command = commands.add_parser(
        "prepare",
        help="generate the slices that the course trains and tests on",
        description="Generate CT-like slices into Mayo/train and Mayo/test, once; a second call "
        "finds them there. Real slices put there as <patient>/<n>.png are never touched.",
    )
    command.add_argument("--seed", type=int, default=None, help="another seed gives other slices")
    command.set_defaults(run=_prepare, after_stop=lambda args: "")


def _prepare(args: argparse.Namespace) -> None:
    options = {} if args.seed is None else {"seed": args.seed}
    print(f"The slices are in {prepare_mayo(**options)}")


def _add_import(commands: Subparsers) -> None:
    command = commands.add_parser(
        "import-dicom",
        help="turn a folder of DICOM CT series into slices",
        description="Write the CT slices below SOURCE as TARGET/{train,test}/<patient>/<n>.png, "
        "16-bit greyscale at their own size, numbered from head to feet. Of each patient one axial "
        "series is taken, the one with the most slices, and every patient is on one side of the "
        "split only. Patients are called P001, P002, …; no name, identifier or path of the source "
        "is written. TARGET/import.json says how the slices were made. An interrupted import goes "
        "on where it stopped.",
        epilog="Example: python -m ippy import-dicom scans Mayo",
    )
    command.add_argument("source", type=Path, metavar="SOURCE", help="folder of DICOM files")
    command.add_argument("target", type=Path, metavar="TARGET", help="data folder, as Mayo")
    command.add_argument(
        "--window",
        type=float,
        nargs=2,
        default=WINDOW,
        metavar=("CENTRE", "WIDTH"),
        help="Hounsfield units (HU) from black to white (default: {:g} {:g}, which is -1000 HU to "
        "1600 HU: soft tissue is about 0.4, as in the published slices)".format(*WINDOW),
    )
    command.add_argument(
        "--test-fraction",
        type=float,
        default=TEST_FRACTION,
        metavar="PART",
        help=f"part of the patients that goes to test/ (default: {TEST_FRACTION})",
    )
    command.add_argument(
        "--seed", type=int, default=SEED, help=f"seed of the split (default: {SEED})"
    )
    command.add_argument(
        "--series",
        default="",
        metavar="TEXT",
        help="only series whose description contains TEXT, such as 'full dose'",
    )
    command.add_argument(
        "--split-by",
        choices=SPLITS,
        default=SPLITS[0],
        help="what tells patients apart (default: patient, by ID; images that share a study or a "
        "series are of one, too). study: where an anonymiser gave all one ID; folder: each folder "
        "in SOURCE is a patient",
    )
    command.add_argument(
        "--report",
        type=Path,
        default=None,
        metavar="FILE",
        help="list what became of each source file, as CSV; it holds the paths, so keep it private",
    )
    command.set_defaults(
        run=_import, after_stop=lambda args: "; the same command goes on from there"
    )


def _import(args: argparse.Namespace) -> None:
    manifest = import_dicom(
        args.source,
        args.target,
        window=tuple(args.window),
        test_fraction=args.test_fraction,
        seed=args.seed,
        series=args.series,
        split_by=args.split_by,
        report=args.report,
    )
    print(summary(manifest, args.target))


def _add_train(commands: Subparsers) -> None:
    command = commands.add_parser(
        "train",
        help="train models and write their checkpoints",
        description="Train models for the reference task (motion blur of 9 pixels at 20 degrees, "
        "1 %% noise) with the course's recipes, and write weights/NAME.pth and its record in "
        "weights/manifest.json. A checkpoint is replaced only once its run is finished; Ctrl-C "
        "saves the run's state. `torchrun --nproc_per_node N -m ippy train --batch-size N ...` "
        "shares the work.",
        epilog="Example: python -m ippy train --resume CNN UNet",
    )
    command.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}")
    command.add_argument("--all", action="store_true", help="all seven, in that order")
    command.add_argument(
        "--output", type=Path, default=None, metavar="FOLDER", help="write here, not to weights/"
    )
    started = command.add_mutually_exclusive_group()
    started.add_argument(
        "--resume",
        action="store_true",
        help="go on where training was stopped: pass over the finished models, finish the one that "
        "was stopped, train the rest",
    )
    started.add_argument(
        "--restart",
        action="store_true",
        help="begin anew where training was stopped, and give up the state that it left",
    )
    command.add_argument(
        "--batch-size",
        type=int,
        default=None,
        metavar="N",
        help="slices per step, shared by all processes, for the same number of steps (default: "
        "the recipe's)",
    )
    _add_skip_bad(command)
    command.set_defaults(run=_train, after_stop=_how_to_resume)


def _train(args: argparse.Namespace) -> None:
    engine = accelerator()
    recipes = on_main(engine, partial(_recipes, args))
    on_main(engine, prepare_mayo)
    if args.skip_bad:
        on_main(engine, _report_all_skipped)
    for name, recipe in recipes.items():
        options = {"recipe": recipe, "folder": args.output, "skip_bad": args.skip_bad}
        if args.resume and on_main(engine, partial(is_finished, name, **options)):
            engine.print(f"{LABELS[name]} is finished")
            continue
        engine.print(f"Training {LABELS[name]}")
        train_model(name, **options, resume=args.resume)


def _recipes(args: argparse.Namespace) -> dict[str, Recipe]:
    """Return how to train each model, once it is sure that nothing would be lost by it."""
    names = NAMES if args.all else args.names
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        fault = f"{unknown[0]!r} is not a model" if unknown else "no model was named"
        raise ValueError(f"{fault}; name some of {', '.join(NAMES)}, or use --all")
    for name in names:
        if args.resume or args.restart:
            continue
        step = stopped_after(checkpoint_path(name, args.output))
        if step is not None:
            raise ValueError(
                f"the training of {name} was stopped after step {step}, and its state is kept; "
                "say --resume to go on from there, or --restart to begin anew without it"
            )
    changes = {} if args.batch_size is None else {"batch_size": args.batch_size}
    return {name: replace(RECIPES[name], **changes) for name in names}


def _how_to_resume(args: argparse.Namespace) -> str:
    words = ["--all"] if args.all else list(args.names)
    if args.output is not None:
        words += ["--output", str(args.output)]
    if args.batch_size is not None:
        words += ["--batch-size", str(args.batch_size)]
    if args.skip_bad:
        words.append("--skip-bad")
    return f"; go on with `python -m ippy train --resume {shlex.join(words)}`"


def _add_evaluate(commands: Subparsers) -> None:
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
    _add_skip_bad(command)
    command.set_defaults(run=_evaluate, after_stop=lambda args: "")


def _evaluate(args: argparse.Namespace) -> None:
    folder = args.data or data_dir() / "test"
    images = MayoDataset(folder, cache_bytes=0, skip_bad=args.skip_bad, white=args.white)
    _report_skipped(images)
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
    labels = {name: metric.label for name, metric in METRICS.items()}
    formats = {metric.label: f"{{:.{metric.digits}f}}".format for metric in METRICS.values()}
    slices = [path.relative_to(folder).as_posix() for path in images.paths[: args.first]]
    print(f"Means over {len(slices)} slices of {folder}")
    shown = table.rename(index=LABELS, columns=labels).rename_axis(None)
    print(shown.to_string(formatters=formats))
    entries = {
        name: {
            "sha256": sha256,
            "real": scores_entry(table.loc[name], len(slices)) | {"slices": slices},
        }
        for name, sha256 in files.items()
    }
    if args.record:
        amend(entries)


def _add_skip_bad(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--skip-bad",
        action="store_true",
        help="read every file once before, list those that can't be read, and go on without them",
    )


def _report_all_skipped() -> None:
    for split in ("train", "test"):
        _report_skipped(MayoDataset(data_dir() / split, skip_bad=True))


def _report_skipped(images: MayoDataset) -> None:
    """List the files that were left out, if there are any."""
    if images.skipped:
        left_out = (
            f"Skipped {len(images.skipped)}, which can't be read; {len(images)} slices are left"
        )
        print(f"{left_out}:", file=sys.stderr)
        for fault in images.skipped.values():
            print(f"  {fault}", file=sys.stderr)


if __name__ == "__main__":
    status = main()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    sys.exit(status)
