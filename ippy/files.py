"""Files that are written whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file beside its place and rename it into it, so that a crash leaves the old one.

    Args:
        path: The target; its folder is made if it is not there.
        write: Called with the open file.

    Raises:
        OSError: The disk is full or the folder can't be written. The old file is whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        prefix=f".{path.name}.", dir=path.parent, delete=False
    ) as file:
        beside = Path(file.name)
        try:
            write(file)
        except BaseException:
            file.close()
            beside.unlink(missing_ok=True)
            raise
    beside.chmod(0o644)  # a temporary file is readable by its owner alone
    beside.replace(path)
