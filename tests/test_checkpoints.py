"""Checkpoints: round trip, atomic writes, and one clear error for each kind of bad file."""

import hashlib
import json

import pytest
import torch
from torch import nn

from ippy.checkpoints import load_checkpoint, read_manifest, save_checkpoint
from ippy.models import NAMES, build
from ippy.paths import weights_dir


def test_round_trip_and_manifest(tmp_path):
    model = build("ResCNN", seed=1)
    path = save_checkpoint(model, tmp_path / "new" / "ResCNN.pth", record={"seconds": 3})
    state = torch.load(path, weights_only=True)
    assert list(state) == list(model.state_dict())
    loaded = load_checkpoint("ResCNN", path)
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert loaded(x).equal(model(x)) and not loaded.training

    entry = read_manifest(path.parent)["ResCNN"]
    assert entry["class"] == "ippy.models.cnn.ResCNN"
    assert entry["parameters"] == sum(p.numel() for p in model.parameters())
    assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert entry["seconds"] == 3
    save_checkpoint(build("CNN", seed=1), tmp_path / "new" / "CNN.pth")
    assert set(read_manifest(path.parent)) == {"CNN", "ResCNN"}
    assert {file.name for file in path.parent.iterdir()} == {
        "CNN.pth",
        "ResCNN.pth",
        "manifest.json",
    }


def test_a_failed_save_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = save_checkpoint(build("CNN", seed=1), tmp_path / "CNN.pth")
    before = path.read_bytes()

    def full_disk(state, file):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(build("CNN", seed=2), path)
    assert path.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"CNN.pth", "manifest.json"}


def test_missing_file_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m ippy train UNet"):
        load_checkpoint("UNet", tmp_path / "UNet.pth")


def _truncate(path):
    path.write_bytes(path.read_bytes()[:1000])


def _text(path):
    path.write_text("not a checkpoint", encoding="utf-8")


def _whole_module(path):
    torch.save(build("CNN", seed=0), path)


def _a_list(path):
    torch.save([1, 2, 3], path)


@pytest.mark.parametrize("damage", [_truncate, _text, _whole_module, _a_list])
def test_unreadable_files_are_named(tmp_path, damage):
    path = save_checkpoint(build("CNN", seed=1), tmp_path / "CNN.pth")
    damage(path)
    with pytest.raises(ValueError, match=r"CNN\.pth .*(damaged|state dict)"):
        load_checkpoint("CNN", path)


def test_another_architecture_is_told_apart(tmp_path):
    path = save_checkpoint(build("CNN", seed=1), tmp_path / "CNN.pth")
    with pytest.raises(ValueError, match=r"does not fit SimpleUNet: .*enc1.* is missing"):
        load_checkpoint("UNet", path)
    wider = nn.Sequential()
    wider.conv1 = nn.Conv2d(1, 64, 3)
    with pytest.raises(ValueError, match=r"conv1\.weight is \(32, 1, 3, 3\), expected \(64"):
        load_checkpoint(wider, path)
    with pytest.raises(ValueError, match="say which file"):
        load_checkpoint(wider)


def test_a_broken_manifest_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"manifest\.json is not JSON"):
        read_manifest(tmp_path)
    assert read_manifest(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("name", NAMES)
def test_shipped_checkpoints_are_what_the_manifest_says(name):
    path = weights_dir() / f"{name}.pth"
    entry = json.loads((weights_dir() / "manifest.json").read_text(encoding="utf-8"))[name]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
    model = load_checkpoint(name)
    assert sum(p.numel() for p in model.parameters()) == entry["parameters"]
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert entry["data"]["generated"] is True
    assert len(entry["history"]["loss"]) == len(entry["history"]["step"]) > 0
    assert entry["history"]["seconds"] > 0 and entry["history"]["device"]
    assert entry["recipe"]["steps"] == entry["history"]["step"][-1]
    assert entry["test"]["images"] == 32
