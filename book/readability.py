"""Say how hard the pages are to read: ``python book/readability.py``.

    python book/readability.py                    # a row a page, the hardest first
    python book/readability.py model_comparison   # the hardest paragraphs of one page, too

The score is McAlpine's EFLAW, made for readers whose first language is not English: words, and
once more those of three letters or fewer, a sentence. Long sentences and clusters of small words
are what such readers stumble over; long technical words are not. Up to 20 is very easy, up to 25
quite easy, from 30 on confusing (McAlpine, Global English for global business, 1997).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pandas as pd
import textstat
import yaml
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.mdit_to_docutils.base import DocutilsRenderer
from myst_parser.parsers.mdit import create_md_parser

BOOK = Path(__file__).resolve().parent
HARDEST = 24.0  # EFLAW that a page may have, inside "quite easy"
LISTS = {"bibliography", "glossary", "how_long", "instructor"}  # pages that are no prose
PROSE = {"admonition", "exercise", "exercise-start", "grid", "grid-item-card", "note", "solution"}
EXTENSIONS = {"amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath", "substitution"}
STANDS_FOR_ALL_ELSE = "symbol"  # a word that is neither short nor long
DIRECTIVE = re.compile(r"^\{([\w-]+)\}")
OPTIONS = re.compile(r"\A(?:\s*:[\w-]+:.*\n)+")
TITLED = re.compile(r"^(?P<title>.*?)\s*<[^<>]+>$")
# Points that end no sentence: in numbers, after initials and abbreviations.
POINTS = re.compile(r"(?<=\d)[.,](?=\d)|(?<=\b[A-Z])\.(?= )|(?<=\bet al)\.")


def pages() -> list[str]:
    """Return the names of the pages with prose, in the order of the contents."""
    contents = yaml.safe_load((BOOK.parent / "_toc.yml").read_text(encoding="utf-8"))
    parts = (page["file"] for part in contents["parts"] for page in part["chapters"])
    names = [Path(file).stem for file in (contents["root"], *parts)]
    return [name for name in names if name not in LISTS]


def source(name: str) -> str:
    """Return the text of a page, a notebook's without its code."""
    path = BOOK / f"{name}.ipynb"
    if not path.exists():
        return (BOOK / f"{name}.md").read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs and list items of MyST Markdown in plain words.

    Headings, tables, formulas on a line of their own and code are left out; a formula or code in a
    sentence becomes a word.
    """
    plain = map(_plain, _inlines(text))
    return [words for words in plain if re.search(r"\w", words)]


def eflaw(text: str) -> float:
    """Return the score of MyST Markdown, page or part: lower is easier."""
    return textstat.mcalpine_eflaw("\n".join(paragraphs(text)))


def _inlines(text: str) -> Iterator[list[Token]]:
    """Yield what each paragraph is made of, those in directives too."""
    parser = create_md_parser(MdParserConfig(enable_extensions=EXTENSIONS), DocutilsRenderer)
    within: list[str] = []
    for token in parser.parse(text):
        if token.nesting == 1:
            within.append(token.type)
        elif token.nesting == -1:
            within.pop()
        elif token.type == "inline" and not {"heading_open", "table_open"} & set(within):
            yield token.children or []
        elif token.type in ("fence", "colon_fence"):
            found = DIRECTIVE.match(token.info.strip())
            if found and found[1] in PROSE:
                yield from _inlines(OPTIONS.sub("", token.content))


def _plain(tokens: list[Token]) -> str:
    """Return the parts of a paragraph as words that end in a full stop."""
    words = re.sub(r"\s+", " ", "".join(map(_words, tokens)))
    words = POINTS.sub("", words).strip(" :;,")
    return words if words.endswith((".", "!", "?")) or not words else f"{words}."


def _words(token: Token) -> str:
    match token.type:
        case "text":
            return token.content
        case "softbreak" | "hardbreak":
            return " "
        case "code_inline" | "math_inline" | "math_inline_double":
            return STANDS_FOR_ALL_ELSE
        case "myst_role":
            titled = TITLED.match(token.content)
            if titled and titled["title"]:
                return titled["title"]
            return "" if token.meta["name"] == "cite" else STANDS_FOR_ALL_ELSE
    return ""


def table() -> pd.DataFrame:
    """Return a row a page, the hardest first: its score, words, and words a sentence."""
    rows = {}
    for name in pages():
        text = "\n".join(paragraphs(source(name)))
        rows[name] = {
            "EFLAW": textstat.mcalpine_eflaw(text),
            "words": textstat.lexicon_count(text),
            "words a sentence": textstat.words_per_sentence(text),
        }
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("EFLAW", ascending=False)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", nargs="?", choices=pages(), help="show its hardest paragraphs")
    page = parser.parse_args().page
    sys.stdout.write(table().round(1).to_string() + "\n")
    found = paragraphs(source(page)) if page else []
    for text in sorted(found, key=textstat.mcalpine_eflaw, reverse=True)[:10]:
        sys.stdout.write(f"\n{textstat.mcalpine_eflaw(text):.0f}: {text}\n")


if __name__ == "__main__":
    main()
