"""Checkpoints: plain state dicts, written whole or not at all, checked before they are used."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ippy.base.device import usable
from ippy.base.paths import as_path, weights_dir
from ippy.models import build
from ippy.weights.manifest import MANIFEST, name_of, read_manifest, remedy, write_recorded

__all__ = ["load_checkpoint", "read_manifest", "save_checkpoint", "unpack"]


def save_checkpoint(
    model: nn.Module, path: str | Path, *, record: Mapping[str, Any] | None = None
) -> Path:
    """Save a model's state dict, and enter it in ``manifest.json`` of the same folder.

    A crash or a full disk at any moment leaves the old checkpoint with its old entry, or the new
    one with the new. Several processes may save into one folder at once.

    Args:
        model: The model; its weights are saved as CPU tensors.
        path: Target, e.g. ``weights/UNet.pth``. Its folder is made if it is not there.
        record: What else the manifest should tell (data, recipe, history, metrics), as JSON values.

    Returns:
        The path.

    Raises:
        TypeError: The model is no module, or the record is not made of JSON values.
        ValueError: A weight or the record holds NaN or infinity, or the folder's manifest is
            damaged. Nothing was written.
        OSError: The disk is full or the folder can't be written.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}; expected a torch.nn.Module")
    path = as_path(path, "path")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected the file to write, e.g. {path}/model.pth")
    record = _as_json(record)
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    if bad := _not_finite(state, model):
        raise ValueError(
            f"{_list(bad)} of this {type(model).__name__} is not finite: nothing was saved, and "
            f"{path} is as it was. Train again from the last good checkpoint, at a smaller rate."
        )
    buffer = io.BytesIO()
    torch.save(state, buffer)
    own = {
        "class": f"{type(model).__module__}.{type(model).__qualname__}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
    }
    write_recorded(path, buffer.getvalue(), own | record | own)
    return path


def load_checkpoint(
    model: str | nn.Module, path: str | Path | None = None, *, device: str | torch.device = "cpu"
) -> nn.Module:
    """Fill a model with saved weights, ready for use (in evaluation mode).

    The file is read as tensors and nothing else: no code in it is ever run. It is checked against
    its own checksums (which files older than PyTorch 1.6 don't have) and, where ``manifest.json``
    beside it has an entry for it, against that. A model that is given keeps its old weights when
    the file turns out to be bad.

    Args:
        model: A name to build, e.g. ``"UNet"``, or a module to fill in place.
        path: The checkpoint; ``weights/<name>.pth`` of the course if None. Weights of any floating
            type, saved on any device, are converted to those of the model.
        device: Where the model goes.

    Raises:
        FileNotFoundError: There is no such file. Nothing is trained in its place.
        ValueError: The file is damaged, is not the one that the manifest records, or belongs to
            another architecture; or there is no such model or device.
        TypeError: ``model`` is neither a name nor a module.
    """
    if not isinstance(model, str | nn.Module):
        raise TypeError(f"model is a {type(model).__name__}; expected a name or a torch.nn.Module")
    module = build(model) if isinstance(model, str) else model
    if path is None:
        if not isinstance(model, str):
            raise ValueError(f"a {type(model).__name__} was given without a path; say which file")
        path = weights_dir() / f"{model}.pth"
    path = as_path(path, "path")
    module.load_state_dict(_fitted(_read(path), module, path))
    return module.to(usable(device)).eval()


