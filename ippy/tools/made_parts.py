"""Pages of Markdown of which a script writes some parts, and the rest is written by hand.

A part stands between ``<!-- NAME: SCRIPT writes this -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from ippy.base.files import write_text

PART = re.compile(
    r"<!-- (?P<name>[\w ]+): (?P<script>.*?) writes this -->\n.*?<!-- end -->", re.DOTALL
)


def remade(page: Path, make: Callable[[str], str]) -> str:
    """Return the text of a page with its parts made again.

    Args:
        page: The file.
        make: Returns the text of a part, given its name.
    """

    def part(found: re.Match[str]) -> str:
        name, script = found["name"], found["script"]
        return f"<!-- {name}: {script} writes this -->\n\n{make(name)}\n\n<!-- end -->"

    return PART.sub(part, page.read_text(encoding="utf-8"))


def rewrite(page: Path, text: str) -> None:
    """Write a page, whole or not at all, and say so."""
    write_text(page, text)
    sys.stdout.write(f"wrote {page.name}\n")
