"""State dicts: the names of their tensors without wrappers, and whether they fit a model."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ippy.weights.manifest import how_to_restore

# What torch.compile, fully sharded training and activation checkpointing put into names.
INSIDE = re.compile(r"(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.)")
OUTSIDE = "module."  # DataParallel and DistributedDataParallel


def plain_name(key: str) -> str:
    """Return a tensor's name without what wrappers of a module put into it."""
    return INSIDE.sub("", key).removeprefix(".")


def fitted(state: Mapping[str, Tensor], module: nn.Module, path: Path) -> dict[str, Tensor]:
    """Return a file's state under the names and in the types of a module.

    Args:
        state: Name -> tensor, as in the file; names may carry what wrappers put into them.
        module: The module to fill.
        path: The file, for messages.

    Raises:
        ValueError: The state does not fit, or is not finite.
    """
    wanted = module.state_dict()
    state = _renamed(state, wanted)
    faults = [fault for key in wanted if key in state and (fault := _fault(state, wanted, key))]
    faults += [f"{key} is missing" for key in wanted if key not in state]
    faults += [f"{key} is not one of its tensors" for key in state if key not in wanted]
    if faults:
        raise ValueError(
            f"{path} does not fit {type(module).__name__}: {_advice(state, wanted)}"
            f"{listed(faults, '; ')}. Give the architecture that it was saved from, or its right "
            f"file: {how_to_restore(path)}"
        )
    values = {key: value.to(wanted[key].dtype) for key, value in state.items()}
    if bad := not_finite(values, module):
        raise ValueError(
            f"{path} holds NaN or infinity in {listed(bad)}; expected finite weights. "
            f"{how_to_restore(path)}"
        )
    return values


def _renamed(state: Mapping[str, Tensor], wanted: Collection[str]) -> Mapping[str, Tensor]:
    """Return the state under the module's names, where only wrappers tell the two apart."""
    theirs = {plain_name(key): value for key, value in state.items()}
    ours = {plain_name(key): key for key in wanted}
    if len(theirs) < len(state) or len(ours) < len(wanted):  # some names differ by wrappers alone
        return state
    while ours.keys() != theirs.keys():
        if not theirs or not all(key.startswith(OUTSIDE) for key in theirs):
            return state
        theirs = {key.removeprefix(OUTSIDE): value for key, value in theirs.items()}
    return {ours[key]: value for key, value in theirs.items()}


def _advice(state: Mapping[str, Tensor], wanted: Collection[str]) -> str:
    """Say which prefix of the names hides the module's own, if one does."""
    first = next(iter(wanted), "")
    for key in state:
        prefix = key.removesuffix(first)
        if prefix and prefix != key and all(prefix + name in state for name in wanted):
            return (
                f"its names begin with {prefix!r}, so strip that and save again: torch.save("
                f"{{k.removeprefix({prefix!r}): v for k, v in torch.load(path).items() if "
                f"k.startswith({prefix!r})}}, 'weights.pth'). As it is, "
            )
    return ""


def _fault(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], key: str) -> str | None:
    value, target = state[key], wanted[key]
    if value.is_nested or value.layout != torch.strided or value.device.type != "cpu":
        return f"{key} is no ordinary tensor ({value.layout}, {value.device})"
    if value.shape != target.shape:
        return f"{key} is {tuple(value.shape)}, expected {tuple(target.shape)}"
    floats = value.is_floating_point() and target.is_floating_point()
    if value.dtype != target.dtype and not floats:
        return f"{key} is {value.dtype}, expected {target.dtype}"
    return None


def not_finite(state: Mapping[str, Tensor], module: nn.Module) -> list[str]:
    """Return the names of what holds NaN, or infinity where it is learned (a mask may hold it)."""
    learned = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    return [
        key
        for key, value in state.items()
        if value.isnan().any() or (key in learned and value.isinf().any())
    ]


def listed(names: list[str], comma: str = ", ") -> str:
    """Return the first three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return comma.join(names[:3]) + more
