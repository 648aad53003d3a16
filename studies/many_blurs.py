"""One network for many blurs: what does it gain by being shown the operator, and in which way?"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from ippy.base.paths import weights_dir
from ippy.data import validation_slices
from ippy.models import seeded
from ippy.models.gated import GatedUNet
from ippy.models.unrolled import Unrolled
from ippy.problems import (
    INFORMED_CHANNELS,
    InformedProblem,
    InverseProblem,
    RandomBlurs,
    RandomNoise,
    motion_deblurring,
)
from ippy.quality import evaluate, summarise
from ippy.studies import SITUATIONS, Job, Study
from ippy.train import RECIPES


class Blind(RandomBlurs):
    """The same blurs, of which a network sees the measurement alone."""

    member = InverseProblem

    def network_input(self, y: Tensor) -> Tensor:
        """Return the measurement, (B, 1, H, W)."""
        return self.start(y)


class StartsFromData(InformedProblem):
    """An informed problem whose first channel, the one that is corrected, is the measurement."""

    def network_input(self, y: Tensor) -> Tensor:
        """Return the measurement, the inverses and the noise, (B, 4, H, W)."""
        return measurement_first(super().network_input(y))


class FamilyFromData(RandomBlurs):
    """The family of such problems."""

    member = StartsFromData

    def network_input(self, y: Tensor) -> Tensor:
        """Return the measurement, the inverses and the noise, (B, 4, H, W)."""
        return measurement_first(super().network_input(y))


def measurement_first(shown: Tensor) -> Tensor:
    """Return the same channels in another order."""
    best, smooth, start, noise = shown.split(1, dim=1)
    return torch.cat([start, best, smooth, noise], dim=1)


class LogError(nn.Module):
    """Mean of the logarithm of each image's mean absolute error: as decibels, noise or not."""

    def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Map estimate and truth, (B, 1, H, W), to a number."""
        return ((x_hat - x).abs().mean(dim=(1, 2, 3)) + 1e-6).log().mean()


SHOWN = INFORMED_CHANNELS
GATED = partial(GatedUNet, SHOWN, 1)
UNROLLED = partial(Unrolled, SHOWN, steps=4, base_ch=12)

# Network, family, and the kind of problem that it is scored on.
WAYS: dict[str, tuple[Callable[[], nn.Module], Callable[[], InverseProblem], type]] = {
    "informed": (GATED, RandomBlurs, InformedProblem),
    "unrolled": (UNROLLED, RandomBlurs, InformedProblem),
    "denoiser": (partial(GatedUNet, 2, 1), RandomNoise, InverseProblem),
    "unrolled, one blur": (
        partial(Unrolled, 1, steps=4, base_ch=12),
        motion_deblurring,
        InverseProblem,
    ),
    "blind": (GatedUNet, Blind, InverseProblem),
    "unrolled, blind": (partial(Unrolled, 1, steps=4, base_ch=12), Blind, InverseProblem),
    "measurement corrected": (GATED, FamilyFromData, StartsFromData),
    "logarithm of the error": (GATED, RandomBlurs, InformedProblem),
    "unrolled, one network": (
        partial(Unrolled, SHOWN, steps=4, base_ch=16, shared=True),
        RandomBlurs,
        InformedProblem,
    ),
    "unrolled, three steps": (
        partial(Unrolled, SHOWN, steps=3, base_ch=16),
        RandomBlurs,
        InformedProblem,
    ),
}
SHIPPED = {
    ("informed", 14_000): "InformedUNet",
    ("unrolled", 9_000): "Unrolled",
    ("denoiser", 5_000): "Denoiser",
}


def decibels(kind: type, model: nn.Module) -> dict[str, float]:
    """Return the PSNR in each situation that is a blur, on the validation slices."""
    x, found = validation_slices(), {}
    for name, situation in SITUATIONS.items():
        if situation.picture is None:
            table = evaluate({"model": model}, x, situation.problem(kind), metrics=["psnr"])
            found[name] = round(float(summarise(table).loc["model", "psnr"]), 3)
    return found


def job(way: str, steps: int, seed: int) -> Job:
    """Train a network by the gated U-Net's recipe, but for the number of steps."""
    network, family, kind = WAYS[way]
    shipped = SHIPPED.get((way, steps)) if seed == 0 else None
    return Job(
        partial(seeded, network, seed),
        replace(RECIPES["GatedUNet"], steps=steps, vector_lr=0.2, seed=seed),
        problem=family(),
        loss=LogError if way == "logarithm of the error" else None,
        measure=None if way == "denoiser" else partial(decibels, kind),
        ship_to=None if shipped is None else weights_dir() / "many_blurs" / f"{shipped}.pth",
    )


LONG = [("informed", 14_000), ("unrolled", 9_000), ("denoiser", 5_000)]
EQUAL = [("unrolled, one blur", 3_000)]
SHORT = [(way, 1_500) for way in WAYS if way not in ("denoiser", "unrolled, one blur")]

STUDY = Study(
    question="What does one network for many blurs gain by being shown the operator, and how?",
    decides="That a network which is shown the operator serves blurs that it never met.",
    fixed="Generated bodies, one 128-pixel crop a step, the gated U-Net's recipe, lengths of 5 to "
    "15 pixels, all directions, 0.5 to 5 % noise. Decibels by situation are of the eight "
    "validation slices. At 14,000 steps the informed network takes as long as the unrolled one "
    "at 9,000.",
    rows=tuple({"way": way, "steps": steps, "seed": 0} for way, steps in [*LONG, *SHORT, *EQUAL]),
    job=job,
    minutes=15,
)
