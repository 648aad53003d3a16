"""Checkpoints: plain state dicts, written whole or not at all, with a manifest beside them."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ippy.files import write_atomically
from ippy.models import build
from ippy.paths import weights_dir

MANIFEST = "manifest.json"


def save_checkpoint(
    model: nn.Module, path: str | Path, *, record: Mapping[str, Any] | None = None
) -> Path:
    """Save a model's state dict, and enter it in ``manifest.json`` of the same folder.

    Both files are written beside their place and renamed into it, so that a crash or a full disk
    leaves the old ones whole.

    Args:
        model: The model; its weights are saved as CPU tensors.
        path: Target, e.g. ``weights/UNet.pth``. Its folder is made if it is not there.
        record: What else the manifest should tell (data, recipe, history, metrics), as JSON values.

    Returns:
        The path.
    """
    path = Path(path)
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    write_atomically(path, lambda file: torch.save(state, file))
    entry = {
        "class": f"{type(model).__module__}.{type(model).__qualname__}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        **(record or {}),
    }
    manifest = {**read_manifest(path.parent), path.stem: entry}
    text = json.dumps(manifest, indent=1) + "\n"
    write_atomically(path.parent / MANIFEST, lambda file: file.write(text.encode()))
    return path


def load_checkpoint(
    model: str | nn.Module, path: str | Path | None = None, *, device: str | torch.device = "cpu"
) -> nn.Module:
    """Fill a model with saved weights, ready for use (in evaluation mode).

    Args:
        model: A name to build, e.g. ``"UNet"``, or a module to fill in place.
        path: The checkpoint; ``weights/<name>.pth`` of the course if None.
        device: Where the model goes.

    Raises:
        FileNotFoundError: There is no such file. Nothing is trained in its place.
        ValueError: The file is damaged, or it belongs to another architecture.
    """
    if path is None:
        if not isinstance(model, str):
            raise ValueError(f"a {type(model).__name__} was given without a path; say which file")
        path = weights_dir() / f"{model}.pth"
    path = Path(path)
    module = build(model) if isinstance(model, str) else model
    if not path.is_file():
        raise FileNotFoundError(
            f"no checkpoint {path.name} in {path.parent}. Restore the shipped one with "
            f"`git checkout -- weights`, or train it with `python -m ippy train {path.stem}`."
        )
    state = _read(path)
    _check_fit(state, module, path)
    module.load_state_dict(state)
    return module.to(device).eval()


def read_manifest(folder: str | Path | None = None) -> dict[str, dict[str, Any]]:
    """Return the manifest of a weights folder: name -> record; empty if there is none.

    Args:
        folder: The folder; the course's ``weights/`` if None.

    Raises:
        ValueError: The manifest is not JSON.
    """
    path = (weights_dir() if folder is None else Path(folder)) / MANIFEST
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path} is not JSON ({error}). Restore it with `git checkout -- {path.name}`."
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} can't be read as a checkpoint: it is cut short, damaged, or holds more than "
            "tensors. Restore it (`git checkout -- weights`) or train it again."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(
            f"{path} holds a {type(state).__name__}; expected a state dict, name -> tensor. "
            "Save one with ippy.checkpoints.save_checkpoint(model, path)."
        )
    return state


def _check_fit(state: Mapping[str, Tensor], module: nn.Module, path: Path) -> None:
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    came = {key: tuple(value.shape) for key, value in state.items()}
    if wanted == came:
        return
    faults = [
        f"{key} is {came[key]}, expected {wanted[key]}"
        for key in wanted
        if key in came and came[key] != wanted[key]
    ]
    faults += [f"{key} is missing" for key in wanted if key not in came]
    faults += [f"{key} is not one of its tensors" for key in came if key not in wanted]
    more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
    raise ValueError(
        f"{path} does not fit {type(module).__name__}: {'; '.join(faults[:3])}{more}. "
        "Give the architecture that it was saved from."
    )
