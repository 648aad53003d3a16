"""The exercise on the training step, as long as its classic mistakes are many."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from ippy.exercises.calling import call
from ippy.exercises.core import Exercise, Wrong
from ippy.exercises.diagnosis import Trial, cause, same, shown
from ippy.exercises.inputs import fresh
from ippy.exercises.reading import as_returned_number

TOLERANCE = 1e-4


def lopsided(x_hat: Tensor, x: Tensor) -> Tensor:
    """A loss that is not symmetric, so that exchanged arguments show."""
    return 4 * ((x_hat - x) * (1 + x)).square().mean()


class Watched(nn.Module):
    """A network that notes whether all of it was in training mode, at each forward pass."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.modes: list[bool] = []

    def forward(self, y: Tensor) -> Tensor:
        """Map measurements (B, 1, H, W) to estimates."""
        self.modes.append(all(layer.training for layer in self.modules()))
        return self.layers(y)


@dataclass(frozen=True, eq=False, kw_only=True)
class Attempt(Trial):
    """What a training step did to a network.

    Attributes:
        loss: What it returned.
        modes: Whether each forward pass was in training mode.
        events: Each ``"backward"`` and ``"step"``, and ``"step without gradients"``.
        after: The loss after the step.
        before: The loss before it.
    """

    loss: Any
    modes: list[bool]
    events: list[str]
    before: float
    after: float


def attempt(answer: Callable[..., Any], model: Watched, x: Tensor, y: Tensor, lr: float) -> Attempt:
    """Let a reader's function train a network once, which is in evaluation mode before."""
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)  # left over from somewhere
    start = copy.deepcopy(model.eval())
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    weight = next(model.parameters())
    events: list[str] = []

    def stepped_now(*_: Any) -> None:
        empty = weight.grad is None or not weight.grad.any()
        events.append("step without gradients" if empty else "step")

    weight.register_post_accumulate_grad_hook(lambda _: events.append("backward"))
    optimizer.register_step_post_hook(stepped_now)
    try:
        loss = call(answer, model=model, optimizer=optimizer, loss=lopsided, x=x, y=y)
    except Wrong as error:
        if "step" in events and "backward" not in events:
            raise Wrong(f"{error} The optimiser had stepped before `backward()`.") from None
        raise
    inputs = {"model": start, "x": x, "y": y, "lr": lr}
    with torch.no_grad():
        return Attempt(
            inputs=inputs,
            result=parameters_to_vector(model.parameters()).detach(),
            right=(stepped(**inputs),),
            tolerance=TOLERANCE,
            loss=loss,
            modes=model.modes,
            events=events,
            before=lopsided(start(y), x).item(),
            after=lopsided(copy.deepcopy(model)(y), x).item(),
        )


def stepped(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    lr: float,
    *,
    old: float = 0.0,
    times: int = 1,
    exchanged: bool = False,
    clipped: bool = False,
) -> Tensor:
    """Return a copy's parameters after steps of plain gradient descent, right or wrong."""
    model = copy.deepcopy(model)
    for _ in range(times):
        with torch.enable_grad():
            x_hat = model(y)
            loss = lopsided(x, x_hat) if exchanged else lopsided(x_hat, x)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        norm = torch.cat([g.flatten() for g in gradients]).norm() if clipped else torch.tensor(1.0)
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter -= lr * (gradient / norm + old)
    return parameters_to_vector(model.parameters()).detach()


def weights(model: nn.Module, **_: Any) -> Tensor:
    """Return the parameters as they were."""
    return parameters_to_vector(model.parameters()).detach()


def not_by_this_gradient(trials: Sequence[Attempt]) -> str:
    """Tell from the order of the calls why the new gradients moved nothing."""
    unmoved = all(same(t.result, weights(**t.inputs), TOLERANCE) for t in trials)
    by_old = all(same(t.result, weights(**t.inputs) - t.inputs["lr"], TOLERANCE) for t in trials)
    if not unmoved and not by_old:
        return ""
    moved = "The parameters have not moved" if unmoved else "The step uses only old gradients"
    events = trials[0].events
    steps = [i for i, event in enumerate(events) if event.startswith("step")]
    if not steps:
        return f"{moved}: nobody told the optimiser to step."
    if "backward" not in events:
        return f"{moved}: `backward()`, which computes the new ones, was not called."
    if steps[-1] < events.index("backward"):
        return f"{moved}: the step comes before `backward()`, which computes the gradients."
    if unmoved and events[steps[-1]] == "step without gradients":
        return f"{moved}: the gradients were cleared after `backward()`, before the step."
    return f"{moved}, though `backward()` and the step were called in this order."


