"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

PART = ".part"  # a file being written is .<name>.<random>.part beside its target


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file beside its place and rename it into it, so that a crash leaves the old one.

    What was written is on the disk before the rename: a power cut leaves the old file or the new
    one, never an empty one.

    Args:
        path: The target; its folder is made if it is not there.
        write: Called with the open file.

    Raises:
        OSError: The disk is full or the folder can't be written. The old file is whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(0o644)  # a temporary file is readable by its owner alone
        _rename(beside, path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        cause = error.__context__ if isinstance(error, RuntimeError) else error  # as torch.save's
        if isinstance(cause, OSError) and cause.errno is not None:
            reason = f"{cause.strerror}; nothing was written, and what was there before is whole"
            raise OSError(cause.errno, reason, str(path)) from error
        raise


def _rename(beside: Path, path: Path) -> None:
    """Rename; Windows refuses while another process, a virus scanner say, has the target open."""
    for wait in (0.01, 0.1, 1):  # seconds
        try:
            beside.replace(path)
            return
        except PermissionError:
            time.sleep(wait)
    beside.replace(path)


def remove_leftovers(path: Path) -> None:
    """Delete what killed writers of a file left beside it.

    Call it only while nobody else writes that file.
    """
    left = re.compile(re.escape(f".{path.name}.") + r"[^.]+" + re.escape(PART))
    for beside in path.parent.iterdir():
        if left.fullmatch(beside.name):
            beside.unlink(missing_ok=True)
