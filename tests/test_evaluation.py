"""The evaluation protocol, the table, the reference task's record, and the command line."""

import json
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn

from ippy import __main__ as command_line
from ippy.base.paths import data_dir
from ippy.data import MayoDataset
from ippy.models import NAMES, build
from ippy.problems import motion_deblurring
from ippy.quality import evaluate, measure_one_by_one, summarise
from ippy.quality.evaluation import MEASUREMENT
from ippy.train import Recipe
from ippy.train.course import train_model
from ippy.weights import manifest


@pytest.fixture
def slices():
    return torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(slices, tmp_path):
    """The slices as files."""
    (tmp_path / "P").mkdir()
    for number, x in enumerate(slices):
        pixels = (x[0].numpy() * 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "P" / f"{number}.png")
    return tmp_path


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


def test_the_same_evaluation_gives_the_same_table_to_the_last_digit(slices, folder):
    def table(images, **models):
        return evaluate(models, images, motion_deblurring(), device=torch.device("cpu"))

    cnn, unet = build("CNN", seed=1), build("UNet", seed=1)
    first = table(slices, CNN=cnn, UNet=unet)
    torch.rand(7)  # the global generator has no part in it
    pd.testing.assert_frame_equal(first, table(slices, CNN=cnn, UNet=unet), check_exact=True)

    alone = first[first["model"] != "CNN"].reset_index(drop=True)  # nor has another model
    pd.testing.assert_frame_equal(alone, table(slices, UNet=unet), check_exact=True)

    # nor has it a part whether slices come from files, from the cache or from memory
    kept, read = MayoDataset(folder, 64), MayoDataset(folder, 64, cache_bytes=0)
    from_files = table(read, CNN=cnn)
    for _ in range(2):  # from the files, then from the cache
        pd.testing.assert_frame_equal(from_files, table(kept, CNN=cnn), check_exact=True)
    held = torch.stack(list(read))
    pd.testing.assert_frame_equal(from_files, table(held, CNN=cnn), check_exact=True)


def test_slices_are_held_one_at_a_time(slices):
    held = []

    class Slices:
        def __len__(self):
            return 12

        def __getitem__(self, number):
            x = slices[number % 3].clone()
            held.append(weakref.ref(x))
            return x

    class Watching(nn.Module):
        def forward(self, y):
            most.append(sum(x() is not None for x in held))
            return y

    most = []
    table = evaluate({"a": Watching(), "b": Watching()}, Slices(), motion_deblurring())
    assert len(held) == 12 and len(most) == 24 and max(most) <= 2
    assert list(table["image"]) == 3 * [*range(12)]


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


def test_training_a_model_of_the_course_writes_a_checkpoint_and_its_record(tmp_path):
    recipe = Recipe(steps=3, batch_size=2, crop=32)
    history = train_model("CNN", recipe=recipe, folder=tmp_path, progress=False)
    record = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["CNN"]
    assert record["history"]["loss"] == history.loss
    assert record["recipe"]["steps"] == 3
    assert record["arguments"] == {"in_ch": 1, "out_ch": 1, "n_filters": 32}
    assert record["data"]["generated"] is True and record["data"]["train_slices"] >= 1600
    assert [step for step, _, _ in record["history"]["validation"]] == [3]
    assert record["test"]["images"] == 32 and 5 < record["test"]["psnr"] < 60


def test_evaluate_command_prints_the_table(capsys):
    assert command_line.main(["evaluate", "--first", "1"]) == 0
    printed = capsys.readouterr().out
    for label in ("Measurement", "Residual UNet", "UNet++", "ViT", "PSNR (dB)"):
        assert label in printed


def test_evaluate_command_records_scores_beside_what_training_wrote(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(command_line, "features_available", lambda: False)
    monkeypatch.setattr(manifest, "weights_dir", lambda: tmp_path)
    monkeypatch.setattr(command_line, "load_checkpoint", lambda name: Brighter())
    command = ["evaluate", "--data", str(folder), "--record"]
    assert command_line.main(command) == 2
    assert "has no entry 'CNN'" in capsys.readouterr().err

    (tmp_path / "manifest.json").write_text(
        json.dumps({name: {"sha256": name, "test": {}} for name in NAMES}), encoding="utf-8"
    )
    assert command_line.main(command) == 0
    for name, entry in json.loads((tmp_path / "manifest.json").read_text("utf-8")).items():
        assert entry["sha256"] == name and entry["test"] == {}
        assert entry["real"]["images"] == 3 and 5 < entry["real"]["psnr"] < 60
        assert entry["real"]["slices"] == ["P/0.png", "P/1.png", "P/2.png"]

    with pytest.raises(ValueError, match=r"CNN\.pth was replaced meanwhile"):
        manifest.amend({"CNN": {"sha256": "another", "real": {}}})
    assert json.loads((tmp_path / "manifest.json").read_text("utf-8"))["CNN"]["real"]["images"] == 3


@pytest.fixture
def two_good_one_bad(folder, monkeypatch):
    """A folder with a bad file, and models that take no time."""
    (folder / "P" / "1.png").write_text("no picture", encoding="utf-8")
    monkeypatch.setattr(command_line, "load_checkpoint", lambda name: Brighter())
    monkeypatch.setattr(command_line, "features_available", lambda: False)
    return folder


def test_evaluate_command_stops_at_a_bad_file(two_good_one_bad, capsys):
    assert command_line.main(["evaluate", "--data", str(two_good_one_bad)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: cannot read") and "1.png" in last and "--skip-bad" in last


def test_evaluate_command_goes_on_without_bad_files_and_lists_them(two_good_one_bad, capsys):
    assert command_line.main(["evaluate", "--data", str(two_good_one_bad), "--skip-bad"]) == 0
    printed = capsys.readouterr()
    assert "Means over 2 slices" in printed.out
    listed = printed.err[
        printed.err.index("Skipped 1, which can't be read; 2 slices are left") :
    ].splitlines()
    assert "1.png" in listed[1] and "does not begin as a PNG" in listed[1]


def test_a_damaged_checkpoint_stops_the_command_with_one_line(tmp_path, monkeypatch, capsys):
    images = data_dir() / "test"
    monkeypatch.setenv("IPPY_COURSE", str(tmp_path))
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "CNN.pth").touch()
    assert command_line.main(["evaluate", "--data", str(images)]) == 2
    error = capsys.readouterr().err
    assert "CNN.pth is empty" in error and "git checkout -- weights/CNN.pth" in error
    assert error.count("\n") == 1


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
