"""Slice files: every kind of PNG is read right, every other file is refused by its path."""

from __future__ import annotations

import io
import os
import random
import struct
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from ippy.data import MayoDataset, slices
from ippy.data.slices import find_slices, read_slice

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
links = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


GREY = png(Image.fromarray(RAMP))
NOISE = png(Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)))


def put(path, content=GREY):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def palette(alpha=None):
    image = Image.fromarray(RAMP).convert("P")
    image.putpalette([value for value in range(256) for _ in range(3)])
    if alpha is not None:
        image.info["transparency"] = alpha
    return image


def colour(*, alpha=None):
    planes = [RAMP] * 3 if alpha is None else [*[RAMP] * 3, np.full_like(RAMP, alpha)]
    return Image.fromarray(np.dstack(planes))


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def raw(width, height, bits, kind, rows):
    """A PNG of any kind, also of those that Pillow does not write."""
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return slices.PNG + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


WIDE = (RAMP.astype(np.uint16) * 256 + 7).astype(">u2")  # 16 bits, big-endian as in the file


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("content", "expected"),
    {
        "grey": (GREY, RAMP),
        "16 bits": (raw(16, 16, 16, 0, [r.tobytes() for r in WIDE]), WIDE.astype(np.uint16)),
        "16 bits of colour": (
            raw(16, 16, 16, 2, [np.repeat(r, 3).tobytes() for r in WIDE]),
            RAMP,
        ),
        "16 bits with alpha": (
            raw(16, 16, 16, 4, [np.repeat(r, 2).tobytes() for r in WIDE]),
            RAMP,
        ),
        "4 bits": (raw(4, 1, 4, 0, [b"\x0f\x37"]), [[0, 255, 51, 119]]),
        "1 bit": (png(Image.fromarray(RAMP > 99)), np.where(RAMP > 99, 255, 0)),
        "palette": (png(palette()), RAMP),
        "palette, one colour transparent": (png(palette(alpha=3)), RAMP),
        "palette, many colours transparent": (png(palette(alpha=bytes(range(256)))), RAMP),
        "RGB": (png(colour()), RAMP),
        "RGBA": (png(colour(alpha=255)), RAMP),
        "RGBA, half transparent": (png(colour(alpha=100)), RAMP),
        "LA": (png(Image.fromarray(RAMP).convert("LA")), RAMP),
        "one pixel": (png(Image.fromarray(RAMP[3:4, 4:5])), RAMP[3:4, 4:5]),
        "not square": (png(Image.fromarray(RAMP[:2])), RAMP[:2]),
    }.values(),
)
def test_every_kind_of_png_is_read(tmp_path, content, expected):
    pixels = read_slice(put(tmp_path / "P" / "0.png", content))
    assert pixels.dtype == (np.uint16 if np.max(expected) > 255 else np.uint8)
    assert np.array_equal(pixels, expected)
    image = MayoDataset(tmp_path, 8)[0]
    assert image.shape == (1, 8, 8) and image.dtype == torch.float32
    assert 0 <= image.min() and image.max() <= 1


def test_colour_becomes_luminance(tmp_path):
    red, green, blue = (
        read_slice(put(tmp_path / f"{c}.png", png(Image.new("RGB", (1, 1), c))))[0, 0]
        for c in ("red", "lime", "blue")
    )
    assert (red, green, blue) == (76, 150, 29)


def flipped(content, where):
    changed = bytearray(content)
    changed[where] ^= 1
    return bytes(changed)


JPEG = io.BytesIO()
Image.fromarray(RAMP).save(JPEG, format="JPEG")

