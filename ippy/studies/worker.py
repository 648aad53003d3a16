"""One run of a study in a process of its own: ``python -m ippy.studies.worker NAME ROW RECORD``."""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import Dataset
from torch.utils.flop_counter import FlopCounterMode

from ippy.base.paths import data_dir
from ippy.data import MayoDataset, validation_slices
from ippy.data.generation import read_generated
from ippy.problems import InverseProblem
from ippy.quality import evaluate, summarise
from ippy.quality.features import features_available
from ippy.quality.inference import arguments
from ippy.studies.definition import digest, load, row_key, studies_dir
from ippy.studies.evaluation import Evaluation
from ippy.studies.record import append
from ippy.train import History, fit
from ippy.weights import save_checkpoint

SIDE = 256  # pixels: the size whose operations are counted


def train_row(name: str, key: str, record: Path, *, real: Path | None = None) -> None:
    """Train one run of a study, or go on with it, score it, and enter its row in a record.

    A run that only evaluates is scored alone.

    Its weights go to ``runs/<name>/`` beside the record, which git ignores.

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
    model = job.model()
    cost = {"parameters": sum(p.numel() for p in model.parameters())}
    cost |= operations(model, job.problem)
    begun, cpu = time.perf_counter(), time.process_time()

    def enter(history: History) -> dict[str, Any]:
        sitting = max(time.perf_counter() - begun, 1e-9)
        busy = (time.process_time() - cpu) / sitting  # of this sitting, the last of the run
        row = {
            "factors": factors,
            "digest": digest(name, job, factors),
            "recipe": job.settings,
            **cost,
            "train_slices": len(slices),
            "data": checksum(slices),
            "seconds": history.seconds,
            "cpu_seconds": round(history.seconds * busy, 1),
            "ran_on": history.device,
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "versions": {"python": platform.python_version(), "torch": version("torch")},
            "weights": weights_digest(model),
            "training_loss": history.loss[-1],
            "validation": scores(model, validation_slices(), job.problem),
            "test": scores(model, MayoDataset(data_dir() / "test"), job.problem),
        }
        if job.measure is not None:
            row["measured"] = dict(job.measure(model))
        if real is not None:
            images = MayoDataset(real)
            patients = sorted({path.parent.name for path in images.paths})
            row["real"] = scores(model, images, job.problem) | {
                "slices": len(images),
                "patients": ", ".join(patients),
            }
        append(record, row)
        if job.ship_to is not None and record.parent == studies_dir():  # not when a row is checked
            save_checkpoint(model, job.ship_to, record={"study": name} | row)
        return {}

    fit(
        model,
        slices,
        job.problem,
        job.recipe,
        loss=None if job.loss is None else job.loss(),
        save_to=record.parent / "runs" / name / f"{key}.pth",
        resume=True,
        record=enter,
        progress=False,
    )


def checksum(slices: Dataset[Tensor]) -> str:
    """Return the checksum of slices that know theirs, or else of the course's generated ones."""
    return getattr(slices, "sha256", read_generated(data_dir()).get("sha256", "not generated"))


def operations(model: nn.Module, problem: InverseProblem) -> dict[str, float]:
    """Count the GFLOP of one slice, forward, and forward with backward.

    It has 256x256 pixels, where the operator takes such.
    """
    counted = {}
    y = problem.measure(torch.rand(1, 1, *(problem.operator.in_shape or (SIDE, SIDE))))
    given = arguments(model, problem.network_input(y), y, problem.known_operator)
    for label, backward in (("gflop_forward", False), ("gflop_step", True)):
        # Operations that fuse attention are not counted on every device; the plain ones are.
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            output = model(*given)
            if backward:
                output.sum().backward()
        counted[label] = round(counter.get_total_flops() / 1e9, 3)
    model.zero_grad()
    return counted


def scores(
    model: nn.Module, images: Tensor | Dataset[Tensor], problem: InverseProblem
) -> dict[str, float]:
    """Return the mean scores of a model by the published protocol."""
    metrics = ["mse", "psnr", "ssim", *(["lpips"] if features_available() else [])]
    table = summarise(evaluate({"model": model}, images, problem, metrics=metrics))
    return {metric: round(value, 6) for metric, value in table.loc["model"].items()}


def weights_digest(model: nn.Module) -> str:
    """Return a digest of all weights, bit for bit."""
    total = hashlib.sha256()
    for key, value in model.state_dict().items():
        total.update(key.encode())
        total.update(value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:16]


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m ippy.studies.worker", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("row")
    parser.add_argument("record", type=Path)
    parser.add_argument("--real", type=Path, default=None)
    arguments = parser.parse_args()
    try:
        train_row(arguments.name, arguments.row, arguments.record, real=arguments.real)
    except KeyboardInterrupt:
        return 130  # the state of the run is saved
    return 0


if __name__ == "__main__":
    sys.exit(main())
