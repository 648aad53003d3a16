"""The tables of RECIPES.md say what the records of the studies say now."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from ippy.studies import read, summarise
from ippy.train import RECIPES
from ippy.weights import read_manifest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "benchmarks" / "RECIPES.md").read_text(encoding="utf-8")
made = runpy.run_path(str(ROOT / "benchmarks" / "recipes.py"))


def test_the_page_fits_the_records() -> None:
    assert made["page"]() == PAGE, "run `python benchmarks/recipes.py` again"
    assert "<!-- study losses: " in PAGE


def test_a_table_has_the_means_of_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = summarise("losses")
    row = re.search(r"^\| SSIM \| (.*) \|$", made["table"]("losses"), re.MULTILINE)[1].split(" | ")
    assert [float(value) for value in row] == losses.loc["SSIM"].tolist()
    once = losses.assign(seeds=1, **{"core-seconds": 1234.0})
    monkeypatch.setitem(made["table"].__globals__, "summarise", lambda name: once)
    assert made["table"]("losses").splitlines()[2].endswith("| 1,234 | – |")


def test_the_shipped_networks_are_those_of_the_manifest() -> None:
    head, _, *rows = (line.strip("| ").split(" | ") for line in made["shipped"]().splitlines())
    unet = next(dict(zip(head, row, strict=True)) for row in rows if row[0] == "UNet")
    entry, record = read_manifest()["UNet"], read("situations").set_index(["method", "situation"])
    assert unet["loss"] == entry["recipe"]["loss"] and float(unet["rate"]) == entry["recipe"]["lr"]
    assert int(unet["steps"].replace(",", "")) == entry["recipe"]["steps"]
    assert (unet["slices' worth"], unet["share"]) == ("4,000", "12%")  # a crop is a quarter of one
    scores = record.loc["UNet", "as trained"]
    assert float(unet["test (dB)"]) == pytest.approx(scores["test.psnr"], abs=0.005)
    assert float(unet["real (dB)"]) == pytest.approx(scores["real.psnr"], abs=0.005)
    assert len(rows) == len(RECIPES)
