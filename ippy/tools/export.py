"""Models as ONNX files, which other runtimes can read: a browser's, a phone's, C++."""

from __future__ import annotations

import functools
import importlib.metadata
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.base.checks import check_installed
from ippy.base.files import write_atomically
from ippy.base.paths import as_path, weights_dir
from ippy.models import LABELS
from ippy.models.vit import ViTReconstructor
from ippy.weights import load_checkpoint
from ippy.weights.manifest import checksums

SMALLEST = 8
"""Least height and width of an exported model's input in pixels: UNets halve it three times."""

TASK = "motion blur of 9 pixels at 20 degrees with zeros beyond the border, 1 % Gaussian noise"

# A size that no pooling halves exactly and no patch divides: each resize and each padding is in the
# graph, and does nothing where there is nothing to do.
TRACED = (39, 71)


def shipped() -> list[str]:
    """Return the names of the models that the course has weights of, in the order of a table."""
    return [name for name in LABELS if (weights_dir() / f"{name}.pth").is_file()]


def export(name: str, path: Path) -> Path:
    """Write a trained model as an ONNX file, whole or not at all.

    The file takes ``y``, measurements (B, 1, H, W) in [0, 1], float32, H and W from 8 pixels, and
    gives ``x_hat``, of the same shape, not clamped. Its metadata say which model it is, for which
    task, on which scale and of what size, and the sha256 of its weights.

    Args:
        name: A model that the course has weights of, such as ``"UNet"``.
        path: The file; its folder is made if it is not there.

    Returns:
        The path.

    Raises:
        FileNotFoundError: There are no weights.
        ModuleNotFoundError: onnx or onnxscript is not installed.
        ValueError: There is no such model, its weights are damaged, or ``path`` is a folder.
        OSError: The disk is full or the folder can't be written.
    """
    path = as_path(path, "path")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected the file to write, e.g. {path}/{name}.onnx")
    model = load_checkpoint(name)
    record = {
        "model": LABELS[name],
        "task": TASK,
        "input": "y, a measurement: float32 (B, 1, H, W)",
        "output": "x_hat, the restored image, of the same shape, not clamped",
        "scale": "0 is black, 1 is white",
        "size": f"any H and W from {SMALLEST} pixels",
        "weights_sha256": checksums([name], weights_dir())[name],
        "course": f"ippy {_version()}",
    }
    content = to_onnx(model, record)
    write_atomically(path, lambda file: file.write(content))
    return path


def _version() -> str:
    try:
        return importlib.metadata.version("ippy")
    except importlib.metadata.PackageNotFoundError:  # the course's folder is on the path, no more
        return "(not installed)"


def to_onnx(model: nn.Module, record: Mapping[str, str]) -> bytes:
    """Return the bytes of an ONNX file.

    Args:
        model: One of the course's models, on the CPU, in evaluation mode; it is left as it is.
        record: The file's metadata.

    Raises:
        ModuleNotFoundError: onnx or onnxscript is not installed.
    """
    for package in ("onnx", "onnxscript"):
        check_installed(package, "which the export needs", "export")
    with warnings.catch_warnings(), _positions_of_any_grid(model):
        warnings.simplefilter("ignore")  # of the exporter's own parts
        program = torch.onnx.export(
            model,
            (torch.zeros(2, 1, *TRACED),),
            dynamo=True,
            input_names=["y"],
            output_names=["x_hat"],
            dynamic_shapes=({0: "B", 2: "H", 3: "W"},),
            verbose=False,
        )
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # the paths and lines of this machine's sources
    program.model.metadata_props.update(record)
    return program.model_proto.SerializeToString()


@contextmanager
def _positions_of_any_grid(model: nn.Module) -> Iterator[None]:
    """Let a ViT, within a ``with`` block, choose in its graph how its positions are resized.

    What the model does in Python, where the grid of patches is known, is no part of a graph.
    """
    if not isinstance(model, ViTReconstructor):
        yield
        return
    model.positions = functools.partial(_resized_positions, model)
    try:
        yield
    finally:
        del model.positions


def _resized_positions(model: ViTReconstructor, grid: tuple[int, int], origin: None) -> Tensor:
    """Return what ``model.positions(grid)`` returns, (1, N, d), for a grid known only at run time.

    On the learned grid the plain interpolation changes nothing.
    """
    G, d = model.grid_size, model.pos_embed.shape[2]

    def averaged(image: Tensor) -> Tensor:
        return F.interpolate(image, size=grid, mode="bicubic", antialias=True)

    def plain(image: Tensor) -> Tensor:
        return F.interpolate(image, size=grid, mode="bicubic")

    image = model.pos_embed.transpose(1, 2).reshape(1, d, G, G)  # (1, d, G, G)
    image = torch.cond(torch.sym_max(*grid) < G, averaged, plain, (image,))  # (1, d, H_p, W_p)
    return image.flatten(2).transpose(1, 2)  # (1, N, d)
