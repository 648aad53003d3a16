"""Write the tables of RECIPES.md from the records: ``python benchmarks/recipes.py``.

They are those of the studies, and the manifest of the weights. The rest is written by hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ippy.chapter.published import published_models
from ippy.chapter.trainings import operations, slices_seen
from ippy.models import LABELS
from ippy.studies import load, read, summarise
from ippy.tools.made_parts import remade, rewrite
from ippy.train import RECIPES
from ippy.weights import read_manifest

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
    """Return what a part with a title like ``study losses`` says, or the one called ``shipped``."""
    if title == "shipped":
        return shipped()
    name = title.removeprefix("study ")
    study = load(name)
    return f"*{study.question}* {study.fixed}\n\n{table(name)}"


def table(name: str) -> str:
    """Return the means over the seeds of a study whose runs are all done, as Markdown."""
    means = summarise(name)
    scores = means.apply(lambda column: column.map(FORMATS.get(column.name, "{:.2f}").format))
    scores.loc[means.seeds == 1, "spread (dB)"] = "–"
    factors = means.index.to_frame().astype(str)
    rows = factors.join(scores).itertuples(index=False)
    return markdown([*factors], [*scores], rows)


def shipped() -> str:
    """Return how the networks in ``weights/`` were trained, and their scores, as Markdown."""
    manifest, published = read_manifest(), published_models()
    there = published.epochs * published.slices
    scores = read("situations").query("situation == 'as trained'").set_index("method")
    columns = ["steps", "crops a step", "rate", "slices' worth", "share"]
    columns += ["operations", "test (dB)", "real (dB)"]
    rows = []
    for name in RECIPES:
        recipe = manifest[name]["recipe"]
        seen = slices_seen(recipe)
        share = f"{seen / there[name]:.0%}" if name in there else "–"
        row = [LABELS[name], recipe["loss"], f"{recipe['steps']:,}", str(recipe["batch_size"])]
        row += [f"{recipe['lr']:g}", f"{seen:,.0f}", share, f"{operations(name, recipe):,.0f}"]
        row += [f"{scores.loc[name, f'{kind}.psnr']:.2f}" for kind in ("test", "real")]
        rows.append(row)
    return markdown(["model", "loss"], columns, rows)


def markdown(left: list[str], right: list[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table whose first columns stand left and the others right."""
    rule = ["---"] * len(left) + ["--:"] * len(right)
    return "\n".join(f"| {' | '.join(row)} |" for row in [left + right, rule, *rows])


if __name__ == "__main__":
    rewrite(PAGE, page())
