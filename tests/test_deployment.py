"""What runs elsewhere: the workflows, Binder, and the buttons that lead there."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

WORKFLOWS = sorted((Path(__file__).resolve().parent.parent / ".github" / "workflows").glob("*.yml"))
LINKS = Path("book", "_sphinx", "repository_links.py")


@pytest.fixture
def theme_options(root: Path, monkeypatch: pytest.MonkeyPatch):
    """Return what the theme is told in a given environment."""
    add_buttons = runpy.run_path(str(root / LINKS))["add_buttons"]

    def told(**environment: str) -> dict:
        for name in [name for name in os.environ if name.startswith("GITHUB_")]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        config = SimpleNamespace(html_theme_options={"use_fullscreen_button": True})
        add_buttons(None, config)
        return config.html_theme_options

    return told


def test_a_local_build_has_no_buttons_that_lead_nowhere(theme_options, html: Path) -> None:
    assert theme_options() == {"use_fullscreen_button": True}
    for path in (html / "book").glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"mybinder|colab\.research|github\.com/OWNER", text), path.name


def test_a_build_on_github_leads_to_its_repository(theme_options) -> None:
    options = theme_options(GITHUB_REPOSITORY="someone/course", GITHUB_REF_NAME="main")
    assert options["repository_url"] == "https://github.com/someone/course"
    assert options["use_edit_page_button"] and options["launch_buttons"]["binderhub_url"]
    assert options["use_fullscreen_button"], "what was set before is kept"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_is_valid(workflow: Path) -> None:
    check = shutil.which("check-jsonschema", path=sysconfig.get_path("scripts"))
    assert check, "check-jsonschema is not installed beside this Python: see requirements.txt"
    command = [check, "--builtin-schema", "vendor.github-workflows", str(workflow)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_there_are_workflows() -> None:
    assert {path.stem for path in WORKFLOWS} == {"test", "deploy"}


def steps_of(workflow: dict) -> str:
    """Return all commands of a workflow's jobs."""
    steps = [step for job in workflow["jobs"].values() for step in job.get("steps", ())]
    return "\n".join(step.get("run", "") for step in steps)


def test_publishing_waits_for_the_tests(root: Path) -> None:
    folder = root / ".github" / "workflows"
    deploy = yaml.safe_load((folder / "deploy.yml").read_text(encoding="utf-8"))
    tests = deploy["jobs"]["test"]["uses"]
    assert (root / tests).samefile(folder / "test.yml")
    publishing = [name for name, job in deploy["jobs"].items() if "environment" in job]
    assert publishing and all(deploy["jobs"][name]["needs"] == "test" for name in publishing)


def test_the_workflow_tests_what_the_readme_promises(root: Path) -> None:
    path = root / ".github" / "workflows" / "test.yml"
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    commands, jobs = steps_of(workflow), workflow["jobs"]
    for command in ("ruff check .", "lint-imports", "make test", "python -m pytest"):
        assert re.search(rf"^{re.escape(command)}", commands, re.MULTILINE), command
    assert jobs["linux"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert jobs["elsewhere"]["strategy"]["matrix"]["os"] == ["windows-latest", "macos-latest"]


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
@pytest.mark.parametrize(
    ("before", "said", "installs", "clears", "without_gpu"),
    [
        (None, "", True, False, False),
        (None, "CPU=yes", True, True, True),
        (".ready", "", False, False, False),
        (".ready", "CPU=yes", True, True, True),
        (".ready-cpu", "", False, False, False),
        (".ready-cpu", "CPU=yes", False, False, False),
        (".ready-cpu", "CPU=no", True, True, False),
    ],
)
def test_an_environment_stays_with_or_without_gpu_parts_until_told_otherwise(
    root: Path,
    tmp_path: Path,
    before: str | None,
    said: str,
    installs: bool,
    clears: bool,
    without_gpu: bool,
) -> None:
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(root / name, tmp_path)
    if before:
        (tmp_path / ".venv").mkdir()
        (tmp_path / ".venv" / before).touch()
    command = ["make", "-n", "book", *said.split()]
    environment = os.environ | {"CPU": "x86_64", "MAKEFLAGS": ""}  # as some systems set it
    plan = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "jupyter-book build" in plan
    assert ("-m venv" in plan and "-m pip install" in plan) == installs
    assert ("-m venv --clear" in plan) == clears
    binder = (root / "binder" / "requirements.txt").read_text(encoding="utf-8")
    index = re.search("^--extra-index-url .*$", binder, re.MULTILINE)[0]
    assert (f"{index} -r requirements.txt" in plan) == without_gpu