BAD = {
    "empty": (b"", "it is empty"),
    "text": (b"this is not a picture, whatever its name says", "does not begin as a PNG"),
    "short": (slices.PNG, "does not begin as a PNG"),
    "JPEG": (JPEG.getvalue(), "does not begin as a PNG"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "does not begin as a PNG"),
    "cut": (GREY[: len(GREY) // 2], ""),
    "without its end": (GREY[:-12], ""),
    "one bit of the pixels": (flipped(NOISE, len(NOISE) // 2), "checksum"),
    "one bit of a checksum": (flipped(NOISE, -14), "checksum"),
    "garbage that checks out": (
        slices.PNG + GREY[8:33] + chunk(b"IDAT", b"no zlib stream") + chunk(b"IEND", b""),
        "",
    ),
    "no pixels": (raw(0, 5, 8, 0, []), "it is 0 x 5"),
    "a bomb": (raw(60_000, 60_000, 8, 0, []), "it is 60000 x 60000 pixels; expected at most"),
    "a stripe": (raw(2000, 1, 8, 0, [bytes(2000)]), "it is 2000 x 1 pixels; expected at most"),
    "a bomb of text": (
        slices.PNG
        + GREY[8:33]
        + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10_000_000)))
        + GREY[33:],
        "",
    ),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("content", "says"), BAD.values(), ids=BAD)
def test_bad_files_are_named_in_one_line(tmp_path, content, says):
    path = put(tmp_path / "P" / "7.png", content)
    with pytest.raises(
        ValueError, match=rf"^cannot read .*7\.png as a PNG image: .*{says}"
    ) as caught:
        MayoDataset(tmp_path)[0]
    message = str(caught.value)
    assert message.count(str(path)) == 1 and "\n" not in message
    assert "python -m ippy prepare" in message and "--skip-bad" in message


def test_flipped_bits_are_found_or_change_nothing(tmp_path):
    rng, path, found = random.Random(0), tmp_path / "0.png", 0
    good = read_slice(put(path, NOISE))
    for _ in range(300):
        changed = bytearray(NOISE)
        changed[rng.randrange(len(NOISE))] ^= 1 << rng.randrange(8)
        try:
            pixels = read_slice(put(path, bytes(changed)))
        except ValueError:
            found += 1
        else:
            assert np.array_equal(pixels, good)
    assert found >= 290


def test_only_names_are_read_to_find_slices(tmp_path, monkeypatch):
    for i in range(300):
        put(tmp_path / f"P{i % 3}" / f"{i}.png", b"")

    def opened(*_, **__):
        raise AssertionError("a file was opened")

    monkeypatch.setattr("pathlib.Path.open", opened)
    monkeypatch.setattr(slices, "read_slice", opened)
    found = [path.relative_to(tmp_path).as_posix() for path in MayoDataset(tmp_path).paths]
    assert found == sorted(found) and len(found) == 300


def test_what_is_taken_for_a_slice(tmp_path):
    taken = ["A/0.png", "A/1.PNG", "A/10.Png", "A/2.png", "b/0.png", "à/0.png"]
    left = ["A/._0.png", "A/.3.png.x.part", "A/notes.txt", "A/png", ".hidden/0.png", "0.png"]
    left += ["A/deeper/0.png"]
    for name in (*taken, *left):
        put(tmp_path / name)
    found, faults = find_slices(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == taken
    assert faults == {}


@links
def test_links_are_followed_and_those_that_lead_nowhere_are_named(tmp_path):
    put(tmp_path / "real" / "0.png")
    root = tmp_path / "data"
    root.mkdir()
    (root / "A").symlink_to(tmp_path / "real", target_is_directory=True)
    (root / "up").symlink_to(tmp_path, target_is_directory=True)  # a circle: up/data/up/data/…
    assert [path.relative_to(root).as_posix() for path in MayoDataset(root).paths] == ["A/0.png"]

    (tmp_path / "real" / "loop.png").symlink_to(tmp_path / "real" / "loop.png")
    (tmp_path / "real" / "gone.png").symlink_to(tmp_path / "nothing.png")
    files = MayoDataset(root)
    assert len(files) == 3
    for i, name in ((1, "gone"), (2, "loop")):
        with pytest.raises(ValueError, match=rf"{name}\.png as a PNG image"):
            files[i]

    (root / "B").symlink_to(root / "B")
    with pytest.raises(ValueError, match=r"cannot list the folder .*B"):
        MayoDataset(root)
    assert MayoDataset(root, skip_bad=True).paths == [root / "A" / "0.png"]


def test_what_is_no_file_is_named(tmp_path):
    (tmp_path / "P" / "0.png").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"0\.png as a PNG image: it is not a file"):
        MayoDataset(tmp_path)[0]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "P" / "1.png")  # reading it would wait for ever
        with pytest.raises(ValueError, match=r"1\.png as a PNG image: it is not a file"):
            MayoDataset(tmp_path)[1]


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    path = put(tmp_path / "P" / "0.png")

    def refuse(self, *_):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(ValueError, match="Permission denied") as caught:
        read_slice(path)
    assert str(caught.value).count(str(path)) == 1


def test_skipping_bad_files_lists_them_and_keeps_the_rest(tmp_path):
    for i in range(6):
        put(tmp_path / "P" / f"{i}.png", png(Image.fromarray(RAMP + i)))
    put(tmp_path / "P" / "1.png", b"text")
    put(tmp_path / "P" / "4.png", GREY[:60])
    kept = MayoDataset(tmp_path, 16, skip_bad=True)
    assert [path.name for path in kept.paths] == ["0.png", "2.png", "3.png", "5.png"]
    assert [path.name for path in kept.skipped] == ["1.png", "4.png"]
    bad = tmp_path / "P" / "1.png"
    assert kept.skipped[bad] == f"{bad}: it does not begin as a PNG file does"
    assert torch.equal(kept[3], torch.from_numpy((RAMP + 5) / np.float32(255))[None])
    assert MayoDataset(tmp_path, 16).skipped == {}

    for path in kept.paths:
        path.write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"no slice in .* can be read; the first is .*0\.png: it is empty"
    ):
        MayoDataset(tmp_path, skip_bad=True)


def test_files_brighter_than_white_are_bad_ones(tmp_path):
    for i, most in enumerate((4000, 5000)):
        put(tmp_path / "P" / f"{i}.png", png(Image.fromarray(np.full((4, 4), most, np.uint16))))
    put(tmp_path / "P" / "2.png")
    kept = MayoDataset(tmp_path, white=4095, skip_bad=True)
    assert [path.name for path in kept.paths] == ["0.png", "2.png"]
    assert "1.png holds 5000, more than white, 4095" in kept.skipped[tmp_path / "P" / "1.png"]


def test_slices_beside_the_patients_are_pointed_out(tmp_path):
    put(tmp_path / "0.png")
    with pytest.raises(FileNotFoundError, match=r"1 \.png files lie in it directly"):
        MayoDataset(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"data_shape": 0}, ValueError, "data_shape is 0"),
        ({"data_shape": True}, TypeError, "data_shape is True"),
        ({"data_path": 7}, TypeError, r"data_path is an int; expected a str or a pathlib\.Path"),
        ({"data_shape": 10**9}, ValueError, "data_shape is 1000000000"),
        ({"data_shape": 25.6}, TypeError, r"data_shape is 25\.6"),
        ({"cache_bytes": -1}, ValueError, "cache_bytes is -1"),
        ({"cache_bytes": "1 GB"}, TypeError, "cache_bytes is '1 GB'"),
    ],
)
def test_numbers_out_of_range_are_named(tmp_path, arguments, error, says):
    put(tmp_path / "P" / "0.png")
    with pytest.raises(error, match=says):
        MayoDataset(**{"data_path": tmp_path} | arguments)
    assert len(MayoDataset(tmp_path, np.int64(8))) == 1
