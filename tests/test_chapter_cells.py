"""What cells share: source, generators, times, titles, tables, and the published numbers."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ippy.chapter import cells
from ippy.chapter.published import published_losses, published_models
from ippy.chapter.tables import formatted, score_table
from ippy.models import LABELS, NAMES, build
from ippy.models.cnn import SimpleCNN
from ippy.quality import metrics


def test_published_models_are_the_seven_in_order() -> None:
    table = published_models()
    assert tuple(table.index) == NAMES
    assert [*table][:4] == ["mse", "psnr", "ssim", "lpips"]
    assert table.psnr["CNN"] == 34.696 and table.epochs["CNN"] == 30
    assert table.batch_size["ViT"] == 2 and set(table.slices) == {3306}
    rounding = 0.5e-6 / table.mse * 10 / np.log(10)
    of_mean = -10 * np.log10(table.mse)
    assert (table.psnr > of_mean - rounding).all(), "a mean of PSNRs is not below it"


def test_published_losses_fit_their_own_psnr() -> None:
    table = published_losses()
    assert len(table) == 6 and [*table] == ["mse", "psnr", "ssim"]
    assert np.allclose(table.psnr, -10 * np.log10(table.mse), atol=0.005)  # one image


@pytest.mark.parametrize("name", ["published.csv", "published_losses.csv"])
def test_published_numbers_name_their_source(root: Path, name: str) -> None:
    lines = (root / "book" / name).read_text(encoding="utf-8").splitlines()
    said = " ".join(line.removeprefix("# ") for line in lines if line.startswith("#"))
    assert "D. Evangelista, *Computational Imaging*, course notes 2025-26" in said
    assert 'University of Bologna, chapter "Vision Transformers and Loss Design"' in said


def test_source_is_shown_without_its_indentation() -> None:
    shown = cells.show_source(SimpleCNN.forward, cells.seeded).data
    first, second = shown.split("\n\n```python\n")
    assert first.startswith("```python\ndef forward(self") and first.endswith("\n```")
    assert second.startswith("def seeded(seed") and second.endswith("\n```")


def test_generators_start_from_their_seed() -> None:
    a, b, c = (torch.rand(4, generator=cells.seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_parameters_are_counted() -> None:
    assert cells.count_parameters(build("CNN")) == 9857


def test_times_are_medians_without_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([9.0, 0.001, 0.002, 0.003])
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def call() -> torch.Tensor:
        assert not torch.is_grad_enabled()
        now[0] += next(seconds)
        return torch.zeros(1)

    assert cells.milliseconds(call, repeats=3) == pytest.approx(2)


def test_titles_get_the_psnr_of_their_image() -> None:
    x = torch.full((1, 1, 16, 16), 0.5)
    titled = cells.with_psnr({"a": x + 0.1, "b": x + 0.01}, x, digits=2)
    assert [*titled] == ["a, 20.00 dB", "b, 40.00 dB"]
    assert torch.equal(titled["a, 20.00 dB"], x + 0.1)


def test_scores_are_means_over_images() -> None:
    x = torch.rand(2, 1, 16, 16, generator=cells.seeded(0))
    x_hat = (x + 0.1 * torch.rand(x.shape, generator=cells.seeded(1))).clamp(0, 1)
    table = score_table({"a": x_hat, "b": x}, x, ("ssim", "mse"))
    assert [*table] == ["SSIM", "MSE"] and [*table.index] == ["a", "b"]
    assert table["SSIM"]["a"] == pytest.approx(metrics.ssim(x_hat, x).mean().item())
    assert table["MSE"]["b"] == 0


def test_formatted_tables_have_labels_digits_and_dashes() -> None:
    table = pd.DataFrame({"psnr": [30.126, np.nan], "ssim": [0.91, 0.5]}, index=["UNetPP", "x"])
    text = formatted(table)
    assert [*text] == ["PSNR (dB)", "SSIM"] and [*text.index] == [LABELS["UNetPP"], "x"]
    assert text.to_numpy().tolist() == [["30.13", "0.9100"], ["–", "0.5000"]]
