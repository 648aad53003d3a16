"""The committed notebooks: all cells run, clean outputs, figures that say what they show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

BOOK = Path(__file__).resolve().parents[2] / "book"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
IMAGES = {"image/png", "image/jpeg", "image/svg+xml"}
COMMENT_MARKERS = re.compile(r"^\s*#\s*(NBVAL_\w+|PYTEST_VALIDATE_IGNORE_OUTPUT)\s*$", re.MULTILINE)
LONGEST, LONGEST_HIDDEN = 30, 60  # lines of a cell whose code is seen, and is not
WIDEST = 78  # characters that a page shows beside its contents in a window of 1280 pixels
FORBIDDEN_TAGS = {"nbval-skip", "nbval-raises-exception", "raises-exception"}
UNCLEAN = {
    "a warning": re.compile(r"\b\w*Warning\b"),
    "a traceback": re.compile(r"\bTraceback\b"),
    "a path of one machine": re.compile(
        r"(?<![\w.:/])/(?:home|root|work|tmp|Users|usr|opt|mnt|private|var)/|\b[A-Za-z]:\\{1,2}\w"
    ),
    "an installed package's path": re.compile(r"site-packages"),
}

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def images(cell: NotebookNode) -> int:
    return sum(bool(IMAGES & output.get("data", {}).keys()) for output in cell.outputs)


def texts(cell: NotebookNode) -> Iterator[str]:
    """Yield what the cell's outputs say in words, streams and text-like formats alike."""
    for output in cell.outputs:
        yield output.get("text", "")
        for kind, content in output.get("data", {}).items():
            if kind not in IMAGES:
                yield content if isinstance(content, str) else repr(content)


def where(path: Path, cell: NotebookNode) -> str:
    first_line = (cell.source.strip().splitlines() or ["(empty)"])[0]
    return f"{path.name}, cell [{cell.execution_count}] {first_line!r}"


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS, f"no notebook in {BOOK}"


@each_notebook
def test_every_cell_was_run_in_order(path: Path) -> None:
    cells = code_cells(read(path))
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(1, len(cells) + 1)), (
        f"{path.name}: run all cells in a fresh kernel (make notebooks), the counts are {counts}"
    )
    for cell in cells:
        assert cell.source.strip(), f"{where(path, cell)}: an empty cell"


@each_notebook
def test_outputs_are_clean(path: Path) -> None:
    for cell in code_cells(read(path)):
        kinds = {output.output_type for output in cell.outputs}
        streams = {output.get("name") for output in cell.outputs}
        assert "error" not in kinds, f"{where(path, cell)}: an error"
        assert "stderr" not in streams, f"{where(path, cell)}: output on stderr"
        for text in texts(cell):
            for what, pattern in UNCLEAN.items():
                found = pattern.search(text)
                assert not found, f"{where(path, cell)}: {what}, {found.group()!r}"


@each_notebook
def test_figures_have_caption_name_and_alt_text(path: Path) -> None:
    for cell in code_cells(read(path)):
        if not images(cell):
            continue
        options = cell.metadata.get("mystnb", {})
        figure, image = options.get("figure", {}), options.get("image", {})
        assert images(cell) == 1, f"{where(path, cell)}: one figure a cell, this has {images(cell)}"
        for name, value in {
            "mystnb.figure.caption": figure.get("caption"),
            "mystnb.figure.name": figure.get("name"),
            "mystnb.image.alt": image.get("alt"),
        }.items():
            assert value and value.strip(), f"{where(path, cell)}: the metadata lacks {name}"


@each_notebook
def test_metadata_is_plain(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "jupytext" not in notebook.metadata, "the notebook is the source, not a pair of one"
    assert "widgets" not in notebook.metadata, "widget state would be shown and never updated"


@each_notebook
def test_nothing_escapes_the_judge(path: Path) -> None:
    for cell in code_cells(read(path)):
        assert not tags(cell) & FORBIDDEN_TAGS, f"{where(path, cell)}: {tags(cell)}"
        assert not COMMENT_MARKERS.search(cell.source), (
            f"{where(path, cell)}: tell nbval by a tag in the cell's metadata, not by a comment"
        )


@each_notebook
def test_cells_fit_on_a_screen(path: Path) -> None:
    for cell in code_cells(read(path)):
        hidden = tags(cell) & {"hide-input", "remove-input"}
        most, length = LONGEST_HIDDEN if hidden else LONGEST, len(cell.source.splitlines())
        assert length <= most, (
            f"{where(path, cell)}: {length} lines, at most {most}: "
            "what draws or is needed twice belongs into ippy.chapter"
        )


def shown_code(cell: NotebookNode) -> Iterator[str]:
    """Yield the lines of a cell's own code and of the source that it displays."""
    yield from cell.source.splitlines()
    yield from displayed_source(cell)


def displayed_source(cell: NotebookNode) -> Iterator[str]:
    """Yield the lines of ippy's source that a cell displays."""
    for output in cell.outputs:
        yield from output.get("data", {}).get("text/markdown", "").splitlines()


@each_notebook
def test_lines_of_code_fit_in_the_column(path: Path) -> None:
    for cell in code_cells(read(path)):
        for line in shown_code(cell):
            assert len(line) <= WIDEST, (
                f"{where(path, cell)}: {len(line)} characters, at most {WIDEST}: {line!r}"
            )


@each_notebook
def test_displayed_code_holds_no_argument_checks(path: Path) -> None:
    for cell in code_cells(read(path)):
        for line in displayed_source(cell):
            assert "check_" not in line and "@entry" not in line, f"{where(path, cell)}: {line!r}"


def test_at_most_a_quarter_of_the_cells_is_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [cell for path in NOTEBOOKS for cell in code_cells(read(path))]
    ignored = [cell for cell in cells if "nbval-ignore-output" in tags(cell)]
    with capsys.disabled():
        print(f"\nnbval ignores the outputs of {len(ignored)} of {len(cells)} code cells ", end="")
    assert 4 * len(ignored) <= len(cells)
