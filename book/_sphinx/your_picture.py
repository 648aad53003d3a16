"""Sphinx extension: packs what the page "Restore your own picture" runs into scripts.

The models are exported from the course's weights, the slices are drawn, and onnxruntime-web and
dicom-parser come from ``book/_vendor``. A page that was opened from a disk may load nothing but
scripts, so each becomes one, base64 of a gzip stream, and none is loaded before a reader asks for
it.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from PIL import Image
from sphinx.application import Sphinx

from ippy import models
from ippy.base.files import locked
from ippy.base.paths import output_dir, weights_dir
from ippy.data.generation import SEED
from ippy.data.phantoms import generate_slice
from ippy.models import LABELS
from ippy.problems import Tikhonov, motion_deblurring
from ippy.tools import export as exporting
from ippy.tools.dicom import WINDOW

PAGE = "book/your_picture"
FOLDER = "your_picture"
SCRIPTS = (
    "start", "packed/facts", "headers", "dicom", "pictures", "measure", "metrics", "tikhonov",
    "models", "view", "challenges", "page",
)  # fmt: skip
BOOK = Path(__file__).resolve().parent.parent
VENDOR = BOOK / "_vendor"
RUNTIME = VENDOR / "onnxruntime-web"

# Label -> patient, index and count: slices of the test set, which no model was trained on.
SLICES = {
    "Chest": ("G91", 3, 16),
    "Heart": ("G91", 6, 16),
    "Liver": ("G92", 10, 16),
    "Abdomen": ("G92", 14, 16),
}
TASK = {"length": 9, "angle": 20, "noise": 0.01}  # that of ippy.problems.motion_deblurring


def add_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Give the page its scripts and its style; other pages stay as they are."""
    if page == PAGE:
        app.add_css_file(f"{FOLDER}/page.css")
        for script in SCRIPTS:
            app.add_js_file(f"{FOLDER}/{script}.js", loading_method="defer")


def pack_all(app: Sphinx, error: Exception | None) -> None:
    """Write the packed scripts, once the pages are there."""
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir) / "_static" / FOLDER / "packed"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(VENDOR / "dicom-parser" / "dicomParser.min.js", folder / "dicom-parser.js")
    models = {name: exported(name) for name in exporting.shipped()}
    run = runtime() | models
    parts = run | slices()
    sizes = {name: write_packed(folder, name, content) for name, content in parts.items()}
    facts = {
        "models": [
            {"name": name, "label": LABELS[name], "megabytes": megabytes(sizes[name])}
            for name in models
        ],
        "megabytes": round(sum(sizes[name] for name in run) / 1e6),
        "slices": [{"name": slice_name(label), "label": label} for label in SLICES],
        "task": TASK,
        "weight": Tikhonov(motion_deblurring().operator).weight,
        "window": WINDOW,
        "magma": "".join(f"{byte:02x}" for row in magma() for byte in row),
    }
    text = f"yourPicture.facts = {json.dumps(facts)};\n"
    (folder / "facts.js").write_text(text, encoding="utf-8")


def write_packed(folder: Path, name: str, content: bytes) -> int:
    """Write ``NAME.js``, which gives the page ``content``, and return its size in bytes."""
    packed = base64.b64encode(gzip.compress(content, mtime=0)).decode()
    text = f"yourPicture.packed({json.dumps(name)}, {json.dumps(packed)});\n"
    (folder / f"{name}.js").write_text(text, encoding="utf-8")
    return len(text)


def runtime() -> dict[str, bytes]:
    """Return onnxruntime-web's three files, and what runs beside them in the worker."""
    return {
        "ort": (RUNTIME / "ort.wasm.min.js").read_bytes(),
        "loader": (RUNTIME / "ort-wasm-simd-threaded.mjs").read_bytes(),
        "wasm": gzip.decompress((RUNTIME / "ort-wasm-simd-threaded.wasm.gz").read_bytes()),
        "worker": (BOOK / "_static" / FOLDER / "worker.js").read_bytes(),
    }


def exported(name: str) -> bytes:
    """Return a model as ONNX; it is exported once for all that it is made of."""
    code = [Path(exporting.__file__), *Path(models.__file__).parent.glob("*.py")]
    versions = [version(package) for package in ("torch", "onnx", "onnxscript")]
    digest = hashlib.sha256(repr(versions).encode())
    for path in [weights_dir() / f"{name}.pth", *sorted(code)]:
        digest.update(path.read_bytes())
    folder = output_dir("_build/onnx")
    path = folder / f"{name}-{digest.hexdigest()[:16]}.onnx"
    with locked(folder / f".{name}.lock", path, wait=600):
        if not path.is_file():
            for older in folder.glob(f"{name}-*.onnx"):
                older.unlink()
            exporting.export(name, path)
        return path.read_bytes()


def slices() -> dict[str, bytes]:
    """Return slices of the generated test set as PNG files, by the names of their scripts."""
    files = {}
    for label, (patient, index, count) in SLICES.items():
        file = io.BytesIO()
        Image.fromarray(generate_slice(SEED, "test", patient, index, count)).save(file, "png")
        files[slice_name(label)] = file.getvalue()
    return files


def slice_name(label: str) -> str:
    """Return what the script of a slice is called."""
    return f"slice-{label.lower()}"


def magma() -> list[tuple[int, int, int]]:
    """Return matplotlib's palette for errors, 256 colours."""
    return [tuple(colour[:3]) for colour in colormaps["magma"](range(256), bytes=True).tolist()]


def megabytes(size: int) -> float:
    """Return a size in millions of bytes, as it is shown."""
    return round(size / 1e6, 1)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect both to Sphinx."""
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", pack_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
