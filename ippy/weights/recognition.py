"""What a file is that was taken for a checkpoint and is none: known by its bytes, never run."""

from __future__ import annotations

import codecs
import io
import pickletools
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress

BEGINNING = 1 << 16  # bytes that are looked at where the first few don't settle it
DOWNLOAD = "Download the file itself, not its page: look for a link that says raw or download."
UNPACK = "Unpack it, and give the checkpoint that is in it."
KERAS = "Its weights are another framework's: convert them to a state dict first."
PICTURE = "Give a checkpoint: this is something else under its name."

# Objects that are the envelope of tensors; what else a pickle names is not weights.
PLAIN = re.compile(
    r"(torch|torch\._utils|torch\.storage|torch\.nn\.parameter|collections|_codecs)\.\w+"
)
ONNX = re.compile(rb"\x08[\x01-\x1f][\x12\x1a\x22\x2a\x32\x3a\x42]")  # version, then a known field
WEB_PAGE = re.compile(r"\s*(<!--.*?-->\s*)?<(!doctype html|html|head|body|\?xml)", re.I | re.S)

Test = Callable[[bytes], bool]


def _begins(*magic: bytes) -> Test:
    return lambda data: data.startswith(magic)


def _is_safetensors(data: bytes) -> bool:
    length = int.from_bytes(data[:8], "little")  # of the JSON header that follows
    return 2 <= length < 100_000_000 and data[8:9] == b"{" and data[9:10] in (b'"', b"}", b" ")


def _is_onnx(data: bytes) -> bool:
    return ONNX.match(data) is not None


def _is_text(data: bytes) -> bool:
    return _text(data) != ""


def _is_web_page(data: bytes) -> bool:
    return WEB_PAGE.match(_text(data) or data[:BEGINNING].decode("latin-1")) is not None


def _is_json(data: bytes) -> bool:
    return _text(data).lstrip().startswith(("{", "["))


# How to tell it, what it is, what to do; the first that fits counts.
KINDS: tuple[tuple[Test, str, str], ...] = (
    (lambda data: not any(data), "holds zeros only: a download or copy that stopped", ""),
    (
        _begins(b"version https://git-lfs"),
        "is a Git LFS pointer, which stands for the file",
        "Fetch the file with `git lfs pull`, or download it.",
    ),
    (_begins(b"\x89HDF\r\n\x1a\n"), "is an HDF5 file, as Keras writes", KERAS),
    (lambda data: data[4:8] == b"TFL3", "is a TensorFlow Lite model", KERAS),
    (
        _begins(b"\x93NUMPY"),
        "is a NumPy array",
        "A state dict has a name for each tensor: torch.save({'name': tensor}, 'weights.pth').",
    ),
    (_begins(b"GGUF"), "is a GGUF file, a language model", PICTURE),
    (_begins(b"%PDF"), "is a PDF document", PICTURE),
    (_begins(b"\x89PNG", b"\xff\xd8\xff", b"GIF8"), "is a picture", PICTURE),
    (_begins(b"7z\xbc\xaf\x27\x1c"), "is a 7z archive", UNPACK),
    (_begins(b"Rar!\x1a\x07"), "is a RAR archive", UNPACK),
    (_begins(b"\xfd7zXZ\0"), "is compressed with xz", UNPACK),
    (_begins(b"BZh"), "is compressed with bzip2", UNPACK),
    (_begins(b"\x28\xb5\x2f\xfd"), "is compressed with Zstandard", UNPACK),
    (
        _is_safetensors,
        "is a safetensors file",
        "Convert it: from safetensors.torch import load_file; "
        "torch.save(load_file(path), 'weights.pth').",
    ),
    (
        _is_onnx,
        "is an ONNX model",
        "ONNX keeps a graph; give the state dict that it was exported from.",
    ),
    (_is_web_page, "is a saved web page", DOWNLOAD),
    (_is_json, "is a JSON text, such as a server's message", DOWNLOAD),
    (_is_text, "is a text", DOWNLOAD),
)


def recognise(data: bytes) -> tuple[str, str]:
    """Say what a file is that could not be read as a checkpoint.

    Args:
        data: Its bytes, not empty.

    Returns:
        What it is, to follow "it", and what to do; the latter is empty where only another copy
        of the file helps.
    """
    if data.startswith(b"\x1f\x8b"):
        return _in_gzip(data)
    if data.startswith(b"PK"):
        return _in_zip(data)
    if data.startswith(b"\x80"):
        return _in_pickle(data)
    for test, what, advice in KINDS:
        if test(data):
            return what + _quoted(data, test), advice
    with (
        suppress(tarfile.TarError, OSError),
        tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive,
    ):
        return _in_tar(archive.getnames())
    return "is cut short or damaged, or no checkpoint at all", ""