def _as_json(record: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a record as the manifest will hold it: JSON, which knows no NaN."""
    if not isinstance(record, Mapping | None):
        raise TypeError(f"record is a {type(record).__name__}; expected a dict of JSON values")
    try:
        return json.loads(json.dumps(dict(record or {}), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"record holds what is not a JSON value: {error}. Nothing was saved") from error


def _read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint that is whole and is the one the manifest records."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a checkpoint file, e.g. {path}/UNet.pth")
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}. {remedy(path)}")
    while True:
        recorded = _recorded(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path} can't be read: {error.strerror}. {remedy(path)}") from error
        same = recorded in (None, hashlib.sha256(data).hexdigest())
        if same or recorded == _recorded(path):  # else it was saved anew between the two reads
            break
    state = _tensors(data, path)
    if not same:
        raise ValueError(
            f"{path} is not the file that {MANIFEST} beside it records (another sha256): it was "
            f"replaced or damaged. If it is the one you want, delete the entry {name_of(path)!r} "
            f"from {path.with_name(MANIFEST)}. If not: {remedy(path)}"
        )
    return state


def _recorded(path: Path) -> str | None:
    return read_manifest(path.parent).get(name_of(path), {}).get("sha256")


def _tensors(data: bytes, path: Path) -> dict[str, Tensor]:
    """Return what a checkpoint's bytes hold, without running any code that is among them."""
    if not data:
        raise ValueError(f"{path} is empty; expected a checkpoint. {remedy(path)}")
    try:
        state = unpack(data)
    except ValueError as error:
        raise ValueError(
            f"{path} can't be read as a checkpoint: it is cut short, damaged, or holds more than "
            f"tensors; expected a state dict. {remedy(path)}"
        ) from error
    if isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values()):
        return state
    what = f"a {type(state).__name__}"
    if isinstance(state, dict):
        inner = [key for key, value in state.items() if isinstance(value, dict)]
        what = "more than tensors" + (f" (are the weights under {inner[0]!r}?)" if inner else "")
    raise ValueError(
        f"{path} holds {what}; expected a state dict, name -> tensor. "
        "Save one with ippy.weights.save_checkpoint(model, path)."
    )


def unpack(data: bytes) -> Any:
    """Return what ``torch.save`` packed, on the CPU, without running any code that is among it.

    Raises:
        ValueError: The bytes are cut short, damaged, or hold more than tensors and plain values.
    """
    try:
        if data.startswith(b"PK"):
            _check_members(data)
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # the bytes are anybody's: a parser may raise anything on them
        raise ValueError(str(error)) from error


def _check_members(data: bytes) -> None:
    """Check the checksums that torch.save wrote, and that torch.load does not look at."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("a member is compressed, which torch.save never does")
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} does not match")


def _fitted(state: Mapping[str, Tensor], module: nn.Module, path: Path) -> dict[str, Tensor]:
    """Return the state in the module's types; ValueError if it does not fit or is not finite."""
    wanted = module.state_dict()
    faults = [fault for key in wanted if key in state and (fault := _fault(state, wanted, key))]
    faults += [f"{key} is missing" for key in wanted if key not in state]
    faults += [f"{key} is not one of its tensors" for key in state if key not in wanted]
    if faults:
        raise ValueError(
            f"{path} does not fit {type(module).__name__}: {_list(faults, '; ')}. "
            f"Give the architecture that it was saved from, or its right file: {remedy(path)}"
        )
    fitted = {key: value.to(wanted[key].dtype) for key, value in state.items()}
    if bad := _not_finite(fitted, module):
        raise ValueError(
            f"{path} holds NaN or infinity in {_list(bad)}; expected finite weights. {remedy(path)}"
        )
    return fitted


def _fault(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], key: str) -> str | None:
    came, want = state[key], wanted[key]
    if came.is_nested or came.layout != torch.strided or came.device.type != "cpu":
        return f"{key} is no ordinary tensor ({came.layout}, {came.device})"
    if came.shape != want.shape:
        return f"{key} is {tuple(came.shape)}, expected {tuple(want.shape)}"
    floats = came.is_floating_point() and want.is_floating_point()
    if came.dtype != want.dtype and not floats:
        return f"{key} is {came.dtype}, expected {want.dtype}"
    return None


def _not_finite(state: Mapping[str, Tensor], module: nn.Module) -> list[str]:
    """Return the names of what holds NaN, or infinity where it is learned (a mask may hold it)."""
    learned = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    return [
        key
        for key, value in state.items()
        if value.isnan().any() or (key in learned and value.isinf().any())
    ]


def _list(names: list[str], comma: str = ", ") -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return comma.join(names[:3]) + more
