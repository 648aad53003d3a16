"""The student edition builds, and nothing of any solution is in any of its files."""

from __future__ import annotations

import html
import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser
from sphinx.search.en import SearchEnglish

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "book" / "student_edition.py"
edition = runpy.run_path(str(SCRIPT))
cut, write_sources = edition["cut"], edition["write_sources"]

TEXT = {".html", ".js", ".json", ".ipynb", ".md", ".txt", ".inv", ".xml", ".css", ".svg"}


def lines(path: Path) -> Iterator[str]:
    """Yield what a notebook says, in cells, outputs and captions, or a file of text."""
    if path.suffix != ".ipynb":
        yield from path.read_text(encoding="utf-8").splitlines()
        return
    for cell in nbformat.read(path, as_version=4).cells:
        yield from cell.source.splitlines()
        yield from json.dumps(cell.metadata, ensure_ascii=False, indent=0).splitlines()
        for output in cell.get("outputs", []):
            yield from output.get("text", "").splitlines()
            for kind, content in output.get("data", {}).items():
                if kind.startswith("text/"):
                    yield from content.splitlines()


def squeezed(text: str) -> str:
    """Leave letters and digits only: markup, escapes and typesetting are no disguise."""
    return re.sub(r"[\W_]+", "", text).lower()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the edition; warnings, dead links among them, are errors."""
    folder = tmp_path_factory.mktemp("student")
    command = [sys.executable, str(SCRIPT), str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-5000:]
    return folder


@pytest.fixture(scope="module")
def secrets(folder: Path) -> set[str]:
    """What only solutions say: every long line of the book that the students' sources lack."""
    kept = "".join(squeezed(line) for path in sources(folder) for line in lines(path))
    everything = {squeezed(line) for path in sources(ROOT) for line in lines(path)}
    return {line for line in everything if len(line) >= 25 and line not in kept}


def sources(root: Path) -> list[Path]:
    return sorted(p for p in (root / "book").glob("*") if p.suffix in (".ipynb", ".md", ".bib"))


def test_what_follows_every_solution_directive_is_cut(secrets: set[str]) -> None:
    first_lines = 0
    opening = re.compile(
        r"^`{3,}\{solution(?:-start)?\}[^\n]*\n(?:\s*:[^\n]*\n|\s*\n|`{3,}\s*\n)*(?P<line>[^\n]+)",
        re.M,
    )
    for path in sources(ROOT):
        if path.stem != "solutions":
            for cell in nbformat.read(path, 4).cells if path.suffix == ".ipynb" else []:
                for found in opening.finditer(cell.source):
                    line = squeezed(found["line"])
                    assert len(line) < 25 or line in secrets, f"{path.name}: {found['line']}"
                    first_lines += 1
    assert first_lines >= 20
    assert len(secrets) > 400


def test_no_file_holds_a_line_of_a_solution(folder: Path, secrets: set[str]) -> None:
    files = [p for p in folder.rglob("*") if p.suffix in TEXT and "_static" not in p.parts]
    assert any(p.suffix == ".ipynb" and "_sources" in p.parts for p in files)
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".ipynb":
            text = " ".join(lines(path)) + json.dumps(nbformat.read(path, 4).metadata)
        elif path.suffix == ".html":
            text = html.unescape(re.sub(r"<[^>]*>", "", text))
        text = squeezed(text)
        leaked = [secret for secret in secrets if secret in text]
        assert not leaked, f"{path.relative_to(folder)} holds {leaked[:3]}"


@pytest.fixture(scope="module")
def entries() -> list[dict[str, Any]]:
    """The exercises that need no program."""
    found = (ROOT / "book" / "exercises").glob("*.json")
    files = sorted(path for path in found if path.stem not in ("messages", "schema"))
    return [entry for path in files for entry in json.loads(path.read_text(encoding="utf-8"))]


def test_no_file_says_which_answer_is_right(folder: Path, entries: list[dict[str, Any]]) -> None:
    assert (folder / "book" / "exercises.ipynb").is_file()
    assert not (folder / "book" / "exercises").exists()
    said = [squeezed(text) for entry in entries for text in (entry["why"], *entry["hints"])]
    assert len(said) > 40
    files = [p for p in folder.rglob("*") if p.suffix in TEXT]
    assert any("_static" in p.parts and p.name == "data.js" for p in files)
    for path in (p for p in files if "_static" not in p.parts or p.parent.name == "answers"):
        text = squeezed(path.read_text(encoding="utf-8", errors="replace"))
        assert not [words for words in said if words in text], path.relative_to(folder)


