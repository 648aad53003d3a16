"""``python -m ippy train``: train the course's models."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path

from ippy.base.paths import data_dir
from ippy.commands.parsing import Subparsers, add_skip_bad, add_task, add_white, report_skipped
from ippy.data import MayoDataset, prepare_mayo
from ippy.models import LABELS
from ippy.problems.tasks import REFERENCE, make_task
from ippy.train import RECIPES, Recipe
from ippy.train.course import checkpoint_path, is_finished, recipe_for, train_model
from ippy.train.distributed import accelerator, on_main
from ippy.train.resume import stopped_after


def add(commands: Subparsers) -> None:
    """Add the command's parser; its handler is below."""
    command = commands.add_parser(
        "train",
        help="train models and write their checkpoints",
        description="Train models for a task, by default the motion blur of 9 pixels at 20 degrees "
        "with 1 % noise, with the course's recipes, and write weights/NAME.pth and its record in "
        "weights/manifest.json; those of other tasks go to weights/TASK. A checkpoint is replaced "
        "only once its run is finished; Ctrl-C saves the run's state. `torchrun --nproc_per_node N "
        "-m ippy train --batch-size N ...` shares the work.",
        epilog="Example: python -m ippy train --resume CNN UNet",
    )
    command.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(RECIPES)}")
    command.add_argument("--all", action="store_true", help="all of them, in that order")
    add_task(command)
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
    add_white(command)
    add_skip_bad(command)
    command.set_defaults(run=_train, after_stop=_how_to_resume)


def _train(args: argparse.Namespace) -> None:
    engine = accelerator()
    recipes = on_main(engine, partial(_recipes, args))
    on_main(engine, prepare_mayo)
    if args.skip_bad:
        on_main(engine, partial(_report_all_skipped, args.white))
    for name, recipe in recipes.items():
        options = {
            "task": args.task,
            "recipe": recipe,
            "folder": args.output,
            "skip_bad": args.skip_bad,
            "white": args.white,
        }
        if args.resume and on_main(engine, partial(is_finished, name, **options)):
            engine.print(f"{LABELS[name]} is finished")
            continue
        engine.print(f"Training {LABELS[name]}")
        train_model(name, **options, resume=args.resume)


def _recipes(args: argparse.Namespace) -> dict[str, Recipe]:
    """Return how to train each model, once it is sure that nothing would be lost by it."""
    if args.all and args.names:
        raise ValueError(f"--all trains every model; leave {args.names[0]!r} out, or --all")
    names = tuple(RECIPES) if args.all else args.names
    unknown = [name for name in names if name not in RECIPES]
    if unknown or not names:
        fault = f"{unknown[0]!r} is not a model" if unknown else "no model was named"
        raise ValueError(f"{fault}; name some of {', '.join(RECIPES)}, or use --all")
    for name in names:
        if args.resume or args.restart:
            continue
        step = stopped_after(checkpoint_path(name, args.output, task=args.task))
        if step is not None:
            raise ValueError(
                f"the training of {name} was stopped after step {step}, and its state is kept; "
                "say --resume to go on from there, or --restart to begin anew without it"
            )
    changes = {} if args.batch_size is None else {"batch_size": args.batch_size}
    problem = make_task(args.task)
    return {name: replace(recipe_for(name, problem), **changes) for name in names}


def _how_to_resume(args: argparse.Namespace) -> str:
    words = ["--all"] if args.all else list(args.names)
    if args.task != REFERENCE:
        words += ["--task", args.task]
    if args.output is not None:
        words += ["--output", str(args.output)]
    if args.batch_size is not None:
        words += ["--batch-size", str(args.batch_size)]
    if args.white is not None:
        words += ["--white", str(args.white)]
    if args.skip_bad:
        words.append("--skip-bad")
    return f"; go on with `python -m ippy train --resume {shlex.join(words)}`"


def _report_all_skipped(white: int | None) -> None:
    for split in ("train", "test"):
        report_skipped(MayoDataset(data_dir() / split, skip_bad=True, white=white))
