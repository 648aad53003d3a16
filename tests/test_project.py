"""The project's promises about itself: its layers, its pins, its table of contents."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from pathlib import Path

import pytest

LAYERS = [
    "base", "operators", "problems", "data", "models", "weights", "quality", "train", "tools",
    "chapter", "exercises", "__main__",
]  # fmt: skip


def imported_layers(path: Path) -> set[str]:
    """Return the modules of ippy that a file imports, by the name of their layer."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "ippy":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.removeprefix("ippy.").split(".")[0] for name in names} & set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_file_imports_only_from_files_above_it(root: Path, layer: str) -> None:
    package = root / "ippy"
    path = package / f"{layer}.py"
    for file in [path] if path.exists() else sorted((package / layer).glob("*.py")):
        below = imported_layers(file) - set(LAYERS[: LAYERS.index(layer)]) - {layer}
        assert not below, f"{file.name} imports {sorted(below)}, which are not above it"


def test_every_file_has_its_layer(root: Path) -> None:
    files = {path.stem for path in (root / "ippy").iterdir() if not path.name.startswith("__pyc")}
    assert files - {"__init__"} <= set(LAYERS), "say in LAYERS what the new file may import"


def test_requirements_are_pinned_and_end_with_the_course_itself(root: Path) -> None:
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    assert lines.pop() == "-e ."
    for line in lines:
        name, version = re.fullmatch(r"([\w.-]+)==([\w.+-]+)", line).groups()
        installed = importlib.metadata.version(name).split("+")[0]
        assert installed == version, f"{name} {installed} is installed, {version} is pinned"


def test_contents_list_every_chapter(root: Path) -> None:
    contents = (root / "_toc.yml").read_text(encoding="utf-8")
    for path in sorted((root / "book").glob("*.ipynb")):
        assert f"book/{path.stem}\n" in contents, f"{path.name} is not in _toc.yml"
