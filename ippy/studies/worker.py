"""One run of a study in a process of its own: ``python -m ippy.studies.worker NAME ROW RECORD``."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ippy.base.files import locked
from ippy.base.paths import data_dir, studies_dir
from ippy.data import MayoDataset, validation_slices
from ippy.problems import InverseProblem
from ippy.quality import available_metrics, evaluate, summarise
from ippy.quality.cost import gflop
from ippy.quality.inference import arguments
from ippy.studies.definition import Job, digest, is_stale, load, row_key
from ippy.studies.evaluation import Evaluation, Images
from ippy.studies.protocol import checksum, surroundings
from ippy.studies.record import append, rows_so_far
from ippy.train import Diverged, History, fit
from ippy.train.distributed import accelerator, runs_on
from ippy.train.recipe import settings
from ippy.train.resume import run_path
from ippy.train.run import Clock
from ippy.weights import load_checkpoint, read_manifest, save_checkpoint

SIDE = 256  # pixels: the size whose operations are counted


def train_row(name: str, key: str, record: Path, *, real: Path | None = None) -> None:
    """Train one run of a study, or go on with it, score it, and enter its row in a record.

    A run that only evaluates is scored alone. One that diverges has no scores; its row says when it
    did, for that is an answer too.

    Its weights go to ``runs/<name>/<digest>/`` beside the record, which git ignores: a run whose
    definition, recipe or data have changed begins anew. One process at a time trains a run; another
    that is asked for it leaves it alone.

    Args:
        name: The study.
        key: The run, as :func:`~ippy.studies.definition.row_key` names it.
        record: The file to enter the row in.
        real: A folder ``<patient>/*.png`` of real slices to score it on too.

    Raises:
        ValueError: There is no such study or run.
    """
    study = load(name)
    factors = next((row for row in study.rows if row_key(row) == key), None)
    if factors is None:
        raise ValueError(f"the study {name!r} has no run {key!r}")
    job = study.job(**factors)
    if isinstance(job, Evaluation):
        made = {"factors": factors, "digest": digest(name, job, factors)}
        append(record, made | job.run(real))
        return
    everything = MayoDataset(data_dir() / "train")
    slices = everything if job.slices is None else job.slices(everything)
    mark = {"digest": digest(name, job, factors), "data": checksum(slices)}
    whole = json.dumps([mark, job.settings])
    folder = hashlib.sha256(whole.encode()).hexdigest()[:16]
    target = record.parent / "runs" / name / folder / f"{key}.pth"
    with ExitStack() as held:
        try:
            lock = locked(target.parent.with_name(f".{folder}.lock"), target, wait=0)
            held.enter_context(lock)
        except TimeoutError:
            print(f"{key} is being run by another process", file=sys.stderr)
            return
        _train(name, factors, job, slices, mark, target, record, real)


def _train(
    name: str,
    factors: dict[str, Any],
    job: Job,
    slices: Dataset[Tensor],
    mark: dict[str, str],
    target: Path,
    record: Path,
    real: Path | None,
) -> None:
    """Train one run and enter its row, unless another process has meanwhile."""
    recorded = rows_so_far(record).get(row_key(factors))
    if recorded is not None and not is_stale(recorded, name, job):
        return
    model = job.model()
    made = {
        "factors": factors,
        "recipe": job.settings,
        "parameters": sum(p.numel() for p in model.parameters()),
        **operations(model, job.problem),
        "train_slices": len(slices),
        **mark,
        "ran_on": runs_on(accelerator()),
        **surroundings(),
    }
    clock = Clock()

    def enter(history: History) -> dict[str, Any]:
        row = {
            **made,
            "seconds": round(seconds + history.seconds, 1),
            "cpu_seconds": round(cpu_seconds + history.cpu_seconds, 1),
            "weights": weights_digest(model),
            "training_loss": history.loss[-1],
            **all_scores(model, job, real),
        }
        if job.ship_to is not None and record.parent == studies_dir():  # not when a row is checked
            # The digest is of the study's file: the weights stay what they are when that is edited.
            lasting = {entry: value for entry, value in row.items() if entry != "digest"}
            save_checkpoint(model, job.ship_to, record={"study": name} | lasting)
        append(record, row)  # last: a row that is there is never run again
        return {}

    try:
        seconds, cpu_seconds = train_parts(model, job, slices, target, mark)
        fit(
            model,
            slices,
            job.problem,
            job.recipe,
            loss=None if job.loss is None else job.loss(),
            save_to=target,
            resume=True,
            record=enter,
            progress=False,
        )
    except Diverged as error:
        # The time of this sitting: what came before went with the state.
        append(record, made | clock.read() | {"diverged": error.event})
        for path in (target, *(phase_path(target, k) for k, _ in enumerate(job.phases, 1))):
            run_path(path).unlink(missing_ok=True)


def train_parts(
    model: nn.Module, job: Job, slices: Dataset[Tensor], target: Path, mark: dict[str, str]
) -> tuple[float, float]:
    """Train the parts of a model that learn before the whole; those that have are read.

    Args:
        model: The model, whose parts are trained in place.
        job: Says which, and how.
        slices: What they are trained on.
        target: The checkpoint of the whole; those of the parts go beside it.
        mark: What a part's checkpoint has to bear to be one of this run.

    Returns:
        The seconds that it took, in all sittings, by the clock and of the processor.
    """
    seconds = cpu_seconds = 0.0
    for number, phase in enumerate(job.phases, 1):
        path = phase_path(target, number)
        part = phase.part(model)
        loss = None if job.loss is None else job.loss()
        made = mark | {"recipe": settings(phase.recipe, loss)}
        entry = read_manifest(path.parent).get(path.stem, {})
        if {name: entry.get(name) for name in made} == made:
            load_checkpoint(part, path)
            seconds += entry["history"]["seconds"]
            cpu_seconds += entry["history"]["cpu_seconds"]
            continue
        history = fit(
            part,
            slices,
            job.problem,
            phase.recipe,
            loss=loss,
            save_to=path,
            resume=True,
            record=lambda _: mark,
            progress=False,
        )
        seconds += history.seconds
        cpu_seconds += history.cpu_seconds
    return seconds, cpu_seconds


def phase_path(target: Path, number: int) -> Path:
    """Return where the weights of a part go that learns before the whole."""
    return target.with_name(f"{target.stem}.phase{number}.pth")


def all_scores(model: nn.Module, job: Job, real: Path | None) -> dict[str, Any]:
    """Return what a row says of a trained model: its scores, and what its job measures.

    Real slices are brought to the size of the test slices.
    """

    def of(images: Images) -> dict[str, Any]:
        return scores(model, images, job.problem)

    def of_own(slices: Callable[[], Images]) -> dict[str, Any]:
        images = slices()
        return of(images) | {"slices": len(images), "data": checksum(images)}

    test = MayoDataset(data_dir() / "test")
    found = {
        "validation": of_own(job.validation) if job.validation else of(validation_slices()),
        "test": of_own(job.test) if job.test else of(test),
    }
    for name, slices in job.further_tests.items():
        found[f"test on {name}"] = of_own(slices)
    if job.measure is not None:
        found["measured"] = dict(job.measure(model))
    if real is not None:
        side = (job.test() if job.test else test)[0].shape[-1]
        images = MayoDataset(real, side)
        patients = sorted({path.parent.name for path in images.paths})
        found["real"] = of(images) | {"slices": len(images), "patients": ", ".join(patients)}
    return found


def operations(model: nn.Module, problem: InverseProblem) -> dict[str, float]:
    """Count the GFLOP of one slice, forward, and forward with backward.

    It has 256x256 pixels, where the operator takes such. Of a network for images of another size
    alone nothing is counted.
    """
    y = problem.measure(torch.zeros(1, 1, *(problem.operator.in_shape or (SIDE, SIDE))))
    given = arguments(model, problem.network_input(y), y, problem.known_operator)
    try:
        counted = {
            "gflop_forward": round(gflop(model, *given), 3),
            "gflop_step": round(gflop(model, *given, backward=True), 3),
        }
    except RuntimeError:  # of shapes; a network that fails on all images fails in training, too
        return {}
    model.zero_grad()
    return counted


def scores(model: nn.Module, images: Images, problem: InverseProblem) -> dict[str, float]:
    """Return the mean scores of a model by the published protocol."""
    table = evaluate({"model": model}, images, problem, metrics=available_metrics())
    return {name: round(value, 6) for name, value in summarise(table).loc["model"].items()}


def weights_digest(model: nn.Module) -> str:
    """Return a digest of all weights, bit for bit."""
    total = hashlib.sha256()
    for key, value in model.state_dict().items():
        total.update(key.encode())
        total.update(value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:16]


def stop_at_end_of_input() -> None:
    """Act as on Ctrl-C once standard input has ended: the study was stopped, or has died.

    It is Ctrl-C and not SIGTERM, as a scheduler may have sent that to all processes: ``fit`` holds
    back only the first signal of each kind, to save the state of the run.
    """
    while os.read(sys.stdin.fileno(), 1024):
        pass
    signal.raise_signal(signal.SIGINT)


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m ippy.studies.worker", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("row")
    parser.add_argument("record", type=Path)
    parser.add_argument("--real", type=Path, default=None)
    parser.add_argument(
        "--with-parent", action="store_true", help="stop when standard input, a pipe, has ended"
    )
    arguments = parser.parse_args()
    if arguments.with_parent:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process ignores it
        threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    try:
        train_row(arguments.name, arguments.row, arguments.record, real=arguments.real)
    except KeyboardInterrupt:
        return 130  # the state of the run is saved
    return 0


if __name__ == "__main__":
    sys.exit(main())
