"""What is no checkpoint is named for what it is, in one line, with what to do."""

import gzip
import io
import json
import pickle
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from ippy.models import build
from ippy.weights import load_checkpoint

PAGE = "<!DOCTYPE html>\n<html><head><title>Größe: UNet.pth</title></head></html>"
DENIED = b'{"error": {"code": 403,\n "message": "Rate limit exceeded"}}'
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 34\n"


def saved(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def zipped(members, kind=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(*names):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def arrays():
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.ones((3, 3)), bias=np.ones(3))
    return buffer.getvalue()


def array():
    buffer = io.BytesIO()
    np.save(buffer, np.ones((3, 3)))
    return buffer.getvalue()


def script():
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


def exported():
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),)), buffer)
    return buffer.getvalue()


def safetensors(length=None):
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return (len(header).to_bytes(8, "little") + header + bytes(4))[:length]


STATE = saved(build("CNN", seed=0).state_dict())
LEGACY = saved(build("CNN", seed=0).state_dict(), _use_new_zipfile_serialization=False)
WEB, SERVER = "is a saved web page", "is a JSON text, such as a server's message that begins"
FILES = {
    "pointer": (LFS, "is a Git LFS pointer", "git lfs pull"),
    "page": (PAGE.encode(), WEB, "link that says raw"),
    "page, BOM": (PAGE.encode("utf-8-sig"), WEB, "link that says raw"),
    "page, UTF-16": (PAGE.encode("utf-16"), WEB, "link that says raw"),
    "page, Latin-1": (PAGE.encode("latin-1"), WEB, "link that says raw"),
    "page, gzip": (gzip.compress(PAGE.encode()), f"{WEB}, compressed", "link that says raw"),
    "page, comment": (f"\n<!-- saved -->\n{PAGE[16:]}".encode(), WEB, "link that says raw"),
    "XML": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", WEB, "link that says raw"),
    "JSON": (DENIED, SERVER, "Download the file"),
    "JSON, gzip": (gzip.compress(DENIED), "JSON text.*compressed with gzip", "Download the file"),
    "text": (b"404: Not Found", "is a text that begins '404: Not Found'", "Download the file"),
    "safetensors": (safetensors(), "is a safetensors file", "safetensors.torch import load_file"),
    "safetensors, cut": (safetensors(30), "is a safetensors file", "load_file"),
    "TorchScript": (script(), "is a TorchScript program", "torch.jit.load"),
    "export": (exported(), "is a program of torch.export", "torch.export.load"),
    "model": (saved(build("CNN")), "names ippy.models.cnn.SimpleCNN, and nothing", "state_dict()"),
    "module": (saved(nn.Linear(2, 2)), "names torch.nn.modules.linear.Linear", "state_dict()"),
    "model, legacy": (
        saved(build("CNN"), _use_new_zipfile_serialization=False),
        "names ippy.models.cnn.SimpleCNN",
        "state_dict()",
    ),
    "pickle": (pickle.dumps(np.ones(3), protocol=4), "names numpy", "state_dict()"),
    "scalar": (
        saved({"model": {}, "best": np.float64(3)}),
        "more than tensors: it names numpy",
        "weights alone",
    ),
    "npz": (arrays(), "is a NumPy archive", "torch.from_numpy"),
    "npy": (array(), "is a NumPy array", "name for each tensor"),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(80), "is an HDF5 file, as Keras", "another framework"),
    "Keras 3": (zipped({"config.json": "{}", "model.weights.h5": "."}), "is a Keras", "framework"),
    "TFLite": (b"\x1c\0\0\0TFL3" + bytes(80), "is a TensorFlow Lite model", "framework"),
    "ONNX": (b"\x08\x08\x12\x07pytorch\x1a\x052.6.0:\x90\x03\n", "is an ONNX model", "state dict"),
    "ONNX, no producer": (b"\x08\x0a:\x90\x03\n\x05\xff\xfe\x00", "is an ONNX model", "state dict"),
    "Word": (zipped({"[Content_Types].xml": "", "word/a": ""}), "is an Office document", "Give a"),
    "PDF": (b"%PDF-1.7\n\xe2\xe3", "is a PDF document", "Give a checkpoint"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(9), "is a picture", "Give a checkpoint"),
    "zipped": (
        zipped({"mine/readme.txt": "", "mine/UNet.pth": STATE}),
        "is a zip archive with 'mine/UNet.pth' in it",
        "Unpack it",
    ),
    "empty zip": (zipped({}), "is an empty zip archive", "CNN.pth|train CNN"),
    "gzip": (gzip.compress(STATE), "is compressed with gzip", "gzip -d"),
    "gzip, cut": (gzip.compress(b"")[:5] + b"\xff" * 9, "with gzip", "from where it came"),
    "tar": (tarred("weights/UNet.pth"), "is a tar archive with 'weights/UNet.pth'", "tar -xf"),
    "tar.gz": (gzip.compress(tarred("UNet.pth")), "is compressed with gzip", "tar -xzf"),
    "first PyTorch": (tarred("pickle", "storages", "tensors"), "of the first PyTorch", "trust it"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(50), "is a 7z archive", "Unpack it"),
    "zeros": (bytes(5000), "holds zeros only: a download or copy that stopped", "where it came"),
    "cut": (STATE[:5000], "is cut short: the beginning of a checkpoint", "from where it came"),
    "cut, legacy": (LEGACY[:5000], "is cut short or damaged", "from where it came"),
    "length": ((64).to_bytes(8, "little") + bytes([7, 255] * 99), "no checkpoint", "where it"),
    "noise": (bytes([7, 255, 3, 200] * 99), "cut short or damaged, or no checkpoint", "where it"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_checkpoint_is_named(tmp_path, name):
    content, what, advice = FILES[name]
    path = tmp_path / "CNN.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"CNN\.pth can't be read.*: it .*{what}") as caught:
        load_checkpoint("CNN", path)
    message = str(caught.value)
    assert "\n" not in message and message.isprintable()
    assert any(one in message.split(what.split(".*")[-1])[1] for one in advice.split("|"))


def test_what_the_message_says_about_safetensors_works(tmp_path, monkeypatch):
    torch_of = pytest.importorskip("safetensors.torch")
    model = build("CNN", seed=1)
    torch_of.save_file(model.state_dict(), tmp_path / "CNN.pth")
    with pytest.raises(ValueError, match="is a safetensors file") as caught:
        load_checkpoint("CNN", tmp_path / "CNN.pth")
    monkeypatch.chdir(tmp_path)
    command = str(caught.value).split("Convert it: ")[1].removesuffix(".")
    exec(command, {"torch": torch, "path": tmp_path / "CNN.pth"})
    loaded = load_checkpoint("CNN", tmp_path / "weights.pth")
    assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("name", ["TorchScript", "export", "npz"])
def test_what_the_message_says_about_other_archives_works(tmp_path, monkeypatch, name):
    (tmp_path / "other.pth").write_bytes(FILES[name][0])
    with pytest.raises(ValueError, match="can't be read") as caught:
        load_checkpoint("CNN", tmp_path / "other.pth")
    monkeypatch.chdir(tmp_path)
    command = str(caught.value).split("Take them out: ")[-1].split("Convert it: ")[-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(
            command.removesuffix("."),
            {"torch": torch, "numpy": np, "path": str(tmp_path / "other.pth")},
        )
    state = torch.load(tmp_path / "weights.pth", weights_only=True)
    assert set(state) == {"weight", "bias"}
