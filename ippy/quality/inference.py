"""A model lent for inference: called as a model should be, and given back as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from ippy.base.images import check_tensor, check_values
from ippy.models.base import unwrap
from ippy.operators import LinearOperator


@contextmanager
def in_evaluation_mode(model: nn.Module, device: torch.device | None = None) -> Iterator[None]:
    """Put a model into evaluation mode, and onto a device, for as long as the context lasts.

    Afterwards each of its modules is in the mode that it was in, a frozen batch norm too, and the
    very tensors that were its parameters and buffers are so again, on their devices.

    Args:
        model: Any module.
        device: Where it is to run; where it is if None.
    """
    modules = list(model.modules())
    modes = [module.training for module in modules]
    held = [(module._parameters.copy(), module._buffers.copy()) for module in modules]
    data = [(p, p.data, p.grad) for p in model.parameters()]
    tensors = chain(model.parameters(), model.buffers())
    moves = device is not None and any(tensor.device != device for tensor in tensors)
    try:
        model.eval()
        if moves:
            model.to(device)
        yield
    finally:
        for module, training in zip(modules, modes, strict=True):
            module.training = training
        if moves:
            for module, (parameters, buffers) in zip(modules, held, strict=True):
                module._parameters.update(parameters)
                module._buffers.update(buffers)
            for parameter, values, gradient in data:
                parameter.data, parameter.grad = values, gradient


def knows_operator(model: nn.Module) -> bool:
    """Say whether a model takes measurements as they are, as the classical methods do.

    Others take the image that a problem makes of them first. Such a module says so by an attribute
    ``knows_operator``.
    """
    return getattr(unwrap(model), "knows_operator", False)


def takes_operator(model: nn.Module) -> bool:
    """Say whether a model gets the measurement and the operator beside its images.

    Unrolled networks do. Such a module says so by an attribute ``takes_operator``.
    """
    return getattr(unwrap(model), "takes_operator", False)


def arguments(
    model: nn.Module, images: Tensor, y: Tensor, operator: LinearOperator
) -> tuple[Tensor | LinearOperator, ...]:
    """Return what a model is called with.

    Args:
        model: Any module.
        images: What a network gets of the measurements, (B, C, H, W).
        y: Measurements (B, 1, ., .).
        operator: The operator, as far as is known.
    """
    if knows_operator(model):
        return (y,)
    return (images, y, operator) if takes_operator(model) else (images,)


def run(
    name: str,
    model: nn.Module,
    y: Tensor,
    *beside: Tensor | LinearOperator,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Call a model on measurements of which it may do as it likes, and check what it returns.

    Args:
        name: What the caller calls the model, for the message.
        model: A module, in evaluation mode.
        y: Measurements (B, C, ., .), of floating-point numbers of any type.
        beside: What else it gets (:func:`arguments`).
        size: Height and width of the images; those of ``y`` if None.

    Returns:
        The restored images (B, C', H, W), in the type of ``y``.

    Raises:
        TypeError: The model returns something else than one tensor of floating-point numbers.
        ValueError: It returns another shape than (B, C', H, W), or NaN or infinity.
    """
    numbers = (t for t in chain(model.parameters(), model.buffers()) if t.is_floating_point())
    dtype = next(numbers, y).dtype
    # Copies, as some layers work in place.
    lent = (v.clone().to(dtype) if isinstance(v, Tensor) else v for v in (y, *beside))
    x_hat = model(*lent)
    if not isinstance(x_hat, Tensor):
        raise TypeError(
            f"{name} returns {_listed(x_hat)}; expected one tensor, the restored images "
            f"(B, C, H, W). {_remedy(x_hat)}"
        )
    check_tensor(f"what {name} returns", x_hat, axes=(4,), expected="(B, C, H, W)")
    check_values(f"what {name} returns", x_hat, wait=True)
    if len(x_hat) != len(y) or x_hat.shape[2:] != (size or y.shape[2:]):
        wanted = "one that keeps batch, height and width"
        if size is not None and size != y.shape[2:]:
            wanted = f"images of {size[0]}x{size[1]} pixels, as many as measurements"
        raise ValueError(f"{name} maps {tuple(y.shape)} to {tuple(x_hat.shape)}; expected {wanted}")
    return x_hat.to(y.dtype)


def _listed(found: Any) -> str:
    """Say what a model returned, with its entries where it is a collection."""
    kind = type(found).__name__
    if isinstance(found, Mapping):
        return f"a {kind} with the keys {list(found)}"
    if isinstance(found, tuple | list):
        return f"a {kind} of {len(found)}: {', '.join(type(entry).__name__ for entry in found)}"
    return "None" if found is None else f"a {kind}"


def _remedy(found: Any) -> str:
    """Say how to get the images out of what a model returned."""
    entries = found.items() if isinstance(found, Mapping) else ()
    if isinstance(found, tuple | list):
        entries = enumerate(found)
    key = next((key for key, entry in entries if isinstance(entry, Tensor)), None)
    if key is None:
        return "Its forward has to end in `return x_hat`"
    return f"Return the images alone, e.g. by `return model(y)[{key!r}]` in a module around it"
