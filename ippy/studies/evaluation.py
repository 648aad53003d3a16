"""Runs that train nothing: a method, or a shipped checkpoint, scored in one situation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ippy.base.device import get_device
from ippy.base.paths import data_dir
from ippy.data import MayoDataset
from ippy.problems import InverseProblem
from ippy.quality import evaluate, summarise
from ippy.studies.protocol import checksum, surroundings
from ippy.train.run import Clock

Images = Tensor | Dataset[Tensor]
"""Slices (N, 1, H, W), or a data set of (1, H, W), in [0, 1]."""


def data_scores(model: nn.Module, images: Images, problem: InverseProblem) -> dict[str, float]:
    """Return a model's mean PSNR, SSIM and data residual by the published protocol."""
    table = summarise(
        evaluate({"model": model}, images, problem, metrics=["psnr", "ssim", "residual"])
    )
    return table.loc["model"].to_dict()


@dataclass(frozen=True)
class Evaluation:
    """What one run scores, where nothing is trained.

    Attributes:
        model: Returns what is scored.
        problem: What it has to undo.
        weights: The checkpoint that the model holds; None for a method that learns nothing. A row
            keeps its sha256, and is stale once the file is another.
        images: Returns the images (N, 1, H, W) to score it on; the test slices, and real ones
            where there are some, if None.
        side: Of the slices, in pixels.
        score: Gives the scores, name -> number, of a model, images and a problem.
    """

    model: Callable[[], nn.Module]
    problem: InverseProblem
    weights: Path | None = None
    images: Callable[[], Tensor] | None = None
    side: int = 256
    score: Callable[[nn.Module, Images, InverseProblem], Mapping[str, float]] = data_scores

    @property
    def checkpoint(self) -> str:
        """The sha256 of the checkpoint as it is now; ``"none"`` if there is none."""
        if self.weights is None or not self.weights.is_file():
            return "none"
        return _sha256(self.weights, self.weights.stat().st_mtime_ns)

    def is_as_recorded(self, row: Mapping[str, Any]) -> bool:
        """Say whether a recorded row scored this checkpoint."""
        return row.get("checkpoint") == self.checkpoint

    def run(self, real: Path | None) -> dict[str, Any]:
        """Score the model, and return what a row records of it.

        Args:
            real: A folder ``<patient>/*.png`` of real slices to score it on too.

        Raises:
            FileNotFoundError: The checkpoint is not there.
        """
        clock = Clock()
        model = self.model().eval()
        result = {
            "checkpoint": self.checkpoint,
            "parameters": sum(p.numel() for p in model.parameters()),
            "data": "own images",
        }
        if self.images is not None:
            result["test"] = self._scores(model, self.images())
        else:
            test = MayoDataset(data_dir() / "test", self.side)
            result["data"] = checksum(test)
            result["test"] = self._scores(model, test)
            if real is not None:
                slices = MayoDataset(real, self.side)
                result["real"] = self._scores(model, slices) | {"slices": len(slices)}
        return result | {
            **clock.read(),
            "ran_on": f"{get_device().type}, threads: {torch.get_num_threads()}",
            **surroundings(),
        }

    def _scores(self, model: nn.Module, images: Images) -> dict[str, float]:
        scores = self.score(model, images, self.problem)
        return {name: round(float(value), 6) for name, value in scores.items()}


@cache
def _sha256(path: Path, changed: int) -> str:
    """Return the checksum of a file; ``changed``, its time, makes it be read again."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
