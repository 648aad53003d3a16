"""Files that readers give the page "Restore your own picture": read right, or refused in a line."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from playwright.sync_api import Browser
from pydicom import uid
from torchvision.transforms.functional import resize

from ippy.tools.dicom import WINDOW
from ippy.tools.dicom.pixels import grey_levels, hounsfield

from .scans import ct, transcode

RANDOM = np.random.default_rng(0)
# Smooth, so that JPEG keeps it, and in colours whose grey depends on the weights.
ROWS, COLUMNS = np.mgrid[:72, :96] / 96
COLOURS = np.stack([ROWS, COLUMNS, 1 - ROWS * COLUMNS], axis=2)
PICTURE = Image.fromarray((255 * COLOURS).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def bomb(width: int, height: int) -> bytes:
    """A small PNG file that says it is huge."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(9999)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def sixteen_bits() -> Image.Image:
    return Image.fromarray((65535 * COLOURS[..., 0]).astype(np.uint16))


def transparent() -> Image.Image:
    image = PICTURE.convert("RGBA")
    image.putalpha(Image.fromarray((255 * COLUMNS).astype(np.uint8)))
    return image


def moving(**options: Any) -> dict[str, Any]:
    return {"save_all": True, "append_images": [Image.new("RGB", PICTURE.size)] * 2, **options}


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it a quarter to the right
    return saved(PICTURE, "jpeg", quality=95, exif=exif)


PNG, JPEG = saved(PICTURE, "png"), saved(PICTURE, "jpeg", quality=95)
WEBP, GIF = saved(PICTURE, "webp", quality=95), saved(PICTURE, "gif")
UNSEEN = saved(PICTURE.convert("P"), "png", transparency=0)

