"""The file that a live figure is made of: plots, controls, arrays and facts, in one script.

Only scripts may be loaded by a page that was opened from a disk, so the data is a call of a
function: ``liveFigures.data({...})``.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure as Plot
from bokeh.settings import settings

from ippy.base.files import write_text
from ippy.base.paths import course_root, output_dir

Control = dict[str, Any]

_HEAD, _TAIL = "liveFigures.data(", ");\n"
_STEPS = 3  # by how much a stored integer may differ between two honest runs
_SHARE = 0.005  # and a stored number, relative to itself


def slider(name: str, label: str, values: Sequence[str], start: int = 0) -> Control:
    """Describe a slider over ``values``; the script is told the chosen one's number."""
    return {"kind": "slider", "name": name, "label": label, "values": [*values], "start": start}


def choice(name: str, label: str, values: Sequence[str], start: int = 0) -> Control:
    """Describe a list to choose from; the script is told the chosen one's number."""
    return {"kind": "choice", "name": name, "label": label, "values": [*values], "start": start}


def switch(name: str, label: str) -> Control:
    """Describe a box to tick, empty at first; the script is told true or false."""
    return {"kind": "switch", "name": name, "label": label, "start": False}


def data_path(name: str) -> Path:
    """Return where the data of the live figure ``name`` is."""
    return course_root() / "book" / "_static" / "interactive" / f"{name}.data.js"


def read(path: Path) -> dict[str, Any]:
    """Read back what :func:`publish` wrote.

    Raises:
        ValueError: The file is not one of ours.
    """
    text = path.read_text(encoding="utf-8")
    if not (text.startswith(_HEAD) and text.endswith(_TAIL)):
        raise ValueError(
            f"{path.name} is no data of a live figure: expected {_HEAD}...). Execute the chapter "
            "that draws the figure to write it again."
        )
    return json.loads(text[len(_HEAD) : -len(_TAIL)])


def publish(
    name: str,
    plots: Mapping[str, Plot],
    controls: Sequence[Control],
    arrays: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
) -> None:
    """Write the data of one live figure, unless the file that is there says the same.

    Two machines do not round alike, so the old file stays where nothing in it differs by more than
    rounding explains, and running a chapter does not touch it.

    Args:
        name: The figure is called ``live-NAME`` in its chapter, its script is ``NAME.js``.
        plots: What a plot shows, in words for a reader who does not see it -> the plot.
        controls: What the reader may move, in order.
        arrays: Name -> numbers for the script, flattened.
        facts: Whatever else the script needs, as JSON.
    """
    document = Document(title=name)
    for plot in plots.values():
        document.add_root(plot)
    for key, values in arrays.items():
        document.add_root(ColumnDataSource({"values": values.ravel()}, name=key))
    settings.compression_level = 9
    content = {
        "name": name,
        "document": _with_plain_ids(document.to_json(deferred=False)),
        "plots": [{"name": plot.name, "shows": words} for words, plot in plots.items()],
        "controls": [*controls],
        "facts": facts,
    }
    content = json.loads(json.dumps(content))  # tuples become lists, as in the file
    path = data_path(name)
    if _alike(_old(path), content):
        return
    text = _HEAD + json.dumps(content, separators=(",", ":")) + _TAIL
    path = output_dir("book/_static/interactive") / path.name
    write_text(path, text)


def _old(path: Path) -> Any:
    """Return what is published, None where that is nothing or cut short."""
    try:
        return read(path)
    except (FileNotFoundError, ValueError):
        return None


def _with_plain_ids(content: Any) -> Any:
    """Number Bokeh's models from 1: its own numbers depend on what was drawn before."""
    numbers: dict[str, str] = {}

    def plain(found: re.Match[str]) -> str:
        return numbers.setdefault(found.group(), f'"p{len(numbers) + 1}"')

    return json.loads(re.sub(r'"p\d{4,}"', plain, json.dumps(content)))


def _alike(old: Any, new: Any) -> bool:
    if isinstance(new, dict) and isinstance(old, dict):
        if new.get("type") == old.get("type") == "ndarray" and "data" in new["array"]:
            return _alike_arrays(old, new)
        return old.keys() == new.keys() and all(_alike(old[key], new[key]) for key in new)
    if isinstance(new, list) and isinstance(old, list):
        return len(old) == len(new) and all(map(_alike, old, new))
    if isinstance(new, float) and isinstance(old, int | float):
        return abs(old - new) <= _SHARE * max(abs(new), 0.01)
    return old == new


def _alike_arrays(old: dict[str, Any], new: dict[str, Any]) -> bool:
    if (old["shape"], old["dtype"]) != (new["shape"], new["dtype"]):
        return False
    a, b = (_numbers(array).astype(np.float64) for array in (old, new))
    if np.dtype(new["dtype"]).kind == "f":
        return np.allclose(a, b, rtol=_SHARE, atol=0.0)
    return bool(np.abs(a - b).max(initial=0) <= _STEPS)


def _numbers(array: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(gzip.decompress(base64.b64decode(array["array"]["data"])), array["dtype"])
