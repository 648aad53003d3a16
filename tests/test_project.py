"""The project's promises about itself: its style, its layers, its pins, its table of contents."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml

LINT_IMPORTS = "from importlinter.cli import lint_imports_command as lint; lint()"


def check_contracts(folder: Path) -> subprocess.CompletedProcess:
    """Hold the package ``ippy`` in a folder to the contracts of the pyproject.toml beside it."""
    command = [sys.executable, "-c", LINT_IMPORTS, "--no-logo", "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONUTF8": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8"
    )


def test_what_takes_seconds_to_import_waits_until_it_is_used(root: Path) -> None:
    code = "import sys, ippy.__main__; print({'torchvision', 'scipy.stats'} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert result.stdout == "set()\n", result.stdout + result.stderr


@pytest.fixture
def copied(root: Path, tmp_path: Path) -> Path:
    """A copy of the package and its contracts that a test may break."""
    shutil.copytree(root / "ippy", tmp_path / "ippy", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_package_keeps_the_import_contracts(root: Path) -> None:
    result = check_contracts(root)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        ("operators/linear.py", "import ippy.models", "operators is not allowed to import"),
        ("data/slices.py", "from ippy.models import build", "data is not allowed to import"),
        ("base/paths.py", "from ippy import quality", "base is not allowed to import"),
        ("operators/linear.py", "from ippy.operators import blurring", "data flows one way BROKEN"),
        ("unplaced/__init__.py", "", "ippy.unplaced"),
    ],
)
def test_a_wrong_import_or_an_unplaced_folder_breaks_a_contract(
    copied: Path, file: str, line: str, fault: str
) -> None:
    path = copied / "ippy" / file
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as text:
        text.write(f"\n{line}\n")
    result = check_contracts(copied)
    assert result.returncode == 1, result.stdout + result.stderr
    assert fault in result.stdout


def test_code_and_notebooks_keep_the_style(root: Path) -> None:
    ruff = shutil.which("ruff", path=sysconfig.get_path("scripts"))
    assert ruff, "ruff is not installed beside this Python: see requirements.txt"
    result = subprocess.run([ruff, "check", "."], cwd=root, capture_output=True, encoding="utf-8")
    assert result.returncode == 0, result.stdout + result.stderr


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


def test_the_citation_is_valid_and_of_this_version(root: Path) -> None:
    check = shutil.which("check-jsonschema", path=sysconfig.get_path("scripts"))
    assert check, "check-jsonschema is not installed beside this Python: see requirements.txt"
    path = root / "CITATION.cff"
    command = [check, "--builtin-schema", "vendor.citation-file-format", str(path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    citation = yaml.safe_load(path.read_text(encoding="utf-8"))
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert str(citation["version"]) == project["version"]
    assert citation["authors"] == project["authors"]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_what_a_page_points_to_is_there(root: Path, name: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target]
    for target in targets:
        assert (root / target).exists(), f"{name} points to {target}"
    for command in re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE):
        assert f"\n{command}:" in (root / "Makefile").read_text(encoding="utf-8"), command


def test_the_readme_lists_the_folders_of_the_package_as_the_contract_does(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^([a-z_]+)(?:/|\.py) ", text.split("Inside `ippy/`")[1], re.MULTILINE)
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    floors = {name: floor for floor, row in enumerate(layers) for name in row.split(" | ")}
    assert sorted(listed) == sorted(floors)
    assert [floors[name] for name in listed] == sorted(floors.values(), reverse=True)
