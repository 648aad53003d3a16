"""Pages that open quickly: less markup and fewer scripts, pictures when they come into view."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from IPython.lib.lexers import IPython3Lexer
from PIL import Image
from pygments.filter import Filter
from pygments.lexer import Lexer
from pygments.lexers.python import PythonLexer
from pygments.token import Name, Punctuation, Text, Whitespace, _TokenType
from sphinx.application import Sphinx

CSS_PIXELS_PER_INCH = 96
IMAGE = re.compile(
    r'<img (?P<before>[^>]*?)src="(?P<url>[^"]*_images/(?P<name>[^"]+\.png))"'
    r"(?P<after>[^>]*?)\s*/?>"
)
FIRST = "documentation_options.js", "doctools.js", "sphinx_highlight.js"  # others call these


class Uncoloured(Filter):
    """Leaves out the markup of plain names, brackets and blanks, which have the text's colour."""

    def filter(
        self, lexer: Lexer | None, stream: Iterator[tuple[_TokenType, str]]
    ) -> Iterator[tuple[_TokenType, str]]:
        """Yield the tokens with those three kinds made ordinary text."""
        for kind, text in stream:
            yield (Text if kind in (Name, Punctuation, Whitespace, Text.Whitespace) else kind), text


class Python(PythonLexer):
    """Python in half as much HTML."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_filter(Uncoloured())


class Notebook(IPython3Lexer):
    """A notebook's Python in half as much HTML."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_filter(Uncoloured())


def lighten(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Leave out what a page does not use, and let it be read before its scripts have run."""
    context["script_files"] = [script for script in context["script_files"] if not thebe(script)]
    context["css_files"] = [sheet for sheet in context["css_files"] if not thebe(sheet)]
    for script in context["script_files"]:
        name = str(script.filename or "")
        if name and not name.endswith(FIRST):
            script.attributes["defer"] = "defer"
    if "body" in context:
        body = context["body"].replace('role="list" class="citation-list"', 'class="citation-list"')
        context["body"] = sized(body, app)  # the entries above are no list items to a screen reader


def thebe(asset: Any) -> bool:
    """Tell whether a script or a style sheet serves live cells, which this book does not have."""
    body = getattr(asset, "attributes", {}).get("body") or ""
    return "sphinx-thebe" in str(asset.filename) or "THEBE_JS_URL" in body


def sized(body: str, app: Sphinx) -> str:
    """Give pictures their size in inches, a late start, and a link that enlarges them.

    A dense PNG would be drawn large without a size, and the page would jump when it comes late.
    All but the first load when they come near; the link serves readers with a small screen.
    """
    sources = {name: Path(app.srcdir, path) for path, name in app.builder.images.items()}
    seen = 0

    def with_size(match: re.Match[str]) -> str:
        nonlocal seen
        seen += 1
        with Image.open(sources[match["name"]]) as picture:
            scale = CSS_PIXELS_PER_INCH / picture.info.get("dpi", (CSS_PIXELS_PER_INCH,))[0]
            width, height = (round(side * scale) for side in picture.size)
        late = "" if seen == 1 else ' loading="lazy"'
        attributes = f'{match["before"]}src="{match["url"]}"{match["after"]}'
        image = f'<img {attributes} width="{width}" height="{height}"{late} />'
        return f'<a class="enlarge" href="{match["url"]}">{image}</a>'

    return IMAGE.sub(with_size, body)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect everything to Sphinx."""
    app.add_lexer("python", Python)
    app.add_lexer("ipython3", Notebook)
    app.connect("html-page-context", lighten, priority=900)  # after those who add scripts
    return {"parallel_read_safe": True, "parallel_write_safe": True}
