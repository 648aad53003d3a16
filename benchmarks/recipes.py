"""Write the tables of RECIPES.md from the records of studies: ``python benchmarks/recipes.py``.

The rest of the file is written by hand.
"""

from __future__ import annotations

from pathlib import Path

from ippy.studies import load, summarise
from ippy.tools.made_parts import remade, rewrite

PAGE = Path(__file__).resolve().parent / "RECIPES.md"
FORMATS = {
    "seeds": "{:d}",
    "diverged": "{:.0f}",
    "SSIM": "{:.4f}",
    "core-seconds": "{:,.0f}",
}  # the others are decibels


def page() -> str:
    """Return the text of RECIPES.md with its tables made again."""
    return remade(PAGE, part)


def part(title: str) -> str:
    """Return what a part with a title like ``study losses`` says."""
    name = title.removeprefix("study ")
    study = load(name)
    return f"*{study.question}* {study.fixed}\n\n{table(name)}"


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


if __name__ == "__main__":
    rewrite(PAGE, page())
