"""The evaluation protocol, the table, the reference task's record, and the command line."""

import json

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn

from ippy import __main__ as command_line
from ippy import pretraining
from ippy.evaluation import MEASUREMENT, PUBLISHED, evaluate, measure_one_by_one, summarise
from ippy.models import NAMES
from ippy.problem import motion_deblurring
from ippy.training import Recipe


@pytest.fixture
def slices():
    return torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))


class Brighter(nn.Module):
    def forward(self, x):
        return x + 0.5


def test_the_published_protocol(slices):
    table = evaluate({"Brighter": Brighter()}, slices, motion_deblurring(), first=2)
    assert list(table.columns) == ["model", "image", "mse", "psnr", "ssim"]
    assert list(table["model"]) == [MEASUREMENT] * 2 + ["Brighter"] * 2
    assert list(table["image"]) == [0, 1, 0, 1]

    problem, generator = motion_deblurring(), torch.Generator().manual_seed(123)
    for number in range(2):  # the protocol written out: one generator, image by image, clamped
        x = slices[number : number + 1]
        x_hat = (problem.measure(x, generator) + 0.5).clamp(0, 1)
        row = table[(table["model"] == "Brighter") & (table["image"] == number)].iloc[0]
        a, b = x[0, 0].numpy(), x_hat[0, 0].numpy()
        assert row["mse"] == pytest.approx(float(np.mean((a - b) ** 2)), rel=1e-5)
        assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1), abs=1e-4)
        assert row["ssim"] == pytest.approx(structural_similarity(a, b, data_range=1), abs=1e-5)


def test_summary_and_measurements(slices):
    table = evaluate({}, slices, motion_deblurring())
    summary = summarise(table)
    assert list(summary.index) == [MEASUREMENT]
    assert summary.loc[MEASUREMENT, "psnr"] == pytest.approx(table["psnr"].mean())
    y = measure_one_by_one(slices, motion_deblurring())
    again = measure_one_by_one(list(slices), motion_deblurring())
    assert y.equal(again) and y.shape == slices.shape


def test_published_table_has_the_seven_models():
    assert tuple(PUBLISHED.index) == NAMES
    assert PUBLISHED["psnr"].idxmax() == "UNet"


def test_bad_requests_are_explained(slices):
    with pytest.raises(ValueError, match=r"metrics\[0\] is 'nrmse'"):
        evaluate({}, slices, motion_deblurring(), metrics=("nrmse",))
    with pytest.raises(ValueError, match="at least one slice"):
        evaluate({}, slices[:0], motion_deblurring())
    for arguments, says in [
        ({"images": [*slices, torch.full((1, 64, 64), torch.nan)]}, r"images\[3\] holds NaN"),
        ({"images": 255 * slices}, r"images\[0\] goes from .* to 25\d"),
        ({"images": slices[:, :, :5]}, r"models\['Measurement'\] on images\[0\]: x is 5x64"),
        ({"models": {MEASUREMENT: Brighter()}}, "models has the name 'Measurement'"),
        ({"first": 0}, "first is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"device": "cray"}, "device 'cray' can't be used"),
    ]:
        with pytest.raises(ValueError, match=says):
            evaluate(**{"models": {}, "images": slices, "problem": motion_deblurring()} | arguments)


def test_images_may_differ_in_size(slices):
    table = evaluate({}, [slices[0], slices[1][:, :40]], motion_deblurring())
    assert len(table) == 2 and table["psnr"].between(5, 60).all()
    with pytest.raises(ValueError, match=r"images have the shapes .*40, 64.*; expected one size"):
        measure_one_by_one([slices[0], slices[1][:, :40]], motion_deblurring())


def test_pretraining_writes_a_checkpoint_and_its_record(tmp_path):
    recipe = Recipe(steps=3, batch_size=2, crop=32)
    history = pretraining.pretrain("CNN", recipe=recipe, folder=tmp_path, progress=False)
    record = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["CNN"]
    assert record["history"]["loss"] == history.loss
    assert record["recipe"]["steps"] == 3
    assert record["arguments"] == {"in_ch": 1, "out_ch": 1, "n_filters": 32}
    assert record["data"]["generated"] is True and record["data"]["train_slices"] >= 1600
    assert record["test"]["images"] == 32 and 5 < record["test"]["psnr"] < 60


def test_evaluate_command_prints_the_table(capsys):
    assert command_line.main(["evaluate", "--first", "1"]) == 0
    printed = capsys.readouterr().out
    for label in ("Measurement", "Residual UNet", "UNet++", "ViT", "psnr"):
        assert label in printed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train"], "name some of CNN, ResCNN"),
        (["train", "VGG"], "'VGG' is not a model"),
        (["evaluate", "--data", "no/such/folder"], "no/such/folder"),
    ],
)
def test_bad_commands_are_one_line(capsys, arguments, says):
    assert command_line.main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error.replace("\\", "/") and error.count("\n") == 1


def test_help_tells_what_each_command_does(capsys):
    for command in ("prepare", "train", "evaluate"):
        with pytest.raises(SystemExit):
            command_line.main([command, "--help"])
        assert len(capsys.readouterr().out) > 300
