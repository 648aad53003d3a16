"""What the page "Restore your own picture" tells of its slice *Chest*, computed by ippy."""

from __future__ import annotations

import runpy
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from ippy.data.generation import SEED
from ippy.data.phantoms import generate_slice
from ippy.models import NAMES
from ippy.problems import Tikhonov, motion_deblurring
from ippy.quality import data_residual, psnr, restore, ssim
from ippy.weights import load_checkpoint

ROOT = Path(__file__).resolve().parent.parent
TEXT = " ".join((ROOT / "book" / "your_picture.md").read_text(encoding="utf-8").split())
PAGE = runpy.run_path(str(ROOT / "book" / "_sphinx" / "your_picture.py"))
UNETS = "UNet", "ResidualUNet", "AttentionUNet", "UNetPP"
NETWORKS = *NAMES, "GatedUNet"


class Scores(NamedTuple):
    psnr: float
    ssim: float
    residual: float  # times the noise


@cache
def scores(angle: float, noise: float = 0.01) -> dict[str, Scores]:
    """Score the networks, Tikhonov and the measurement at an angle and a noise level."""
    pixels = torch.from_numpy(generate_slice(SEED, "test", *PAGE["SLICES"]["Chest"]))
    x = pixels[None, None].float() / 255
    problem = motion_deblurring(noise, angle)
    y = problem.measure(x, torch.Generator().manual_seed(0))
    images = {name: restore(load_checkpoint(name), y) for name in NETWORKS}
    images |= {"Tikhonov": Tikhonov(problem.operator)(y), "measurement": y}

    def score(x_hat: torch.Tensor) -> Scores:
        x_hat = x_hat.clamp(0, 1)
        residual = data_residual(x_hat, y, problem.operator).item() / noise
        return Scores(psnr(x_hat, x).item(), ssim(x_hat, x).item(), residual)

    return {name: score(x_hat) for name, x_hat in images.items()}


def test_at_20_degrees_the_unets_are_right():
    assert "three variants have about 46 dB, and their residual is that of the noise" in TEXT
    assert "The Gated UNet has 47 dB." in TEXT
    assert scores(20)["GatedUNet"].psnr == pytest.approx(47, abs=0.5)
    for name in UNETS:
        assert scores(20)[name].psnr == pytest.approx(46, abs=0.5)
        assert scores(20)[name].residual == pytest.approx(1, abs=0.15)


def test_one_degree_beside_they_are_not():
    assert "have lost 10 to 12 dB, and their residual is three to five times the noise" in TEXT
    assert "The Gated UNet was the best, and loses most: 14 dB." in TEXT
    losses = {name: scores(20)[name].psnr - scores(19)[name].psnr for name in scores(20)}
    assert max(losses, key=losses.get) == "GatedUNet" and round(losses["GatedUNet"]) == 14
    for name in UNETS:
        lost = scores(20)[name].psnr - scores(19)[name].psnr
        assert 10 <= round(lost) <= 12
        assert 3 <= round(scores(19)[name].residual) <= 5


def test_at_90_degrees_the_measurement_is_better_and_tikhonov_best():
    assert "worse than the measurement that they were made from" in TEXT
    assert "Tikhonov, which is told the angle, loses less than 1 dB" in TEXT
    assert "at 1 % Tikhonov is the best by more than 4 dB" in TEXT
    turned = scores(90)
    others = [turned[name].psnr for name in NETWORKS]
    assert max(others) < turned["measurement"].psnr < turned["Tikhonov"].psnr - 4
    assert scores(20)["Tikhonov"].psnr - turned["Tikhonov"].psnr < 1


def test_an_answer_that_looks_right_and_is_wrong():
    assert "19° or to 30°. The SSIM of the four UNets is 0.96" in TEXT
    assert "at 0.5 % noise the residual is more than six times the noise, and SSIM is the" in TEXT
    for name in UNETS:
        wrong = [scores(19)[name], scores(30)[name], scores(19, 0.005)[name]]
        assert [case.ssim for case in wrong] == pytest.approx([0.96] * 3, abs=0.007)
        assert all(3 <= round(case.residual) <= 5 for case in wrong[:2])
        assert 6 < wrong[2].residual
