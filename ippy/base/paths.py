"""Where the course, its data and its weights are, on every platform."""

from __future__ import annotations

import os
from pathlib import Path

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
    """Return ``Mayo/`` in the course: ``train/`` and ``test/``, a folder a patient in each."""
    return course_root() / "Mayo"


def weights_dir() -> Path:
    """Return ``weights/`` in the course: the trained checkpoints and ``manifest.json``."""
    return course_root() / "weights"
