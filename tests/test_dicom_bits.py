"""Which bits of a DICOM file are its values: every device's way of storing one body is tried."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

pydicom = pytest.importorskip("pydicom", reason='needs python -m pip install -e ".[dicom]"')
from pydicom import uid  # noqa: E402

from ippy.tools.dicom.headers import LeftOutError  # noqa: E402
from ippy.tools.dicom.pixels import hounsfield  # noqa: E402

from .scans import ct, run, stored, transcode  # noqa: E402


def body(seed=0):
    """A noisy disc of tissue with bone, a lung and a metal clip in air: (64, 64) HU."""
    rows, columns = np.mgrid[-1:1:64j, -1:1:64j]
    hu = np.full((64, 64), -990.0)
    hu[np.hypot(rows, columns) < 0.8] = 45
    hu[np.hypot(rows + 0.2, columns - 0.4) < 0.25] = -820
    hu[np.hypot(rows - 0.4, columns) < 0.2] = 1350
    hu[20:22, 20:23] = 3071
    hu = gaussian_filter(hu, 1)  # a scanner sees no sharper
    return np.clip(hu + np.random.default_rng(seed).normal(0, 12, hu.shape), -1020, 3071).round()


BODY = body()
STEEL = (BODY + gaussian_filter(6000.0 * (BODY > 1000), 3)).round()  # to 6000 HU
CIRCLE = np.hypot(*np.mgrid[-1:1:64j, -1:1:64j]) < 0.98
LINE = np.zeros((64, 64), bool)
LINE[10:50, 30:33] = LINE[5, 5:60] = True  # what an old device draws into the image


def words(hu=BODY, *, signed=False, intercept=-1024, bits=12, shift=0):
    """Return sixteen-bit words that hold HU in so many bits, after a shift to the left."""
    values = (
        stored(hu, intercept=intercept, signed=True).astype(np.int64) & ((1 << bits) - 1)
    ) << shift
    return values.astype("<u2")


def written(path, pixels, *, stored_bits=12, high="last", signed=False, intercept=-1024, **tags):
    high = stored_bits - 1 if high == "last" else high
    return ct(
        path,
        hu=BODY,
        PixelData=np.ascontiguousarray(pixels).tobytes(),
        BitsStored=stored_bits,
        HighBit=high,
        RescaleIntercept=intercept,
        **{"PixelRepresentation": int(signed)} | tags,
    )


SIGNED = {"signed": True, "intercept": 0}
MODEST = np.clip(BODY, -1020, 1500)
OF_SIGN = stored(MODEST, intercept=0, signed=True)
RIGHT = {
    "12 of 16": (words(), {}),
    "left-aligned": (words(shift=4), {"high": 15}),
    "one bit to the left": (words(shift=1), {"high": 12}),
    "left-aligned, 13 bits": (words(bits=13, shift=3), {"high": 15, "stored_bits": 13}),
    "left-aligned, signed": (words(MODEST, intercept=0, shift=4), {"high": 15, **SIGNED}),
    "left-aligned, drawing below": (words(shift=4) | LINE.astype("<u2"), {"high": 15}),
    "in the middle, drawings around": (words(shift=2) | LINE * 0x4001, {"high": 13}),
    "drawing above": (words() | LINE.astype("<u2") << 12, {}),
    "drawing in the highest bit": (words() | LINE.astype("<u2") << 15, {}),
    "all unused bits set": (words() | 0xF000, {}),
    "signed, the sign goes on": (OF_SIGN, SIGNED),
    "signed, zeros above": (words(MODEST, intercept=0), SIGNED),
    "signed, 16 bits": (OF_SIGN, {"stored_bits": 16, **SIGNED}),
    "unsigned, 16 bits": (words(bits=16), {"stored_bits": 16}),
    "no high bit": (words(), {"high": None}),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_the_values_are_found_wherever_their_bits_lie(tmp_path, name):
    pixels, header = RIGHT[name]
    path = written(tmp_path / "a", pixels.astype("<u2"), **header)
    truth = MODEST if header.get("signed") else BODY
    np.testing.assert_array_equal(hounsfield(path.read_bytes()), truth)


def test_the_order_of_bytes_and_a_compression_that_keeps_words_change_nothing(tmp_path):
    swapped = written(
        tmp_path / "big", words(shift=4).byteswap(), high=15, syntax=uid.ExplicitVRBigEndian
    )
    np.testing.assert_array_equal(hounsfield(swapped.read_bytes()), BODY)
    packed = pydicom.dcmread(written(tmp_path / "plain", words(shift=4), high=15))
    packed.BitsStored = 16  # the encoder packs whole words
    packed.compress(uid.RLELossless, words(shift=4), encoding_plugin="pydicom")
    packed.BitsStored = 12
    packed.save_as(tmp_path / "rle")
    np.testing.assert_array_equal(hounsfield((tmp_path / "rle").read_bytes()), BODY)


def below(intercept):
    """Return words that have a sign, as the body's air lies below the intercept."""
    return stored(BODY, intercept=intercept, signed=True)


