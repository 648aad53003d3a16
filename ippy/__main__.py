"""The command line: ``python -m ippy {prepare,import-dicom,train,evaluate,export,study}``."""

from __future__ import annotations

import argparse
import os
import sys

import torch

from ippy.commands import evaluate, export, prepare, scans, study, train
from ippy.train import Stopped


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="python -m ippy",
        description="Prepare the course's data, train its models, compare them. "
        "Everything runs on the best device there is: CUDA, MPS or CPU.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for command in (prepare, scans, train, evaluate, export, study):
        command.add(commands)
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


if __name__ == "__main__":
    status = main()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    sys.exit(status)
