"""Run the chapters from top to bottom, store their outputs, and write how long each took.

    python book/run_chapters.py              # all of them
    python book/run_chapters.py loss_design  # by name

The seconds go into each notebook's metadata; the page ``how_long.md`` is made from those.
"""

from __future__ import annotations

import argparse
import os
import time
from importlib.util import find_spec
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from ippy.base.files import write_text

BOOK = Path(__file__).resolve().parent
PAGE = BOOK / "how_long.md"
CELL_TIMEOUT = 900  # seconds
TEXT = """\
# How long does it take?

Every chapter is a notebook that runs from its first cell to its last. These times were taken when
the outputs that you see were made, on {cores} CPU cores without a GPU. They include the start of
Python and the imports; generating the slices (`python -m ippy prepare`, about a minute, once) comes
before. On a graphics card the cells that train are faster.

| Chapter | Code cells | Outputs checked | Time |
|---|--:|--:|--:|
{rows}
| **all** | **{cells}** | **{checked}** | **{time}** |

*Outputs checked*: `python -m pytest book` runs every notebook again and compares this many stored
outputs with fresh ones, word by word. Pictures are drawn again but not compared, and neither is
what cells print about training and timing.

% only on GitHub
## In the browser, with nothing installed

The rocket above a chapter opens it on Binder or on Colab. Binder has everything, but is slow to
start and to train. On Colab, add a cell at the top and run it first:

```ipython3
!git clone --depth 1 https://github.com/OWNER/REPOSITORY course
%pip install --quiet lpips jupyterquiz accelerate "bokeh<3.10"
import os, sys
os.environ["IPPY_COURSE"] = os.path.abspath("course")
sys.path.insert(0, "course")
```

% end
"""


def run(path: Path) -> None:
    """Run one notebook and store it with its outputs, or leave it as it was if a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    start = time.perf_counter()
    client.execute()
    notebook.metadata["ippy"] = {
        "cores": os.cpu_count(),
        "seconds": round(time.perf_counter() - start),
    }
    write_text(path, nbformat.writes(notebook) + "\n")


def page() -> str:
    """Return the text of ``how_long.md`` for the notebooks as they are stored."""
    contents = (BOOK.parent / "_toc.yml").read_text(encoding="utf-8")
    paths = sorted(BOOK.glob("*.ipynb"), key=lambda path: contents.find(f"book/{path.stem}\n"))
    notebooks = {path: nbformat.read(path, as_version=4) for path in paths}
    measured = {path: n.metadata["ippy"] for path, n in notebooks.items() if "ippy" in n.metadata}
    cells = {path: code_cells(notebooks[path]) for path in measured}
    rows = [
        f"| [{title(notebooks[path])}]({path.name}) | {len(cells[path])} "
        f"| {sum(map(is_checked, cells[path]))} | {spoken(taken['seconds'])} |"
        for path, taken in measured.items()
    ]
    every = [cell for found in cells.values() for cell in found]
    return TEXT.format(
        cores=max(taken["cores"] for taken in measured.values()),
        rows="\n".join(rows),
        cells=len(every),
        checked=sum(map(is_checked, every)),
        time=spoken(sum(taken["seconds"] for taken in measured.values())),
    )


def title(notebook: NotebookNode) -> str:
    """Return a notebook's first heading."""
    lines = notebook.cells[0].source.splitlines()
    return next(line for line in lines if line.startswith("# ")).removeprefix("# ")


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return a notebook's code cells."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_checked(cell: NotebookNode) -> bool:
    """Tell whether a cell has words or a table in its output, and nbval compares them."""
    texts = (
        output.output_type == "stream" or {"text/html", "text/markdown"} & output.data.keys()
        for output in cell.outputs
    )
    return "nbval-ignore-output" not in cell.metadata.get("tags", []) and any(texts)


def spoken(seconds: int) -> str:
    """Return a duration as one says it."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def main() -> None:
    """Run the chapters that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = sorted(path.stem for path in BOOK.glob("*.ipynb"))
    listed = ", ".join(known)
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help=f"one of: {listed}")
    names = parser.parse_args().chapters or known
    if unknown := set(names) - set(known):
        parser.error(f"no chapter {', '.join(sorted(unknown))}; there are: {listed}")
    for name in names:
        print(name, end=" ", flush=True)
        if name == "deepinv" and find_spec(name) is None:
            print("is left as it is: deepinv is not installed")
            continue
        start = time.perf_counter()
        run(BOOK / f"{name}.ipynb")
        print(spoken(round(time.perf_counter() - start)))
    write_text(PAGE, page())


if __name__ == "__main__":
    main()
