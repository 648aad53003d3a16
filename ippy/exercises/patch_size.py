"""The exercise on another patch size: which weights of a trained ViT can be kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ippy.exercises.calling import call
from ippy.exercises.core import Exercise, Wrong
from ippy.exercises.diagnosis import same, shown
from ippy.exercises.inputs import fresh, fresh_integer
from ippy.exercises.positions import antialiased, resize_positions
from ippy.exercises.reading import type_name
from ippy.models import build
from ippy.models.vit import ViTReconstructor

TOLERANCE = 1e-4
SPREAD = 0.1  # of the numbers in a kernel, relative to those in one that is newly initialised

Weights = dict[str, Tensor]


def judge_patch_size(answer: Callable[[ViTReconstructor, int], nn.Module]) -> None:
    """A trained ViT (P = 8) -> a new one for P = 16 or 32 that keeps what does not depend on P."""
    trained = trained_vit()
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    training = trained.training
    for P in (16, 32):
        model = call(answer, trained=trained, patch_size=P)
        if not isinstance(model, ViTReconstructor):
            raise Wrong(f"Expected a `ViTReconstructor`, this is of type `{type_name(model)}`.")
        if model is trained:
            raise Wrong("This is the trained model itself; expected a new one beside it.")
        if differ(trained, before):
            raise Wrong("Afterwards the trained model has other weights than before.")
        if trained.training != training or frozen(trained):
            raise Wrong(
                "Afterwards the trained model is in another mode, or a weight of it is frozen."
            )
        check_weights(model.state_dict(), before, P)
        check_use(model, P)
        with torch.no_grad():
            for value in model.state_dict().values():
                value.add_(1)
        if name := differ(trained, before):
            raise Wrong(
                f"The two models share `{name}`: training the new one would change the old one. "
                "Copy the numbers (`load_state_dict` does)."
            )


def frozen(model: nn.Module) -> str:
    """Return the name of a weight that takes no gradient, or an empty text."""
    return next((name for name, p in model.named_parameters() if not p.requires_grad), "")


def check_use(model: ViTReconstructor, P: int) -> None:
    """Check that the new model restores a measurement, and can be trained.

    Raises:
        Wrong: It stops, returns another shape, or a weight of it is frozen.
    """
    y = fresh(1, 1, 96, 64)
    x_hat = call(model, y=y)
    if tuple(x_hat.shape) != tuple(y.shape):
        raise Wrong(f"A measurement of shape {tuple(y.shape)} comes back with another shape.")
    if model.patch_size != P:
        raise Wrong(f"The new model has patch_size = {model.patch_size}; expected {P}.")
    if name := frozen(model):
        raise Wrong(f"`{name}` of the new model is frozen, so it can't be trained.")
    if not x_hat.requires_grad:
        raise Wrong("No gradient reaches the new model. Was it built under `inference_mode()`?")


def trained_vit() -> ViTReconstructor:
    """Return a ViT in which no weight is what an initialisation makes it.

    The first number of each position is its row in the grid, so that it can be shown.
    """
    vit = build("ViT", seed=fresh_integer(0, 10**6))
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.add_(fresh(*parameter.shape, low=-0.5, high=0.5))
        G = vit.grid_size
        vit.pos_embed[0, :, 0] = torch.arange(G).repeat_interleave(G)
    return vit


def differ(model: nn.Module, weights: Weights) -> str:
    """Return the name of a weight that is no longer what it was, or an empty text."""
    state = model.state_dict()
    return next((name for name in weights if not torch.equal(state[name], weights[name])), "")


def check_weights(new: Weights, old: Weights, P: int) -> None:
    """Check all the new model's weights.

    Raises:
        Wrong: One is missing, lost, not as it was initialised, or of another shape.
    """
    initial = ViTReconstructor(patch_size=P).state_dict()
    if more := sorted(new.keys() - initial.keys()):
        raise Wrong(f"The new model has more layers than the trained one: `{more[0]}`.")
    for name, value in initial.items():
        shape = tuple(new[name].shape) if name in new else "nothing"
        if shape != tuple(value.shape):
            raise Wrong(f"For P = {P}, `{name}` should have {tuple(value.shape)}; it has {shape}.")
    check_positions(new["pos_embed"], old["pos_embed"], P)
    kernels = [n for n in initial if n != "pos_embed" and initial[n].shape != old[n].shape]
    may_stay = {f"{name.removesuffix('weight')}bias": name for name in kernels}
    for name in initial.keys() - {"pos_embed", *kernels}:
        kernel = may_stay.get(name)  # of a layer that may stay as it was, with or without its bias
        if kernel and new[name].abs().max() <= 1.01 * initial[kernel].abs().max():
            continue
        if not same(new[name], old[name], TOLERANCE):
            raise Wrong(
                f"`{name}` has the same shape in both models, but other numbers: its training is "
                "lost."
            )
    for name in kernels:
        spread, expected = new[name].std().item(), initial[name].std().item()
        if abs(spread / expected - 1) > SPREAD:
            raise Wrong(
                f"`{name}` is not as it was initialised: for P = {P} its numbers have the standard "
                f"deviation {spread:.2g}; expected {expected:.2g}, as in a new model."
            )


def check_positions(new: Tensor, old: Tensor, P: int) -> None:
    """Check the positions, (1, N, d), for the grid of 256 / P patches a side.

    Raises:
        Wrong: They are not those of the trained model, interpolated.
    """
    side = 256 // P
    right = resize_positions(old, (side, side))
    if any(same(new, other, TOLERANCE) for other in (right, antialiased(old, (side, side)))):
        return
    if same(new, old[:, : side**2], TOLERANCE):
        raise Wrong(
            "The positions are cut off: the new model gets those of the first rows of the old "
            "grid. They must be interpolated over the whole image."
        )
    if not new.any():
        raise Wrong("The positions start from zero again; what was learned is thrown away.")
    rows, expected = (p.reshape(side, side, -1)[:4, 0, 0] for p in (new, right))
    raise Wrong(
        "The positions are not those of the trained model on the new grid. In the trained model "
        "that was tried, the first number of each position is its row, 0 to 31. In yours, for "
        f"P = {P}, the first four rows have {shown(rows)}; expected {shown(expected)} (the other "
        "numbers may differ too)."
    )


EXERCISES = (
    Exercise(
        name="patch-size",
        kind="code",
        hints=(
            "Print the names and shapes of both models' `state_dict()`. Only three kinds of "
            "entries differ. Which, and why?",
            "Copy what has the same shape; leave the kernels of the embedding and of the decoder's "
            "first layer as they were initialised.",
            "The positions have another number of tokens, but the same meaning: the exercise "
            "`positions` is what they need.",
        ),
        why="Fine-tuning at another patch size or resolution starts like this. What knows of "
        "pixels must be learned again; what knows only of tokens is kept.",
        judge=judge_patch_size,
    ),
)