def test_the_pages_script_keeps_the_hints_and_no_solution(
    folder: Path, entries: list[dict[str, Any]], secrets: set[str]
) -> None:
    data = runpy.run_path(str(ROOT / "book" / "_sphinx" / "answer_data.py"))
    scripts = sorted(folder.rglob("data.js"))
    assert len(scripts) == 2, "one with the sources, one with the pages"
    for script in scripts:
        content = data["unpacked"](script.read_text(encoding="utf-8"))
        kept = [entry for chapter in content["chapters"].values() for entry in chapter]
        assert [entry["hints"] for entry in kept] == [entry["hints"] for entry in entries]
        text = squeezed(json.dumps(content, ensure_ascii=False))
        assert not [entry["name"] for entry in entries if squeezed(entry["why"]) in text]
        # What is said of a wrong answer stays: it is what the reader of that answer needs.
        said = [entry.get("mistakes", entry.get("options")) for entry in kept]
        replies = squeezed(json.dumps(said, ensure_ascii=False))
        assert not [secret for secret in secrets if secret in text and secret not in replies]


def test_exercises_answer_with_hints(folder: Path, browser: Browser) -> None:
    page = browser.new_page()
    page.goto((folder / "_build" / "html" / "book" / "exercises.html").as_uri())
    form = page.locator('.answer-form[data-exercise="rounding"]')
    for answer, reply in {"52.9": "Hint 1 of 3", "58.92": "Right."}.items():
        form.get_by_label("Your answer").fill(answer)
        form.get_by_role("button", name="Check").click()
        assert reply in form.get_by_role("status").inner_text()
    assert form.get_by_role("status").inner_text().strip() == "Right."
    page.close()


def test_search_knows_no_word_that_only_solutions_use(folder: Path) -> None:
    stem = SearchEnglish({}).stem
    words = {
        root: {
            stem(word)
            for path in sources(root)
            for word in re.findall(r"[a-z]{2,}", " ".join(lines(path)).lower())
        }
        for root in (ROOT, folder)
    }
    theirs = {word for word in words[ROOT] - words[folder] if len(word) > 1}
    assert len(theirs) > 50
    index = (folder / "_build" / "html" / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(re.search(r"Search\.setIndex\((.*)\)", index, re.S)[1])
    assert not theirs & (index["terms"].keys() | index["titleterms"].keys())
    assert "book/solutions" not in index["docnames"]


def test_nothing_points_to_the_solutions(folder: Path) -> None:
    assert not list(folder.rglob("solutions*"))
    assert not list(folder.rglob(SCRIPT.name))
    for path in (folder / "_build" / "html").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r'(?:href|src)="[^"]*solutions[."#]', text), path.name
        assert 'class="solution' not in text, path.name
    page = (folder / "_build" / "html" / "book" / "exercises.html").read_text(encoding="utf-8")
    assert "Worked solution" not in page
    assert "Not answered yet" in page  # the exercises themselves are there


def test_the_students_notebooks_use_nothing_that_was_cut(folder: Path) -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    assert ruff, "ruff is not installed beside this Python: see requirements.txt"
    command = [ruff, "check", "--isolated", "--select", "F821", str(folder / "book")]
    result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("text", "left", "inside"),
    [
        ("a\n```{solution} x\n:class: dropdown\n\nb\n```\nc\n", "a\nc\n", False),
        ("a\n````{solution} x\n```python\nb\n```\nc\n````\nd\n", "a\nd\n", False),
        (":::{solution} x\nb\n:::\nc", "c", False),
        ("a\n```{solution-start} x\n:class: dropdown\n```\nb\n", "a\n", True),
        ("a\n```{exercise} x\nb\n```\nc\n", "a\n```{exercise} x\nb\n```\nc\n", False),
        ("| a | 1 |\n| [b](solutions.ipynb) | 2 |\n", "| a | 1 |\n", False),
        ("see [the answer](solutions.ipynb#x) now", "see the answer now", False),
    ],
)
def test_cut(text: str, left: str, inside: bool) -> None:
    assert cut(text, inside=False) == (left, inside)


def test_cut_goes_on_from_cell_to_cell() -> None:
    assert cut("b\n```{solution-end}\n```\nc\n", inside=True) == ("c\n", False)
    with pytest.raises(ValueError, match="has no"):
        list(
            edition["without_solutions"](
                [nbformat.v4.new_markdown_cell("```{solution-start} x\n```")]
            )
        )


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    for name in ("thesis.tex", "_toc.yml"):  # somebody's book, say
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="not empty"):
        write_sources(ROOT, tmp_path)
    with pytest.raises(ValueError, match="course itself"):
        write_sources(ROOT, ROOT)
    assert (tmp_path / "thesis.tex").exists()


def test_an_earlier_student_edition_is_replaced(tmp_path: Path) -> None:
    for _ in range(2):
        write_sources(ROOT, tmp_path / "student")
        assert not (tmp_path / "student" / "old").exists()
        (tmp_path / "student" / "old").touch()