REFUSED: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.png", b"", "empty"),
    "text": ("a.png", b"Nothing to see here." * 9, "not a picture that can be read"),
    "png, cut short": ("a.png", PNG[: len(PNG) // 2], "its end is missing"),
    "png, a bit flipped": ("a.png", PNG[:200] + bytes([PNG[200] ^ 1]) + PNG[201:], "checksum"),
    "png, no pixels": ("a.png", bomb(96, 72).replace(b"IDAT", b"iDOT"), "damaged"),
    "png, huge": ("a.png", bomb(30_000, 30_000), "900 million"),
    "jpeg, cut short": ("a.jpg", JPEG[: len(JPEG) // 2], "its end is missing"),
    "jpeg, its head only": ("a.jpg", JPEG[:3], "its end is missing"),
    "webp, cut short": ("a.webp", WEBP[: len(WEBP) // 2], "its end is missing"),
    "gif, cut short": ("a.gif", GIF[: len(GIF) // 2], "its end is missing"),
    "svg": ("a.svg", b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    "svg, called png": ("a.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    "html": ("a.html", b"<!doctype html><title>hello</title>", "screenshot"),
    "pdf": ("a.pdf", b"%PDF-1.7\n" + bytes(99), "PDF"),
    "tiff": ("a.tif", saved(PICTURE, "tiff"), "TIFF"),
    "bmp": ("a.bmp", saved(PICTURE, "bmp"), "BMP"),
    "avif": ("a.avif", b"\0\0\0 ftypavif" + bytes(99), "AVIF"),
    "heic": ("a.heic", b"\0\0\0 ftypheic" + bytes(99), "HEIC"),
    "dicom, damaged": ("a.dcm", bytes(128) + b"DICM" + bytes(99), "damaged"),
    "zip": ("a.zip", b"PK\3\4" + bytes(99), "archive"),
    "tiny": ("a.png", saved(PICTURE.crop((0, 0, 96, 31)), "png"), "need 32 on each side"),
    "long and thin": ("a.png", saved(Image.new("L", (4000, 40), 9), "png"), "need 32"),
    "black": ("a.png", saved(Image.new("L", (64, 64)), "png"), "black all over"),
}

READ: dict[str, tuple[str, bytes, str, float]] = {  # and by how many grey levels it may be off
    "png": ("a.png", PNG, "", 0),
    "png, grey": ("a.png", saved(PICTURE.convert("L"), "png"), "", 0),
    "png, black and white": ("a.png", saved(PICTURE.convert("1"), "png"), "", 0),
    "png, called jpg": ("a.jpg", PNG, "called .jpg, but is a PNG", 0),
    "png, no ending": ("picture", PNG, "", 0),
    "png, 16 bits": ("a.png", saved(sixteen_bits(), "png"), "Of its 16 bits", 1),
    "png, transparent": ("a.png", saved(transparent(), "png"), "laid on white", 1.5),
    "png, a colour transparent": ("a.png", UNSEEN, "laid on white", 0),
    "png, moving": ("a.png", saved(PICTURE, "png", **moving()), "first frame", 0),
    "jpeg": ("a.jpeg", JPEG, "", 2),
    "jpeg, grey": ("a.jpg", saved(PICTURE.convert("L"), "jpeg", quality=95), "", 2),
    "jpeg, progressive": ("a.jpg", saved(PICTURE, "jpeg", progressive=True, quality=95), "", 2),
    "jpeg, more behind it": ("a.jpg", JPEG + b"more of a camera's" * 9, "", 2),
    "jpeg, turned": ("a.jpg", turned(), "", 2),
    "jpeg, printing colours": (
        "a.jpg", saved(PICTURE.convert("CMYK"), "jpeg", quality=95), "CMYK", 6,
    ),
    "webp": ("a.webp", WEBP, "", 3),
    "webp, lossless": ("a.webp", saved(PICTURE, "webp", lossless=True), "", 0),
    "webp, transparent": ("a.webp", saved(transparent(), "webp", lossless=True), "on white", 1.5),
    "webp, moving": ("a.webp", saved(PICTURE, "webp", **moving(lossless=True)), "first frame", 0),
    "gif": ("a.gif", GIF, "", 0),
    "gif, moving": ("a.gif", saved(PICTURE, "gif", **moving()), "first frame", 0),
    "large": ("a.png", saved(PICTURE.resize((1500, 1125)), "png"), "shrunk: 256 × 192", 0.5),
}  # fmt: skip


@pytest.fixture(scope="module")
def give(browser: Browser, html: Path) -> Iterator[Callable[[str, bytes | Path], str]]:
    """Give one page one file after the other; returns what the page says of it."""
    context = browser.new_context(offline=True)
    page, faults = context.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto((html / "book" / "your_picture.html").as_uri())

    def given(name: str, content: bytes | Path) -> str:
        page.evaluate("document.querySelector('.picture-about').textContent = 'Reading …'")
        file: Any = content
        if isinstance(content, bytes):
            file = {"name": name, "mimeType": "", "buffer": content}
        page.locator("#picture-file").set_input_files(file)
        about = page.locator(".picture-about:not(:text-is('Reading …'))")
        return about.inner_text()

    given.page = page
    yield given
    assert not faults
    context.close()


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_picture_is_refused_in_a_line(give: Callable[..., str], kind: str) -> None:
    name, content, words = REFUSED[kind]
    give("good.png", PNG)
    said = give(name, content)
    assert words in said and "\n" not in said and len(said) < 150
    assert "picture-refused" in give.page.locator(".picture-about").get_attribute("class")
    assert give.page.evaluate("yourPicture.state().x.width") == 96, "the one before stays"


def test_a_file_of_many_megabytes_is_not_even_read(
    give: Callable[..., str], tmp_path: Path
) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(65_000_000)
    assert "65 MB; at most 64" in give("", tmp_path / "a.png")


@pytest.mark.parametrize("kind", READ)
def test_a_picture_is_read_as_python_reads_it(give: Callable[..., str], kind: str) -> None:
    name, content, words, off = READ[kind]
    said = give(name, content)
    with Image.open(io.BytesIO(content)) as file:
        image = ImageOps.exif_transpose(file)
    if image.mode == "I;16":
        grey = np.asarray(image) / 65535
    else:
        white = Image.new("RGBA", image.size, "white")
        if image.mode != "CMYK":
            image = Image.alpha_composite(white, image.convert("RGBA"))
        grey = np.asarray(image.convert("RGB").convert("L")) / 255
    x = torch.from_numpy(grey).float()[None]
    if max(x.shape) > 256:
        x = resize(x, [192, 256], antialias=True)
    found = give.page.evaluate("(({ pixels, ...x }) => ({ ...x, pixels: [...pixels] }))"
                               "(yourPicture.state().x)")  # fmt: skip
    assert (found["height"], found["width"]) == x.shape[1:], said
    error = np.abs(np.array(found["pixels"]) - x.flatten().numpy()).max() * 255
    assert error <= off + 1e-4, f"{error:.2f} grey levels off"
    assert words in said


HU = np.round(900 * COLOURS[..., 0] - 500 * COLOURS[..., 1])  # (72, 96)
SCANS: dict[str, dict[str, Any]] = {
    "plain": {},
    "implicit": {"syntax": uid.ImplicitVRLittleEndian},
    "twelve bits of sixteen, and an overlay": {
        "BitsStored": 12, "HighBit": 11,
        "PixelData": ((HU + 1024).astype("<u2") | (np.uint16(ROWS > 0.3) << 12)).tobytes(),
    },
    "signed, scaled": {
        "RescaleSlope": 2, "RescaleIntercept": 10, "PixelRepresentation": 1,
        "PixelData": np.floor((HU - 10) / 2).astype("<i2").tobytes(),
    },
    "padding": {
        "PixelPaddingValue": 2500, "PixelPaddingRangeLimit": 2400,
        "PixelData": np.where(ROWS < 0.2, 2450, HU + 1024).astype("<u2").tobytes(),
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", SCANS)
def test_a_ct_slice_is_read_as_the_import_reads_it(
    give: Callable[..., str], tmp_path: Path, kind: str
) -> None:
    options = {"hu": HU, "PixelData": (HU + 1024).astype("<u2").tobytes()} | SCANS[kind]
    path = ct(tmp_path / "slice.dcm", **options)
    said = give("slice.dcm", path.read_bytes())
    assert said == (
        "slice.dcm: 96 × 72 pixels, in grey. A CT slice: -1000 HU is black, 1600 HU is white."
    )
    centre, width = WINDOW
    ours = grey_levels(hounsfield(path.read_bytes()), centre=centre, width=width) / 65535
    found = give.page.evaluate("[...yourPicture.state().x.pixels]")
    assert found == pytest.approx(ours.flatten(), abs=1e-5)


def test_other_dicom_files_are_refused(give: Callable[..., str], tmp_path: Path) -> None:
    def refusal(**options: Any) -> str:
        pixels = {"hu": HU, "PixelData": (HU + 1024).astype("<u2").tobytes()}
        path = ct(tmp_path / "slice.dcm", **pixels | options)
        return give("slice.dcm", path.read_bytes())

    assert "only CT" in refusal(Modality="MR")
    assert "no plain CT slice" in refusal(RescaleSlope=None)
    assert "no plain CT slice" in refusal(SamplesPerPixel=3)
    for bits in ({"BitsStored": 2000}, {"BitsStored": 0}, {"HighBit": 16}, {"HighBit": 10}):
        fitting = {"BitsStored": 12, "HighBit": 11} | bits
        assert "stored bits don't fit" in refusal(**fitting)
    assert "pixels are missing" in refusal(PixelData=bytes(1000))
    plain = ct(tmp_path / "plain.dcm", hu=HU, PixelData=(HU + 1024).astype("<u2").tobytes())
    transcode(plain, tmp_path / "packed.dcm", "JPEGLosslessProcess14_1")
    assert "compressed" in give("packed.dcm", (tmp_path / "packed.dcm").read_bytes())


def test_a_large_picture_is_cut_where_the_reader_wants_that(give: Callable[..., str]) -> None:
    give.page.get_by_label("If it is larger").select_option("Cut out 512 × 512 pixels (slow)")
    wide = Image.fromarray(RANDOM.integers(1, 256, (300, 700), np.uint8))
    said = give("a.png", saved(wide, "png"))
    assert "It has 700 × 300 pixels; the middle was cut out: 512 × 300." in said
    pixels = give.page.evaluate("[...yourPicture.state().x.pixels]")
    assert pixels == pytest.approx((np.asarray(wide)[:, 94:606] / 255).flatten(), abs=1e-6)
    give.page.get_by_label("If it is larger").select_option("Shrink to 512 pixels (slow)")
    give.page.wait_for_function("yourPicture.state().x.height === 219")
    enormous = Image.new("L", (2600, 2080), 77)
    said = give("a.jpg", saved(enormous, "jpeg"))
    assert "It has 2600 × 2080 pixels; it was shrunk: 512 × 410." in said
    first = give.page.evaluate("yourPicture.state().x.pixels[0]")
    assert first == pytest.approx(77 / 255, abs=1e-3)
    give.page.get_by_label("If it is larger").select_option("Shrink to 256 pixels")
