"""The judge is judged: nbval passes a committed chapter and fails it with one number changed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = ROOT / "book" / "introduction.ipynb"
NUMBER = re.compile(r"\d+\.\d+")


def nbval(notebook: NotebookNode, path: Path) -> subprocess.CompletedProcess[str]:
    """Run the project's own pytest settings on one notebook in a folder of its own."""
    nbformat.write(notebook, path)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml")]
    command += ["-p", "no:cacheprovider", f"--rootdir={path.parent}", "--color=no", str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")


def change_last_digit(number: str) -> str:
    return number[:-1] + str((int(number[-1]) + 1) % 10)


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def words(output: NotebookNode) -> tuple[NotebookNode, str]:
    """Return where an output keeps its plain text: the holder and the key."""
    return (output, "text") if "text" in output else (output.get("data", {}), "text/plain")


def has_number(output: NotebookNode) -> bool:
    holder, key = words(output)
    return NUMBER.search(holder.get(key, "")) is not None


def change_one_number(cell: NotebookNode) -> None:
    """Change the last digit of the first decimal number in the cell's outputs."""
    holder, key = words(next(filter(has_number, cell.outputs)))
    holder[key] = NUMBER.sub(lambda found: change_last_digit(found.group()), holder[key], count=1)


def small(source: str, output: NotebookNode) -> NotebookNode:
    cell = nbformat.v4.new_code_cell(source, execution_count=1, outputs=[output])
    return nbformat.v4.new_notebook(cells=[cell])


def printed() -> NotebookNode:
    return small("print(f'{27.5934:.2f} dB')", nbformat.v4.new_output("stream", text="27.59 dB\n"))


def shown() -> NotebookNode:
    data = {"text/plain": "0.9277"}
    return small("0.9277", nbformat.v4.new_output("execute_result", data=data, execution_count=1))


def chapter() -> NotebookNode:
    """Return the introduction up to its first checked cell that shows a decimal number."""
    notebook = nbformat.read(CHAPTER, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "needs-features" not in tags(cell)]
    for index, cell in enumerate(notebook.cells):
        checked = "nbval-ignore-output" not in tags(cell)
        if checked and any(map(has_number, cell.get("outputs", []))):
            notebook.cells = notebook.cells[: index + 1]
            return notebook
    raise AssertionError(f"no checked cell of {CHAPTER.name} shows a decimal number")


@pytest.mark.parametrize("make", [printed, shown, chapter])
def test_one_changed_number_fails(make: Callable[[], NotebookNode], tmp_path: Path) -> None:
    notebook = make()
    honest = nbval(notebook, tmp_path / "honest.ipynb")
    assert honest.returncode == 0, honest.stdout + honest.stderr

    change_one_number(notebook.cells[-1])
    changed = nbval(notebook, tmp_path / "changed.ipynb")
    assert changed.returncode == pytest.ExitCode.TESTS_FAILED, changed.stdout + changed.stderr
    assert "Cell outputs differ" in changed.stdout
