"""How do the shipped networks, and methods that know the operator, fare where it is another?"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from ippy.base.paths import weights_dir
from ippy.models.gated import GatedUNet
from ippy.models.unrolled import DataConsistent, Unrolled
from ippy.problems import (
    INFORMED_CHANNELS,
    InformedProblem,
    InverseProblem,
    PlugAndPlay,
    Tikhonov,
    TotalVariation,
)
from ippy.problems.classical import TIKHONOV_WEIGHTS, TV_WEIGHTS
from ippy.studies import MISTAKES, SITUATIONS, Evaluation, Situation, Study, grid
from ippy.train import RECIPES
from ippy.weights import load_checkpoint

# Power of the noise with which the weights of the classical methods grow: of 1, 1.4 and 1.8 the
# best for both at 5 % noise, on a slice of the training set.
GROWTH = 1.4


@dataclass(frozen=True)
class Method:
    """How a method is made for a problem, and what it is shown.

    Attributes:
        make: Returns it for a problem and its own checkpoint.
        checkpoint: File of the checkpoint below ``weights/``; None if it has none.
        kind: Problems that show a network what it needs.
    """

    make: Callable[[InverseProblem, Path], nn.Module]
    checkpoint: str | None = None
    kind: type[InverseProblem] = InverseProblem


def believed(problem: InverseProblem) -> InverseProblem:
    """Return the problem that a method believes in."""
    return getattr(problem, "believed", problem)


def weight(weights: dict, problem: InverseProblem) -> float:
    """Return a classical method's weight for the noise that it believes in."""
    operator, level = believed(problem).operator, believed(problem).noise_level
    return weights[type(operator)] * (level / 0.01) ** GROWTH


def tikhonov(problem: InverseProblem, _: Path) -> nn.Module:
    """Return Tikhonov's method."""
    return Tikhonov(believed(problem).operator, weight(TIKHONOV_WEIGHTS, problem))


def total_variation(problem: InverseProblem, _: Path) -> nn.Module:
    """Return total variation."""
    return TotalVariation(believed(problem).operator, weight(TV_WEIGHTS, problem))


def plug_and_play(problem: InverseProblem, path: Path) -> nn.Module:
    """Return the denoiser in half-quadratic splitting."""
    denoiser = load_checkpoint(GatedUNet(2, 1), path)
    return PlugAndPlay(believed(problem).operator, believed(problem).noise_level, denoiser)


def shipped(name: str, _: InverseProblem, path: Path) -> nn.Module:
    """Return a network that gets the measurement alone."""
    return load_checkpoint(name, path)


def followed(name: str, _: InverseProblem, path: Path) -> nn.Module:
    """Return a network and a step towards the data."""
    return DataConsistent(load_checkpoint(name, path))


def informed(make: Callable[[], nn.Module], _: InverseProblem, path: Path) -> nn.Module:
    """Return a network that is shown the operator."""
    return load_checkpoint(make(), path)


SHOWN = INFORMED_CHANNELS
KNOWING = {
    "Tikhonov": Method(tikhonov),
    "Total variation": Method(total_variation),
    "UNet, a data step": Method(partial(followed, "UNet"), "UNet.pth"),
    "Gated UNet, a data step": Method(partial(followed, "GatedUNet"), "GatedUNet.pth"),
    "Plug and play": Method(plug_and_play, "many_blurs/Denoiser.pth"),
    "Informed UNet": Method(
        partial(informed, partial(GatedUNet, SHOWN, 1)),
        "many_blurs/InformedUNet.pth",
        InformedProblem,
    ),
    "Unrolled": Method(
        partial(informed, partial(Unrolled, SHOWN, steps=4, base_ch=12)),
        "many_blurs/Unrolled.pth",
        InformedProblem,
    ),
}
METHODS = {name: Method(partial(shipped, name), f"{name}.pth") for name in RECIPES} | KNOWING


def job(method: str, situation: str) -> Evaluation:
    """Score a method in a situation."""
    chosen, where = METHODS[method], (SITUATIONS | MISTAKES)[situation]
    problem = where.problem(chosen.kind)
    path = None if chosen.checkpoint is None else weights_dir() / chosen.checkpoint
    return Evaluation(
        partial(chosen.make, problem, path),
        problem,
        weights=path,
        images=None if where.picture is None else partial(Situation.images, where),
    )


STUDY = Study(
    question="How do networks, and methods that know the operator, fare where it is another?",
    decides="What a network loses where it was not trained, and what the operator gives back.",
    fixed="The shipped weights, the published protocol: test slices, real ones with --real, and "
    "two pictures that are no slices. Nothing is trained. The weights of the classical methods "
    "grow with the noise.",
    rows=grid(method=list(METHODS), situation=list(SITUATIONS))
    + grid(method=list(KNOWING), situation=list(MISTAKES)),
    job=job,
    minutes=0.6,
)
