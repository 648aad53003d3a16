"""The book builds without a warning, and its pages are whole and need no other host."""

from __future__ import annotations

import re
import runpy
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """Collects what a page loads, its images' alternative texts and where it links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.redirect = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img":
            self.images.append(values)
        if tag == "meta" and (values.get("http-equiv") or "").lower() == "refresh":
            self.redirect = values.get("content") or ""
        if tag in LOADING and values.get(LOADING[tag]):
            self.loads.append(str(values[LOADING[tag]]))


def chapters() -> list[str]:
    """Return the book's pages in order, as _toc.yml names them: the root first."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(page["file"] for part in toc["parts"] for page in part["chapters"])]


def test_index_leads_to_the_introduction(html: Path) -> None:
    assert "book/introduction.html" in Page(html / "index.html").redirect


@pytest.mark.parametrize("page", chapters())
def test_page_is_whole(html: Path, page: str) -> None:
    built = Page(html / f"{page}.html")
    away = [url for url in built.loads if re.match(r"(https?:)?//", url)]
    assert not away, f"{page} loads from other hosts: {away}"
    for image in built.images:
        source, alt = image.get("src") or "", image.get("alt") or ""
        if "_images/" in source:
            assert alt and "_images/" not in alt, f"{page}: {source} has alt text {alt!r}"


@pytest.mark.parametrize("page", [page for page in chapters() if "bibliography" not in page])
def test_solutions_are_collapsed(html: Path, page: str) -> None:
    text = (html / f"{page}.html").read_text(encoding="utf-8")
    solutions = re.findall(r'<div class="(solution [^"]*)"', text)
    assert all("dropdown" in classes for classes in solutions), solutions
    assert "solution-start" not in text and "solution-end" not in text


def test_the_page_of_times_fits_the_notebooks(root: Path) -> None:
    made = runpy.run_path(str(root / "book" / "run_chapters.py"))
    stored = (root / "book" / "how_long.md").read_text(encoding="utf-8")
    assert stored == made["page"](), "run `make notebooks` again"