HOT = "values above 32000 HU: their sign or their padding is wrong"
BITS, NUMBERS = "bits or a sign of the pixels that contradict", "no number of stored bits or no"
RANGE = "a rescale slope and intercept that leave no room for air"
WRONG = {
    "left-aligned in name only": (words(), {"high": 15}, BITS),
    "one bit to the left in name only": (words(), {"high": 12}, BITS),
    "a high bit below the last": (words(), {"high": 10}, BITS),
    "a high bit beyond the word": (words(), {"high": 17}, BITS),
    "13 bits called 12": (words(STEEL, bits=13), {}, BITS),
    "16 bits called 12": (words(BODY * 4, bits=16), {}, BITS),
    "signed called unsigned": (below(-100), {"stored_bits": 16, "intercept": -100}, BITS),
    "signed called unsigned, 12 bits": (below(-100), {"intercept": -100}, BITS),
    "noise below 0 called unsigned": (below(-980), {"intercept": -980}, BITS),
    "unsigned called signed": (words(), {"signed": True}, BITS),
    "no sign": (words(), {"PixelRepresentation": None}, NUMBERS),
    "no bits": (words(), {"stored_bits": None, "high": 11}, NUMBERS),
    "more bits than a float holds": (words(), {"stored_bits": 2000, "high": 11}, NUMBERS),
    "the intercept was lost": (words(), {"intercept": 0}, RANGE),
    "no tissue": (words(), {"intercept": -9000}, RANGE),
    "8 bits": (words()[:, :32], {"BitsAllocated": 8, "stored_bits": 8}, RANGE),
    "unmarked padding": (np.where(CIRCLE, words(), 65535), {"stored_bits": 16}, BITS),
    "one hot pixel": (np.where(BODY < BODY.max(), words(), 40000), {"stored_bits": 16}, HOT),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_header_that_contradicts_its_pixels_is_left_out(tmp_path, name):
    pixels, header, reason = WRONG[name]
    path = written(tmp_path / "scans" / "a", pixels.astype("<u2"), **header)
    with pytest.raises(ValueError, match=rf"1 left out as '({reason})"):
        run(path.parent, tmp_path / "out")


COMPRESSED = {
    "lossless JPEG": "JPEGLosslessProcess14_1",
    "JPEG 2000": "JPEG2000Lossless",
    "JPEG-LS": "JPEGLSLossless",
    "RLE": "RLELossless",
}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_values_have_their_sign_and_bits(tmp_path, name, bits, signed):
    intercept = 0 if signed else -1024
    pixels = stored(MODEST, intercept=intercept, signed=signed)
    options = {"stored_bits": bits, "signed": signed, "intercept": intercept}
    path = written(tmp_path / "plain", pixels, **options)
    transcode(path, tmp_path / "packed", COMPRESSED[name])
    np.testing.assert_array_equal(hounsfield((tmp_path / "packed").read_bytes()), MODEST)


def test_a_compressed_image_with_another_high_bit_is_left_out(tmp_path):
    path = written(tmp_path / "plain", words(bits=16), stored_bits=16)
    transcode(path, tmp_path / "packed", "JPEGLosslessProcess14_1")
    packed = pydicom.dcmread(tmp_path / "packed")
    packed.BitsStored, packed.HighBit = 12, 15
    packed.save_as(tmp_path / "packed")
    with pytest.raises(LeftOutError, match="a compressed image whose high bit"):
        hounsfield((tmp_path / "packed").read_bytes())


PADDED = {
    "16 bits in a field of 12": (np.where(CIRCLE, words(), 63536), {}, 63536),
    "the same, with a sign": (np.where(CIRCLE, OF_SIGN, -2000), SIGNED, -2000),
    "the same, its sign lost": (np.where(CIRCLE, OF_SIGN, -2000), SIGNED, 63536),
    "unsigned, given as -2000": (np.where(CIRCLE, words(), 63536), {"stored_bits": 16}, -2000),
    "left-aligned": (np.where(CIRCLE, words(shift=4), 0xFFF0), {"high": 15}, 4095),
}


@pytest.mark.parametrize("name", PADDED)
def test_padding_is_air_in_every_bits_and_signs(tmp_path, name):
    pixels, header, value = PADDED[name]
    path = written(tmp_path / "a", pixels.astype("<u2"), **header)
    dataset = pydicom.dcmread(path)
    dataset.add_new("PixelPaddingValue", "SS" if value < 0 else "US", value)
    dataset.save_as(path)
    values = hounsfield(path.read_bytes())
    assert (values[~CIRCLE] == -1000).all()
    truth = MODEST if header.get("signed") else BODY
    np.testing.assert_array_equal(values[CIRCLE], truth[CIRCLE])


@pytest.mark.parametrize("value", [0, 45, 1350])
def test_tissue_of_the_padding_value_is_tissue_where_no_border_is_near(tmp_path, value):
    hu = BODY.copy()
    hu[28:36, 28:36] = value
    hu[0, 0] = value
    pixels = stored(hu, intercept=0, signed=True)
    path = written(tmp_path / "a", pixels, stored_bits=16, **SIGNED, PixelPaddingValue=value)
    values = hounsfield(path.read_bytes())
    hu[0, 0] = -1000
    np.testing.assert_array_equal(values, hu)


def test_air_of_the_padding_value_is_air_everywhere(tmp_path):
    hu = BODY.copy()
    hu[28:36, 28:36] = -2000
    pixels = stored(hu, intercept=0, signed=True)
    path = written(tmp_path / "a", pixels, stored_bits=16, **SIGNED, PixelPaddingValue=-2000)
    assert (hounsfield(path.read_bytes())[28:36, 28:36] == -1000).all()
