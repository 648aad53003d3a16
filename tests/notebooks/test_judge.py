"""The judge is judged: nbval passes a committed chapter and fails it with one number changed."""

from __future__ import annotations

import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = ROOT / "book" / "introduction.ipynb"
NUMBER = re.compile(r"\d+\.\d+")


def nbval(notebooks: dict[str, NotebookNode], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the project's own pytest settings on notebooks in a folder of their own."""
    for name, notebook in notebooks.items():
        nbformat.write(notebook, folder / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-rA"]
    command += ["-p", "no:cacheprovider", f"--rootdir={folder}", "--color=no", str(folder)]
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


def with_one_number_changed(notebook: NotebookNode) -> NotebookNode:
    """Return a copy with the last digit of the last cell's first decimal number changed."""
    changed = deepcopy(notebook)
    holder, key = words(next(filter(has_number, changed.cells[-1].outputs)))
    holder[key] = NUMBER.sub(lambda found: change_last_digit(found.group()), holder[key], count=1)
    return changed


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


def test_one_changed_number_fails(tmp_path: Path) -> None:
    notebooks = {"printed": printed(), "shown": shown()}  # the whole chapter is run by nbval, too
    for make in (printed, shown, chapter):
        notebooks[f"{make.__name__}-changed"] = with_one_number_changed(make())
    result = nbval(notebooks, tmp_path)
    said = result.stdout + result.stderr
    assert result.returncode == pytest.ExitCode.TESTS_FAILED, said
    told = re.findall(r"^(\w+) (?:\S*/)?([\w-]+)\.ipynb::Cell (\d+)", result.stdout, re.M)
    for name, notebook in notebooks.items():
        cells = sum(cell.cell_type == "code" for cell in notebook.cells)
        expected = dict.fromkeys(map(str, range(cells)), "PASSED")
        if name.endswith("changed"):
            expected[str(cells - 1)] = "FAILED"
        assert {cell: outcome for outcome, which, cell in told if which == name} == expected, said
    assert said.count("Cell outputs differ") >= 3, said
