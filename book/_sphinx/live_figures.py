"""Sphinx extension: puts the scripts of the live figures into the book.

``book/_static/interactive`` is copied with the other static files; BokehJS comes from the installed
``bokeh``, so that it fits what wrote the figures' data.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import bokeh
from sphinx.application import Sphinx

BOKEHJS = Path(bokeh.__file__).parent / "server" / "static" / "js" / "bokeh.min.js"


def copy_bokehjs(app: Sphinx, error: Exception | None) -> None:
    """Put BokehJS beside the scripts that load it."""
    if error is None and app.builder.format == "html":
        target = Path(app.outdir) / "_static" / "interactive" / BOKEHJS.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(BOKEHJS, target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_css_file("interactive/live.css")
    app.add_js_file("interactive/live.js", loading_method="defer")
    app.connect("build-finished", copy_bokehjs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
