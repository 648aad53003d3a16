"""Where the course, its data and its weights are, on every platform."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

import platformdirs

from ippy.base.checks import check_type


def as_path(value: str | os.PathLike[str], name: str) -> Path:
    """Return an argument, a str or a path, as a path.

    Args:
        value: The argument.
        name: What the caller calls it.
    """
    check_type(name, value, (str, os.PathLike), 'Path("folder/name")')
    return Path(value)


def course_root() -> Path:
    """Return the course's top folder, the one that holds ``_toc.yml``.

    With the editable install of ``requirements.txt`` that is the folder above the package. Set the
    environment variable ``IPPY_COURSE`` to use a course kept elsewhere.

    Raises:
        FileNotFoundError: The folder is not a checkout of the course.
    """
    root = Path(os.environ.get("IPPY_COURSE") or Path(__file__).resolve().parents[2])
    if not (root / "_toc.yml").is_file():
        raise FileNotFoundError(
            f"no course in {root}: expected a folder with _toc.yml in it. Install the package from "
            "a checkout with `pip install -r requirements.txt`, or set the environment variable "
            "IPPY_COURSE to the checkout's folder."
        )
    return root


def data_dir() -> Path:
    """Return ``Mayo/`` in the course: ``train/`` and ``test/``, a folder a patient in each.

    In a course that may only be read and lacks slices, or has those of an older version, it is the
    folder of the user's own where :func:`ippy.data.prepare_mayo` made them.
    """
    shared = course_root() / "Mayo"
    if is_writable(shared) or not (_home().exists() or _own_root.cache_info().currsize):
        return shared
    own = _own_root() / "Mayo"
    theirs, made = (folder / "manifest.json" for folder in (shared, own))
    if not made.is_file():
        return shared
    if all((shared / split).is_dir() for split in ("train", "test")) and (
        not theirs.is_file() or theirs.read_bytes() == made.read_bytes()
    ):
        return shared  # real slices, or by now the same
    return own


def weights_dir() -> Path:
    """Return ``weights/`` in the course: the trained checkpoints and ``manifest.json``."""
    return course_root() / "weights"


def studies_dir() -> Path:
    """Return ``studies/`` in the course: the definitions of studies and their records."""
    return course_root() / "studies"


def output_dir(name: str) -> Path:
    """Return a folder to write to, there already: the course's, or else one of the user's own.

    A course can be one that everybody reads and nobody writes, such as a teacher's installation or
    a read-only mount. Then a line says, once, where the files go instead.

    Args:
        name: The folder's path in the course, e.g. ``"weights/demo"``.
    """
    shared = course_root() / name
    if is_writable(shared):
        return shared
    own = _own_root() / name
    own.mkdir(parents=True, exist_ok=True)
    _say_once(f"{shared} can't be written, so what belongs there is saved in {own}.")
    return own


def is_writable(folder: Path) -> bool:
    """Say whether files can be made in a folder, which is made if it is not there.

    Only trying tells: on Windows, on network drives and for root, permissions say little.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _home() -> Path:
    return platformdirs.user_data_path("ippy", appauthor=False)


@cache
def _own_root() -> Path:
    """Return the user's folder for what the course makes; one for today where there is no home."""
    home = _home()
    return home if is_writable(home) else Path(tempfile.mkdtemp(prefix="ippy-"))


@cache
def _say_once(line: str) -> None:
    print(line)
