"""The exercise on the training step, as long as its classic mistakes are many."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from ippy.exercises.calling import call
from ippy.exercises.core import Exercise, Wrong
from ippy.exercises.judging import as_number, compare, fresh


def lopsided(x_hat: Tensor, x: Tensor) -> Tensor:
    """A loss that is not symmetric, so that exchanged arguments show."""
    return ((x_hat - x) * (1 + x)).square().mean()


def stepped(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    lr: float,
    old: float = 0.0,
    times: int = 1,
    seen: Tensor | None = None,
    exchanged: bool = False,
) -> Tensor:
    """Return a copy's parameters after steps of plain gradient descent, right or wrong."""
    model = copy.deepcopy(model)
    model.zero_grad()
    for _ in range(times):
        x_hat = model(y if seen is None else seen)
        loss = lopsided(x, x_hat) if exchanged else lopsided(x_hat, x)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter -= lr * (gradient + old)
    return parameters_to_vector(model.parameters()).detach()


def judge_training_step(answer: Callable[..., Any]) -> None:
    """One step on a batch; the model is changed in place, the loss before the step returned."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))
    for parameter in model.parameters():
        parameter.data = 0.6 * fresh(*parameter.shape) - 0.2
        parameter.grad = torch.ones_like(parameter)  # left over from somewhere
    model.eval()
    x, y = fresh(3, 1, 8, 8), fresh(3, 1, 8, 8)
    start, lr = copy.deepcopy(model), 0.1
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    modes: list[bool] = []  # whether each forward pass was in training mode
    model.register_forward_hook(lambda module, *_: modes.append(module.training))
    loss = call(answer, model=model, optimizer=optimizer, loss=lopsided, x=x, y=y)

    now = parameters_to_vector(model.parameters()).detach()
    compare(
        now,
        stepped(start, x, y, lr=lr),
        mistakes={
            "The parameters have not moved: nobody told the optimiser to step.": (
                parameters_to_vector(start.parameters())
            ),
            "Old gradients are added to the new ones: `backward()` adds to what is there. They "
            "must be cleared before it.": stepped(start, x, y, lr=lr, old=1.0),
            "The step uses only old gradients: either they were cleared after `backward()`, or "
            "the step comes before it.": parameters_to_vector(start.parameters()) - lr,
            "The network is shown the truth. It must see the measurement.": (
                stepped(start, x, y, lr=lr, seen=x)
            ),
            "The arguments of the loss are exchanged: it is called with the estimate first.": (
                stepped(start, x, y, lr=lr, exchanged=True)
            ),
            "The network is fed the truth and compared with the measurement.": (
                stepped(start, y, x, lr=lr)
            ),
            "The parameters go uphill: the loss grows.": stepped(start, x, y, lr=-lr),
            "The parameters are moved twice.": stepped(start, x, y, lr=lr, times=2),
        },
        otherwise="The parameters move, but not by one step against the gradient of this loss.",
    )
    if not (model.training and all(modes)):
        raise Wrong(
            "The step is right, but the model ran in evaluation mode, where dropout and batch "
            "normalisation do not train. A training step switches it to training mode first."
        )
    if isinstance(loss, Tensor) and loss.requires_grad:
        raise Wrong(
            "The step is right, but what you return still holds its graph: collect these losses "
            "over an epoch, and the memory of every step is kept. Return a Python number."
        )
    if isinstance(loss, Tensor):
        raise Wrong("The step is right, but what you return is a tensor. Return a Python number.")
    right, after = lopsided(start(y), x), lopsided(model(y), x)
    compare(
        torch.tensor(as_number(loss)),
        right.detach(),
        mistakes={"This is the loss after the step; expected the one before it.": after.detach()},
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
