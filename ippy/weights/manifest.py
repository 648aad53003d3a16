"""``manifest.json``: what each checkpoint of a weights folder is, and the sha256 of its file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ippy.base.checks import check_choice
from ippy.base.files import locked, remove_leftovers, write_atomically, write_json
from ippy.base.paths import as_path, studies_dir, weights_dir
from ippy.models import LABELS, NAMES
from ippy.problems import TASKS
from ippy.problems.tasks import REFERENCE

MANIFEST = "manifest.json"
LOCK = f".{MANIFEST}.lock"
COURSE_FILES = {f"{name}.pth" for name in (*NAMES, "GatedUNet")}


def read_manifest(folder: str | Path | None = None) -> dict[str, dict[str, Any]]:
    """Return the manifest of a weights folder: name -> record; empty if there is none.

    Args:
        folder: The folder; the course's ``weights/`` if None.

    Raises:
        ValueError: The manifest is damaged, or is another program's file.
    """
    path = (weights_dir() if folder is None else as_path(folder, "folder")) / MANIFEST
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}). {how_to_restore(path)}") from error
    if not isinstance(entries, dict) or not all(map(_is_entry, entries.values())):
        raise ValueError(
            f"{path} is not a manifest of checkpoints; expected an object with one object a "
            f"checkpoint, as {{'UNet': {{'sha256': …}}}}. {how_to_restore(path)}"
        )
    settled = {key: _settled(key, entry, path.parent) for key, entry in entries.items()}
    return {key: entry for key, entry in settled.items() if entry is not None}


def task_folder(task: str = REFERENCE) -> Path:
    """Return where the course keeps a task's checkpoints and their manifest.

    That is ``weights/`` for the reference task, ``weights/<task>/`` for others.

    Raises:
        ValueError: There is no task of that name.
    """
    check_choice("task", task, tuple(TASKS))
    return weights_dir() if task == REFERENCE else weights_dir() / task


def write_recorded(path: Path, content: bytes, entry: Mapping[str, Any]) -> None:
    """Write a checkpoint and its entry, so that a crash at any moment leaves the two agreeing.

    Two files can't be renamed at once. So the manifest is written twice: before the checkpoint
    changes it holds the new entry and the one it replaces, and :func:`read_manifest` tells by the
    file's sha256 which of the two is true; afterwards it holds the new one.

    Args:
        path: The checkpoint. Its folder is made if it is not there.
        content: Its bytes.
        entry: What the manifest records of it, as JSON values, ``sha256`` included.

    Raises:
        ValueError: The folder's manifest is damaged. Nothing was written.
        OSError: The disk is full or the folder can't be written.
    """
    with locked(path.parent / LOCK, path):  # another process may be saving its own model
        for written in (path, path.with_name(MANIFEST)):
            remove_leftovers(written)
        before = read_manifest(path.parent)
        key = entry_of(path, before) or _free_name(path, before)
        entry = {**entry, "file": path.name}
        _write(path.parent, before | {key: entry | {"replaces": before.get(key)}})
        write_atomically(path, lambda file: file.write(content))
        _write(path.parent, before | {key: _without_file(key, entry)})


def checksums(names: Iterable[str], folder: Path) -> dict[str, str]:
    """Return the sha256 that the manifest of a folder records for each of these checkpoints.

    Raises:
        ValueError: One has no entry, or the manifest is damaged.
    """
    recorded = read_manifest(folder)
    missing = [name for name in names if name not in recorded]
    if missing:
        raise ValueError(
            f"{folder / MANIFEST} has no entry {missing[0]!r}. "
            f"{how_to_restore(folder / f'{missing[0]}.pth')}"
        )
    return {name: recorded[name]["sha256"] for name in names}


def amend(entries: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Add to the records of a folder's checkpoints, such as their scores on other slices.

    Args:
        entries: Name -> what to add, as JSON values, and the ``sha256`` of the checkpoint that it
            belongs to. A part that is there already is replaced.
        folder: Where the checkpoints are.

    Raises:
        ValueError: A checkpoint was replaced meanwhile, or the manifest is damaged. Nothing was
            written.
        OSError: The disk is full or the folder can't be written.
    """
    with locked(folder / LOCK, folder / MANIFEST):
        recorded = read_manifest(folder)
        for name, entry in entries.items():
            if recorded.get(name, {}).get("sha256") != entry["sha256"]:
                path = folder / f"{name}.pth"
                raise ValueError(f"{path} was replaced meanwhile; do the same once more")
        more = {name: {**recorded[name], **entry} for name, entry in entries.items()}
        _write(folder, recorded | more)