def _quoted(data: bytes, test: Test) -> str:
    """Return how a text begins, in one line."""
    if test not in (_is_json, _is_text):
        return ""
    words = " ".join(_text(data).split())
    return f" that begins {words[:60]!r}"


def _text(data: bytes) -> str:
    """Return the beginning of a text in UTF-8 or UTF-16; empty if it is none."""
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    decoder = codecs.getincrementaldecoder("utf-16" if wide else "utf-8-sig")()
    try:
        text = decoder.decode(data[:BEGINNING])
    except UnicodeDecodeError:
        return ""
    return text if all(c.isprintable() or c.isspace() for c in text) else ""


def _in_gzip(data: bytes) -> tuple[str, str]:
    try:
        inner = zlib.decompressobj(wbits=31).decompress(data, BEGINNING)
    except zlib.error:
        return "is compressed with gzip, and cut short or damaged", ""
    for test, what, advice in KINDS:
        if inner and test in (_is_web_page, _is_json, _is_text) and test(inner):
            return f"{what}, compressed with gzip", advice
    return "is compressed with gzip", f"{UNPACK} (`gzip -d`, or `tar -xzf` for a .tar.gz)"


def _in_tar(names: list[str]) -> tuple[str, str]:
    if {"pickle", "storages", "tensors"} <= set(names):
        return (
            "is a checkpoint of the first PyTorch, in tar format, which may run code when read",
            "If you trust it: torch.save(torch.load(path, weights_only=False), 'weights.pth').",
        )
    return f"is a tar archive with {names[0]!r} in it" if names else "is an empty tar archive", (
        f"{UNPACK} (`tar -xf`)"
    )


def _in_zip(data: bytes) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _in_archive(archive)
    except Exception:  # the bytes are anybody's; the list of members is at the end
        member = data[30:80].split(b"\0")[0]
        begun = "checkpoint" if b"data" in member else "zip archive"
        return f"is cut short: the beginning of a {begun} whose end is missing or damaged", ""


def _in_archive(archive: zipfile.ZipFile) -> tuple[str, str]:
    names = archive.namelist()
    last = {name.rsplit("/", 1)[-1] for name in names}
    if not names:
        return "is an empty zip archive", ""
    if "constants.pkl" in last and any("/code/" in name for name in names):
        return (
            "is a TorchScript program, not the weights alone",
            "Take them out: torch.save(torch.jit.load(path).state_dict(), 'weights.pth').",
        )
    if last & {"archive_format", "serialized_exported_program.json"}:
        return (
            "is a program of torch.export, not the weights alone",
            "Take them out: torch.save(torch.export.load(path).state_dict, 'weights.pth').",
        )
    if "model.weights.h5" in last:
        return "is a Keras model", KERAS
    if "[Content_Types].xml" in last:
        return "is an Office document", PICTURE
    if all(name.endswith(".npy") for name in names):
        return (
            "is a NumPy archive (.npz)",
            "Convert it: torch.save({name: torch.from_numpy(array) for name, array in "
            "numpy.load(path).items()}, 'weights.pth').",
        )
    pickles = [name for name in names if name.endswith("data.pkl")]
    if not pickles:
        inner = [name for name in names if name.endswith((".pth", ".pt", ".ckpt", ".bin"))]
        return f"is a zip archive with {(inner or names)[0]!r} in it", UNPACK
    if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
        return "is a checkpoint that was unpacked and zipped again, so it may be damaged", ""
    if damaged := archive.testzip():
        return f"is damaged: the checksum of {damaged} does not match", ""
    return _in_pickle(archive.read(pickles[0]))


def _in_pickle(data: bytes) -> tuple[str, str]:
    foreign = [name for name in _named(data) if not PLAIN.fullmatch(name)]
    if not foreign:
        return "is cut short or damaged", ""
    return (
        f"holds more than tensors: it names {foreign[0]}, and nothing of it was run",
        "If it is a whole model, save its weights alone where it was made: "
        "torch.save(model.state_dict(), 'weights.pth').",
    )


def _named(data: bytes) -> list[str]:
    """Return the classes and functions that pickles, one after the other, would import."""
    file, found, texts = io.BytesIO(data), [], ["?", "?"]
    with suppress(Exception):  # the bytes are anybody's, and end somewhere
        while True:
            for operation, argument, _ in pickletools.genops(file):
                if operation.name in ("GLOBAL", "INST"):
                    found.append(argument.replace(" ", "."))
                elif operation.name == "STACK_GLOBAL":
                    found.append(".".join(texts[-2:]))
                elif isinstance(argument, str):
                    texts.append(argument)
    return found
