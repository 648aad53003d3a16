"""What a page needs to judge answers: ``book/exercises`` as a script that nobody reads by accident.

It is in base64. Whoever wants to can decode it, as whoever wants to can try all four letters: a
page that judges without a server must know what is right.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

SCRIPT = Path("_static", "answers", "data.js")  # all that a student's edition has
TEXT = 'var courseAnswers = "{}";\n'


def collect(book: Path) -> dict[str, Any]:
    """Return the exercises without code by chapter, and the words that all of them share.

    Args:
        book: The folder of the chapters. Where it has no ``exercises/``, the script is read.
    """
    if not (book / "exercises").is_dir():
        return unpacked((book / SCRIPT).read_text(encoding="utf-8"))
    files = sorted(book.glob("exercises/*.json"))
    read = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}
    messages = read.pop("messages")
    del read["schema"]
    return {"messages": messages, "chapters": read}


def without_reasons(content: dict[str, Any]) -> dict[str, Any]:
    """Return what students get: the hints, without what the solutions say of a right answer."""
    chapters = {
        name: [{key: entry[key] for key in entry if key != "why"} for entry in entries]
        for name, entries in content["chapters"].items()
    }
    return content | {"chapters": chapters}


def packed(content: dict[str, Any]) -> str:
    """Return the script."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return TEXT.format(base64.b64encode(text.encode()).decode())


def unpacked(script: str) -> dict[str, Any]:
    """Return what a script of :func:`packed` holds."""
    return json.loads(base64.b64decode(re.search('"(.*)"', script)[1]))
