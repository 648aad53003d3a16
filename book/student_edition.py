"""Build the book without its solutions: ``python book/student_edition.py``.

The sources are copied to ``_build/student`` and everything that solves an exercise is cut out of
the copy: the notebook of solutions, the page for teachers, the files that ``check`` judges answers
by, the solution blocks of the chapters with the cells between their ends, cells tagged
``solution``, and links to what is gone. So nothing is left for the pages, the search
index or the downloads to show. Exercises still answer on their page: what it judges by is in one
script, encoded, with the hints and without what is said of a right answer. The book itself is not
touched.
"""

from __future__ import annotations

import argparse
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = "solutions", "instructor"  # pages
ANSWERS = "exercises"  # the folder that is left out, of what is right and what is said of the rest
TAG = "solution"  # of cells that speak about solutions
MARK = ".student-edition"  # a file in a folder that may be replaced

FENCE = re.compile(r"^(?P<fence>`{3,}|:{3,})\s*(?:\{(?P<directive>[\w-]+)\})?")
LINK = re.compile(
    rf"\[(?P<text>[^\]]*)\]\((?:[\w./]*/)?(?:{'|'.join(LEFT_OUT)})\.(?:ipynb|html|md)[^)]*\)"
)


def main(arguments: list[str] | None = None) -> int:
    """Write the student's sources, build them, and say where the pages are."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n")[0])
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=ROOT / "_build" / "student",
        help="where to build (default: _build/student); what is there is replaced",
    )
    folder = parser.parse_args(arguments).folder.resolve()
    write_sources(ROOT, folder)
    builder = shutil.which("jupyter-book", path=sysconfig.get_path("scripts")) or "jupyter-book"
    command = [builder, "build", str(folder), "--all", "-n", "-W", "--keep-going"]
    result = subprocess.run(command, cwd=folder, check=False)  # where _config.yml's paths begin
    if result.returncode == 0:
        print("Open", (folder / "_build" / "html" / "index.html").as_uri())
    return result.returncode


def write_sources(root: Path, folder: Path) -> None:
    """Copy the book's sources without the solutions.

    Args:
        root: The course, with ``_config.yml``, ``_toc.yml`` and ``book/``.
        folder: Where to; an older copy there is replaced.

    Raises:
        ValueError: ``folder`` holds something else.
    """
    if folder == root or folder in root.parents:
        raise ValueError(f"{folder} holds the course itself; name another folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise ValueError(f"{folder} is not empty and no earlier student edition; name another one")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    pages = [f"{name}.*" for name in LEFT_OUT]
    ignored = shutil.ignore_patterns(*pages, ANSWERS, "__pycache__", ".*", Path(__file__).name)
    shutil.copytree(root / "book", folder / "book", ignore=ignored)
    data = runpy.run_path(str(root / "book" / "_sphinx" / "answer_data.py"))
    script = data["packed"](data["without_reasons"](data["collect"](root / "book")))
    (folder / "book" / data["SCRIPT"]).write_text(script, encoding="utf-8", newline="\n")
    shutil.copy(root / "_config.yml", folder)
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    for part in toc["parts"]:
        part["chapters"] = [c for c in part["chapters"] if Path(c["file"]).name not in LEFT_OUT]
    text = yaml.safe_dump(toc, sort_keys=False, allow_unicode=True)
    (folder / "_toc.yml").write_text(text, encoding="utf-8")
    for path in sorted((folder / "book").rglob("*")):
        if path.suffix == ".ipynb":
            notebook = nbformat.read(path, as_version=4)
            notebook.cells = list(without_solutions(notebook.cells))
            nbformat.write(notebook, path)
        elif path.suffix == ".md":
            text, _ = cut(path.read_text(encoding="utf-8"), inside=False)
            path.write_text(text, encoding="utf-8", newline="\n")


def without_solutions(cells: list[NotebookNode]) -> Iterator[NotebookNode]:
    """Yield the cells that a student gets, with the solutions cut out of their text.

    Raises:
        ValueError: A ``solution-start`` is never closed: everything after it would be gone.
    """
    inside = False  # between solution-start and solution-end
    for cell in cells:
        if cell.cell_type == "markdown":
            text, inside = cut(cell.source, inside=inside)
            if text.strip() and TAG not in cell.metadata.get("tags", []):
                cell.source = text.strip()
                yield cell
        elif not inside:
            yield cell
    if inside:
        raise ValueError("a {solution-start} has no {solution-end}")


def cut(text: str, *, inside: bool) -> tuple[str, bool]:
    """Cut the solutions out of Markdown.

    Args:
        text: The Markdown of a page or of a cell.
        inside: Whether it begins between ``solution-start`` and ``solution-end``.

    Returns:
        What is left, and whether it ends between the two.
    """
    kept = []
    closing = ""  # the fence that ends the directive being cut
    for line in text.splitlines(keepends=True):
        fence = FENCE.match(line)
        directive = fence["directive"] if fence else None
        if closing:
            ends = line.strip() and set(line.strip()) == {closing[0]}
            if ends and len(line.strip()) >= len(closing):
                closing = ""
        elif fence and directive in ("solution", "solution-start", "solution-end"):
            closing = fence["fence"]
            inside = directive == "solution-start" or (inside and directive == "solution")
        elif not inside and not (line.startswith("|") and LINK.search(line)):  # a row of a table
            kept.append(LINK.sub(lambda link: link["text"], line))
    return "".join(kept), inside


if __name__ == "__main__":
    sys.exit(main())
