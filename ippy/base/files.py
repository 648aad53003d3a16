"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

PART = ".part"  # a file being written is .<name>.<random>.part beside its target


def write_atomically(
    path: Path, write: Callable[[BinaryIO], object], *, private: bool = False
) -> None:
    """Write a file beside its place and rename it into it, so that a crash leaves the old one.

    What was written is on the disk before the rename: a power cut leaves the old file or the new
    one, never an empty one. The new file may be read by those who could read the old one; where
    there was none, by those that the system's umask says.

    Args:
        path: The target; its folder is made if it is not there.
        write: Called with the open file.
        private: Let the owner alone read and write it.

    Raises:
        OSError: The disk is full or the folder can't be written. The old file is whole.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "xb", opener=_open_private if private else None) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if path.exists() and not private:
            beside.chmod(stat.S_IMODE(path.stat().st_mode))
        _rename(beside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        cause = error.__context__ if isinstance(error, RuntimeError) else error  # as torch.save's
        if isinstance(cause, OSError) and cause.errno is not None:
            reason = f"{cause.strerror}; nothing was written, and what was there before is whole"
            raise OSError(cause.errno, reason, str(path)) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text as :func:`write_atomically` does, with the same bytes on every platform."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: Any) -> None:
    """Write a value as a JSON file, a line an entry, as :func:`write_atomically` does.

    Raises:
        ValueError: It holds NaN or infinity, which JSON can't express. Nothing was written.
    """
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def _open_private(name: str, flags: int) -> int:
    return os.open(name, flags, mode=0o600)


def _rename(beside: Path, path: Path) -> None:
    """Rename; Windows refuses while another process, a virus scanner say, has the target open."""
    for wait in (0.01, 0.1, 1):  # seconds
        try:
            beside.replace(path)
            return
        except PermissionError:
            time.sleep(wait)
    beside.replace(path)


@contextlib.contextmanager
def locked(lock: Path, target: Path, *, wait: float = 60) -> Iterator[None]:
    """Hold a lock while a file is changed, so that one process at a time does.

    Args:
        lock: The lock's own file; its folder is made if it is not there.
        target: What is changed under it, to be named where that folder can't be written.
        wait: Seconds to wait for another process; as long as it takes if negative.

    Raises:
        TimeoutError: Another process has held the lock for so long.
        OSError: The folder can't be written.
    """
    held = FileLock(lock, timeout=wait)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire()
    except OSError as error:
        if error.errno is None:  # it waited in vain, and says so
            raise
        reason = f"{error.strerror}; nothing was written"
        raise OSError(error.errno, reason, str(target)) from error
    try:
        yield
    finally:
        held.release()


def remove_leftovers(path: Path) -> None:
    """Delete what killed writers of a file left beside it.

    Call it only while nobody else writes that file.
    """
    left = re.compile(re.escape(f".{path.name}.") + r"[^.]+" + re.escape(PART))
    for beside in path.parent.iterdir():
        if left.fullmatch(beside.name):
            beside.unlink(missing_ok=True)
