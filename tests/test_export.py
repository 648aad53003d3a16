"""Models as ONNX files: the same answers as torch's, with a record, written whole or not at all."""

from __future__ import annotations

import hashlib
import importlib.metadata
import runpy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from ippy.__main__ import main
from ippy.data.phantoms import generate_slice
from ippy.models import LABELS, build
from ippy.models.vit import ViTReconstructor
from ippy.problems import motion_deblurring
from ippy.tools import export as exporting
from ippy.tools.export import shipped, to_onnx
from ippy.weights import load_checkpoint

SIZES = [(256, 256), (8, 8), (32, 32), (33, 57), (64, 40), (43, 75), (264, 40), (90, 256)]
"""Of training, the smallest, the page's smallest; odd, long, on either side of the ViT's grid."""


def opened(content: bytes) -> onnxruntime.InferenceSession:
    """Open a file with one thread; several wait for work in loops that take all cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options)


@pytest.fixture(scope="module")
def measurements() -> list[Tensor]:
    """Parts of a measured slice, which no model was trained on, in all sizes."""
    x = torch.from_numpy(generate_slice(7, "test", "G93", 5, 16)) / 255
    y = motion_deblurring().measure(x[None, None], torch.Generator().manual_seed(0))
    long = torch.cat([y, y.flip(2)], dim=2)  # (1, 1, 512, 256)
    return [long[..., :height, :width].contiguous() for height, width in SIZES]


def disagreement(session: onnxruntime.InferenceSession, model: nn.Module, y: Tensor) -> float:
    with torch.inference_mode():
        x_hat = model(y).numpy()
    return float(np.abs(session.run(["x_hat"], {"y": y.numpy()})[0] - x_hat).max())


@pytest.mark.parametrize("name", shipped())
def test_onnxruntime_agrees_with_torch_at_any_size(
    name: str, measurements: list[Tensor], root: Path
) -> None:
    exported = runpy.run_path(str(root / "book" / "_sphinx" / "your_picture.py"))["exported"]
    model, session = load_checkpoint(name), opened(exported(name))  # the file that the book has
    for y in measurements:
        assert disagreement(session, model, y) < 1e-5, tuple(y.shape)


def test_the_command_writes_a_file_with_its_record(tmp_path: Path) -> None:
    path = tmp_path / "new" / "model.onnx"
    assert main(["export", "ResCNN", "--output", str(path)]) == 0
    assert [file.name for file in path.parent.iterdir()] == [path.name], "a part was left"
    metadata = opened(path.read_bytes()).get_modelmeta().custom_metadata_map
    weights = (exporting.weights_dir() / "ResCNN.pth").read_bytes()
    assert metadata == {
        "model": "ResCNN",
        "task": exporting.TASK,
        "input": "y, a measurement: float32 (B, 1, H, W)",
        "output": "x_hat, the restored image, of the same shape, not clamped",
        "scale": "0 is black, 1 is white",
        "size": "any H and W from 8 pixels",
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "course": f"ippy {importlib.metadata.version('ippy')}",
    }


@pytest.mark.parametrize("name", [name for name in LABELS if name not in shipped()])
def test_models_without_weights_export_too(name: str, measurements: list[Tensor]) -> None:
    model = build(name, seed=0).eval()
    session = opened(to_onnx(model, {"model": "untrained"}))
    for y in measurements:
        assert disagreement(session, model, y) < 1e-5, tuple(y.shape)
    batch = torch.cat([measurements[2], measurements[2].flip(3)])
    assert disagreement(session, model, batch) < 1e-5, "a batch"


def test_an_export_leaves_the_model_as_it_was_and_tells_nothing_of_the_machine() -> None:
    model = ViTReconstructor(img_size=64, embed_dim=16, mlp_dim=16, depth=1).eval()
    y = torch.rand(1, 1, 40, 72, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = model(y)
        content = to_onnx(model, {})
        assert torch.equal(model(y), before)
    assert "positions" not in vars(model)
    assert str(Path(exporting.__file__).parent).encode() not in content
    assert onnx.load_model_from_string(content).metadata_props == []


def test_faults_are_one_line(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")

    def fault(*arguments: str) -> str:
        assert main(["export", *arguments]) == 2
        assert target.read_bytes() == b"old", "the old file is whole"
        return capsys.readouterr().err

    assert "'NoNet'; expected one of 'CNN'" in fault("NoNet", "--output", str(target))
    assert "is a folder" in fault("CNN", "--output", str(tmp_path))
    assert "no checkpoint" in fault("LossStudyCNN", "--output", str(target))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = fault("CNN", "--output", str(target))
    assert "onnx, which the export needs, is not installed" in message
    assert ".[export]" in message and message.count("\n") == 1


def test_without_a_place_the_file_stands_beside_the_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("ippy.commands.export.output_dir", lambda name: tmp_path / name)
    assert main(["export", "CNN"]) == 0
    assert (tmp_path / "weights" / "CNN.onnx").is_file()
    assert capsys.readouterr().out.strip().endswith("CNN.onnx")
