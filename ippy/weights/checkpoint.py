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

from ippy.base.checks import check_type
from ippy.base.device import usable
from ippy.base.paths import as_path, weights_dir
from ippy.models import build
from ippy.models.base import unwrap
from ippy.weights.manifest import (
    MANIFEST,
    entry_of,
    how_to_restore,
    read_manifest,
    write_recorded,
)
from ippy.weights.recognition import recognise
from ippy.weights.state import fitted, listed, not_finite, plain_name

__all__ = ["load_checkpoint", "save_checkpoint", "unpack"]


def save_checkpoint(
    model: nn.Module, path: str | Path, *, record: Mapping[str, Any] | None = None
) -> Path:
    """Save a model's state dict, and enter it in ``manifest.json`` of the same folder.

    Of a model in ``torch.compile``, ``DataParallel`` or ``DistributedDataParallel`` the one inside
    is saved, under its own names. A crash or a full disk at any moment leaves the old checkpoint
    with its old entry, or the new one with the new. Several processes may save into one folder at
    once.

    Args:
        model: The model; its weights are saved as CPU tensors.
        path: Target, e.g. ``weights/UNet.pth``. Its folder is made if it is not there.
        record: What else the manifest should hold (data, recipe, history, metrics), as JSON values.

    Returns:
        The path.

    Raises:
        TypeError: The record is not made of JSON values.
        ValueError: A weight or the record holds NaN or infinity, the folder's manifest is damaged,
            or ``path`` is that manifest or a folder. Nothing was written.
        OSError: The disk is full or the folder can't be written.
    """
    check_type("model", model, nn.Module, "build('UNet')")
    model = unwrap(model)
    path = as_path(path, "path")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected the file to write, e.g. {path}/model.pth")
    if path.name == MANIFEST:
        raise ValueError(f"{path} is where the record goes; expected a name such as UNet.pth")
    record = _as_json(record)
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    if bad := not_finite(state, model):
        raise ValueError(
            f"{listed(bad)} of this {type(model).__name__} is not finite: nothing was saved, and "
            f"{path} is as it was. Train again from the last good checkpoint, at a smaller rate."
        )
    buffer = io.BytesIO()
    torch.save({plain_name(key): value for key, value in state.items()}, buffer)
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
    the file turns out to be bad. Names that carry ``_orig_mod.`` or ``module.``, as somebody's
    ``torch.compile`` or ``DataParallel`` left them, are read without.

    Args:
        model: A name to build, e.g. ``"UNet"``, or a module, wrapped or not, to fill in place.
        path: The checkpoint; ``weights/<name>.pth`` of the course if None. Weights of any floating
            type, saved on any device, are converted to those of the model.
        device: Where the model goes.

    Raises:
        FileNotFoundError: There is no such file. Nothing is trained in its place.
        ValueError: The file is damaged, is not the one that the manifest records, or belongs to
            another architecture; or there is no such model or device.
    """
    check_type("model", model, (str, nn.Module), '"UNet"')
    module = build(model, seed=0) if isinstance(model, str) else model
    if path is None:
        if not isinstance(model, str):
            raise ValueError(f"a {type(model).__name__} was given without a path; say which file")
        path = weights_dir() / f"{model}.pth"
    path, device = as_path(path, "path"), usable(device)  # before any weight is replaced
    inner = unwrap(module)
    inner.load_state_dict(fitted(_read(path), inner, path))
    return module.to(device).eval()


def _as_json(record: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a record as the manifest will hold it: JSON, which knows no NaN."""
    record = {} if record is None else record
    check_type("record", record, Mapping, '{"seconds": 3}')
    try:
        return json.loads(json.dumps(dict(record), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"record holds what is not a JSON value: {error}. Nothing was saved") from error


def _read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint that is whole and is the one the manifest records."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a checkpoint file, e.g. {path}/UNet.pth")
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}. {how_to_restore(path)}")
    while True:
        recorded = _recorded(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ValueError(
                f"{path} can't be read: {error.strerror}. {how_to_restore(path)}"
            ) from error
        same = recorded[1] in (None, hashlib.sha256(data).hexdigest())
        if same or recorded == _recorded(path):  # else it was saved anew between the two reads
            break
    state = _tensors(data, path)
    if not same:
        raise ValueError(
            f"{path} is not the file that {MANIFEST} beside it records (another sha256): it was "
            f"replaced or damaged. If it is the one you want, delete the entry {recorded[0]!r} "
            f"from {path.with_name(MANIFEST)}. If not: {how_to_restore(path)}"
        )
    return state


def _recorded(path: Path) -> tuple[str | None, str | None]:
    """Return the name of a checkpoint's entry in the manifest, and the sha256 that it records."""
    entries = read_manifest(path.parent)
    name = entry_of(path, entries)
    return name, entries.get(name, {}).get("sha256")


def _tensors(data: bytes, path: Path) -> dict[str, Tensor]:
    """Return what a checkpoint's bytes hold, without running any code that is among them."""
    if not data:
        raise ValueError(f"{path} is empty; expected a checkpoint. {how_to_restore(path)}")
    try:
        state = unpack(data)
    except ValueError as error:
        what, advice = recognise(data)
        raise ValueError(
            f"{path} can't be read as a checkpoint: it {what}. {advice or how_to_restore(path)}"
        ) from error
    if isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values()):
        return state
    what, advice = f"a {type(state).__name__}", "ippy.weights.save_checkpoint(model, path)"
    if isinstance(state, dict):
        what = "more than tensors"
        for key, value in state.items():
            if isinstance(value, dict):
                what += f" (are the weights under {key!r}?)"
                advice = f"torch.save(torch.load(path)[{key!r}], 'weights.pth')"
                break
    raise ValueError(
        f"{path} holds {what}; expected a state dict, name -> tensor. Save one with {advice}."
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