def entry_of(path: Path, entries: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the name of a checkpoint's entry, ``UNet`` for ``UNet.pth``; None if it has none.

    An entry is that of ``<name>.pth`` unless its ``file`` says otherwise, so that no two files
    share one: not ``lr0.01`` and ``lr0.01.pth`` either.
    """
    files = {entry.get("file", f"{name}.pth"): name for name, entry in entries.items()}
    return files.get(path.name)


def _free_name(path: Path, entries: Mapping[str, Any]) -> str:
    """Return a name for the entry of a checkpoint that has none yet."""
    name = path.name.removesuffix(".pth")
    while name in entries:  # that of a file which differs by its ending
        name = path.name if name != path.name else f"./{name}"
    return name


def _without_file(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry without ``file`` where the name says it."""
    return {k: v for k, v in entry.items() if k != "file" or v != f"{name}.pth"}


def how_to_restore(path: Path) -> str:
    """Say how to get a file of a weights folder back; the course's own come with git."""
    with contextlib.suppress(FileNotFoundError):
        if path.parent.is_dir() and path.parent.samefile(weights_dir()):
            if path.name == MANIFEST:
                return f"Restore it with `git checkout -- weights/{MANIFEST}`."
            if path.name in COURSE_FILES:
                return (
                    f"Restore it with `git checkout -- weights/{path.name}` (all of them and "
                    "their manifest: `git checkout -- weights`), or train it with "
                    f"`python -m ippy train {path.stem}`."
                )
    folder = _folder_of_the_course(path)
    if folder in TASKS and folder != REFERENCE and path.stem in LABELS:
        restored = f"`git checkout -- weights/{folder}` restores one that the course came with."
        if path.name not in COURSE_FILES:
            return restored
        return f"Train it with `python -m ippy train {path.stem} --task {folder}`, or {restored}"
    if folder is not None and (studies_dir() / f"{folder}.py").is_file():
        return (
            f"Restore it with `git checkout -- weights/{folder}`, or train it with "
            f"`python -m ippy study {folder}`, for hours."
        )
    if path.name == MANIFEST:
        return "Delete it, or keep checkpoints in a folder of their own: they load without it."
    if path.name in COURSE_FILES:
        return (
            "Copy it again from where it came, or train it with "
            f"`python -m ippy train {path.stem} --output {shlex.quote(str(path.parent))}`."
        )
    return (
        "Copy it again from where it came, or save it again with "
        "ippy.weights.save_checkpoint(model, path)."
    )


def _folder_of_the_course(path: Path) -> str | None:
    """Return the name of the folder in the course's ``weights/`` that a file is in."""
    folder = path.parent
    try:
        return folder.name if folder.parent.resolve() == weights_dir().resolve() else None
    except FileNotFoundError:  # there is no course here
        return None


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("file", ""), str):
        return False
    return "replaces" not in entry or (
        "file" in entry and isinstance(entry["replaces"], dict | None)
    )


def _settled(name: str, entry: dict[str, Any], folder: Path) -> dict[str, Any] | None:
    """Return the entry of the file that is there, where a save stopped between two renames."""
    if "replaces" not in entry:
        return entry
    path = folder / entry["file"]
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == entry.get("sha256"):
        settled = {key: value for key, value in entry.items() if key != "replaces"}
        return _without_file(name, settled)
    return entry["replaces"]


def _write(folder: Path, manifest: Mapping[str, Any]) -> None:
    write_json(folder / MANIFEST, manifest)
