"""Write the tables of RECIPES.md from the records of studies: ``python benchmarks/recipes.py``.

The rest of the file is written by hand.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ippy.base.files import write_atomically
from ippy.studies import load, summarise

PAGE = Path(__file__).resolve().parent / "RECIPES.md"
PART = re.compile(r"<!-- study (?P<name>\w+): .*?-->\n.*?<!-- end -->", re.DOTALL)
MADE = "<!-- study {name}: python benchmarks/recipes.py writes this -->\n\n{text}\n\n<!-- end -->"
FORMATS = {"seeds": "{:d}", "SSIM": "{:.4f}", "core-seconds": "{:,.0f}"}  # the others are decibels


def page() -> str:
    """Return the text of RECIPES.md with its tables made again."""

    def part(found: re.Match[str]) -> str:
        name = found["name"]
        text = f"*{load(name).question}* {load(name).fixed}\n\n{table(name)}"
        return MADE.format(name=name, text=text)

    return PART.sub(part, PAGE.read_text(encoding="utf-8"))


def table(name: str) -> str:
    """Return the means over the seeds of a study whose runs are all done, as Markdown."""
    means = summarise(name)
    scores = means.apply(lambda column: column.map(FORMATS.get(column.name, "{:.2f}").format))
    scores.loc[means.seeds == 1, "spread (dB)"] = "–"
    factors = means.index.to_frame().astype(str)
    head = [*factors, *scores]
    rule = ["---"] * factors.shape[1] + ["--:"] * scores.shape[1]
    rows = factors.join(scores).itertuples(index=False)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def main() -> None:
    """Write the file, whole or not at all."""
    text = page()
    write_atomically(PAGE, lambda file: file.write(text.encode()))
    sys.stdout.write(f"wrote {PAGE.name}\n")


if __name__ == "__main__":
    main()