MISTAKES: dict[str, Callable[..., Tensor]] = {
    "Old gradients are added to the new ones: `backward()` adds to what is there. They must be "
    "cleared before it.": lambda **inputs: stepped(**inputs, old=1.0),
    "The network is shown the truth. It must see the measurement.": (
        lambda model, x, y, lr: stepped(model, x, x, lr)
    ),
    "The arguments of the loss are exchanged: it is called with the estimate first.": (
        lambda **inputs: stepped(**inputs, exchanged=True)
    ),
    "The network is fed the truth and compared with the measurement.": (
        lambda model, x, y, lr: stepped(model, y, x, lr)
    ),
    "The parameters go uphill: the loss grows.": (
        lambda model, x, y, lr: stepped(model, x, y, -lr)
    ),
    "The output is compared with its own input, the measurement; expected the truth.": (
        lambda model, x, y, lr: stepped(model, y, y, lr)
    ),
    "The loss is divided by the number of images; it is a mean already.": (
        lambda model, x, y, lr: stepped(model, x, y, lr / len(x))
    ),
    "The losses of the images are added up; the loss of the batch is their mean.": (
        lambda model, x, y, lr: stepped(model, x, y, lr * len(x))
    ),
    "Only the first image of the batch trains the network.": (
        lambda model, x, y, lr: stepped(model, x[:1], y[:1], lr)
    ),
    "The parameters are moved twice, or by the gradient of two `backward()`s.": (
        lambda **inputs: stepped(**inputs, times=2),
        lambda model, x, y, lr: stepped(model, x, y, 2 * lr),
    ),
    "The gradient is clipped to a norm of 1; the question asks for a plain step.": (
        lambda **inputs: stepped(**inputs, clipped=True)
    ),
}


def judge_training_step(answer: Callable[..., Any]) -> None:
    """One step on a batch; the model is changed in place, the loss before the step returned."""
    network = Watched(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))
    for parameter in network.parameters():
        parameter.data = 0.6 * fresh(*parameter.shape) - 0.2
    one_weight = Watched(nn.Conv2d(1, 1, 1, bias=False))
    nn.init.constant_(one_weight.layers[0].weight, 2.0)
    x, y = torch.full((1, 1, 1, 1), 0.5), torch.ones(1, 1, 1, 1)
    trials = [
        attempt(answer, network, fresh(3, 1, 8, 8), fresh(3, 1, 8, 8), lr=0.1),
        attempt(answer, one_weight, x, y, lr=0.01),
    ]
    if not all(trial.passes for trial in trials):
        _, small = trials
        raise Wrong(
            cause(trials, MISTAKES, (not_by_this_gradient,))
            or (
                small.passes
                and "For one image of one pixel the step is right, for a batch of three it is not."
            )
            or "The parameters move, but not by one step against the gradient of this loss. For a "
            "network with one weight, 2, a measurement of one pixel, 1, whose truth is 0.5, the "
            "loss mean(4·((x_hat − x)·(1 + x))²) and the learning rate 0.01, the weight becomes "
            f"{shown(small.result[0])}; expected {shown(small.right[0][0])}."
        )
    for trial in trials:
        check_mode_and_loss(trial)


def check_mode_and_loss(trial: Attempt) -> None:
    """Check what a right step leaves to be checked.

    Raises:
        Wrong: The network ran in evaluation mode, or what came back is not the loss as a number.
    """
    if not all(trial.modes):
        raise Wrong(
            "The step is right, but the model ran in evaluation mode, where dropout and batch "
            "normalisation do not train. A training step switches it to training mode first."
        )
    if isinstance(trial.loss, Tensor) and trial.loss.requires_grad:
        raise Wrong(
            "The step is right, but what you return still holds its graph: collect these losses "
            "over an epoch, and the memory of every step is kept. Return a Python number."
        )
    if isinstance(trial.loss, Tensor):
        raise Wrong("The step is right, but what you return is a tensor. Return a Python number.")
    loss = as_returned_number(trial.loss)
    if abs(loss - trial.before) <= TOLERANCE * trial.before:
        return
    if abs(loss - trial.after) <= TOLERANCE * trial.after:
        raise Wrong("This is the loss after the step; expected the one before it.")
    raise Wrong(
        f"The step is right, but the number is {loss:.4g}; expected the loss before the step, "
        f"{trial.before:.4g}."
    )


EXERCISES = (
    Exercise(
        name="training-step",
        kind="code",
        hints=(
            "Five things happen: old gradients go, the network estimates, the loss compares, "
            "gradients come, the parameters move.",
            "Which image would the network have in a hospital, and which one is only there in "
            "training? And the order of arguments is (x_hat, x).",
            "Before all that the model goes to training mode; after it, `.item()` turns the loss "
            "into a number without a graph.",
        ),
        why="Every training loop of the course is this step, repeated. None of its classic "
        "mistakes raises an error; a network just learns worse, and nobody knows why.",
        judge=judge_training_step,
    ),
)
