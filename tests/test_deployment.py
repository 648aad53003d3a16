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


def test_binder_has_the_pinned_versions_and_a_torch_without_gpu(root: Path) -> None:
    lines = (root / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    assert lines[0] == "--extra-index-url https://download.pytorch.org/whl/cpu"
    pinned = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert set(lines[1:]) <= set(pinned)
    if os.name != "nt":
        assert os.access(root / "binder" / "postBuild", os.X_OK)


def test_the_vendored_style_sheet_is_the_typesetters_own(root: Path) -> None:
    from sphinxcontrib import katex

    folder = root / "book" / "_static" / "katex"
    style = (folder / "katex.min.css").read_text(encoding="utf-8")
    assert f'content:"{katex.katex_version}"' in style
    for font in re.findall(r"url\(([^)]+)\)", style):
        assert (folder / font).is_file(), font
