"""The data set's indices, and slices whose white is not the largest value of their files."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset

from ippy import __main__ as command_line
from ippy.commands import evaluate as evaluate_command
from ippy.data import MayoDataset
from ippy.problems import motion_deblurring
from ippy.quality import evaluate


def body(seed: int = 0, side: int = 32) -> np.ndarray:
    """Return a bright disc in black air, uint8."""
    grid = np.mgrid[:side, :side] - side / 2
    texture = np.random.default_rng(seed).integers(90, 256, (side, side))
    return np.where((grid**2).sum(axis=0) < (side / 2.5) ** 2, texture, 0).astype(np.uint8)


def save(root: Path, name: str, pixels: np.ndarray) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def five(tmp_path: Path) -> MayoDataset:
    for number in range(5):
        save(tmp_path, f"P/{number}.png", body(number))
    return MayoDataset(tmp_path, 32)


@pytest.mark.parametrize(
    ("index", "places"),
    [
        (slice(0, 3), [0, 1, 2]),
        (slice(None, None, -2), [4, 2, 0]),
        (slice(3, 99), [3, 4]),
        ([0, 2], [0, 2]),
        ([-1, np.int64(0)], [4, 0]),
        (range(1, 3), [1, 2]),
        (np.array([3, 3]), [3, 3]),
        (torch.tensor([1, -2]), [1, 3]),
        (slice(2, 2), []),
        ([], []),
    ],
    ids=str,
)
def test_several_indices_are_a_batch(five: MayoDataset, index: object, places: list[int]) -> None:
    found = five[index]
    assert found.shape == (len(places), 1, 32, 32) and found.dtype == torch.float32
    assert all(image.equal(five[place]) for image, place in zip(found, places, strict=True))


@pytest.mark.parametrize(
    "index", [3, np.int64(3), np.uint8(3), -2, np.array(3), torch.tensor(3)], ids=repr
)
def test_one_index_is_one_slice(five: MayoDataset, index: object) -> None:
    assert five[index].shape == (1, 32, 32) and five[index].equal(five[3])


@pytest.mark.parametrize("index", ["0", 1.0, None, True, (0, 1), np.True_, np.float32(1)], ids=repr)
def test_what_is_no_index_is_refused(five: MayoDataset, index: object) -> None:
    with pytest.raises(TypeError, match=r"index is .* expected a whole number"):
        five[index]


@pytest.mark.parametrize("mask", [[True, False] * 2, np.array([True, False]), torch.tensor([True])])
def test_a_mask_is_no_list_of_indices(five: MayoDataset, mask: object) -> None:
    with pytest.raises(TypeError, match="index is True of type bool"):
        five[mask]


@pytest.mark.parametrize("index", [5, -6, [0, 5], np.int64(10**6)], ids=repr)
def test_an_index_outside_is_told_how_many_there_are(five: MayoDataset, index: object) -> None:
    with pytest.raises(IndexError, match=r"index is -?\d+; there are 5 slices, 0 to 4"):
        five[index]


def test_torch_loads_single_slices_as_before(five: MayoDataset) -> None:
    (batch,) = DataLoader(Subset(five, [4, 0]), batch_size=2)
    assert batch.equal(five[[4, 0]])


# White.


def low(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Return 8 bits as that many in 16, at the low end."""
    return np.round(pixels * ((2**bits - 1) / 255)).astype(np.uint16)


@pytest.fixture
def warned() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


@pytest.mark.parametrize(("bits", "part"), [(8, "0.4"), (10, "1.6"), (12, "6.2"), (14, "25.0")])
def test_few_bits_in_sixteen_are_told_once_and_scaled(
    tmp_path: Path, warned: list, bits: int, part: str
) -> None:
    for number in range(3):
        save(tmp_path / "right", f"P/{number}.png", body(number))
        save(tmp_path / "low", f"P/{number}.png", low(body(number), bits))
    for patient in ("Q", "R"):
        save(tmp_path / "right", f"{patient}/0.png", body())
        save(tmp_path / "low", f"{patient}/0.png", low(body(), bits))
    right, dark = MayoDataset(tmp_path / "right", 32), MayoDataset(tmp_path / "low", 32)
    for image in (*dark, *dark):
        assert image.max() <= 0.25
    (warning,) = warned
    white = 2**bits - 1
    assert f"is {white}, {part} % of white" in str(warning.message)
    assert f"MayoDataset(..., white={white}), or --white {white}" in str(warning.message)
    assert Path(warning.filename).name == Path(__file__).name

    scaled = MayoDataset(tmp_path / "low", 32, white=np.int64(white))
    half = MayoDataset(tmp_path / "low", 16, white=white)  # resized: kept in other steps
    for _ in range(2):  # from the files, then from the cache
        torch.testing.assert_close(scaled[:], right[:], atol=0.5 / white, rtol=0)
        expected = MayoDataset(tmp_path / "right", 16, cache_bytes=0)[:]
        torch.testing.assert_close(half[:], expected, atol=0.5 / white + 1e-5, rtol=0)
    assert len(warned) == 1


def test_twelve_bits_score_as_eight_do_once_white_is_given(tmp_path: Path) -> None:
    save(tmp_path / "a", "P/0.png", body(side=64))
    save(tmp_path / "b", "P/0.png", low(body(side=64), 12))
    right, scaled = MayoDataset(tmp_path / "a", 64), MayoDataset(tmp_path / "b", 64, white=4095)
    scores = [evaluate({}, images, motion_deblurring())["psnr"][0] for images in (right, scaled)]
    assert scores[1] == pytest.approx(scores[0], abs=0.01)
    with pytest.warns(UserWarning, match="white=4095"):
        dark = evaluate({}, MayoDataset(tmp_path / "b", 64), motion_deblurring())["psnr"][0]
    assert dark > scores[0] + 20


def test_one_dark_slice_beside_a_bright_one_is_told(tmp_path: Path, warned: list) -> None:
    save(tmp_path, "P/0.png", body().astype(np.uint16) * 257)
    save(tmp_path, "P/1.png", body().astype(np.uint16) * 16)
    list(MayoDataset(tmp_path, 32))
    assert [str(warning.message)[:31] for warning in warned] == ["the largest value of P/1.png an"]


def test_what_is_rightly_dark_is_not_told(tmp_path: Path, warned: list) -> None:
    for number in range(8):
        save(tmp_path, f"eight bits/{number}.png", body(number) // 20)
        save(tmp_path, f"bright/{number}.png", body(number).astype(np.uint16) * 120)
        save(tmp_path, f"black/{number}.png", np.zeros((32, 32), np.uint16))
    save(tmp_path, "bright/air.png", low(body(), 11))  # the last slice of a bright scan
    list(MayoDataset(tmp_path, 32))
    assert not warned


def test_the_largest_value_is_that_of_the_patient_and_bad_files_are_passed_over(
    tmp_path: Path, warned: list
) -> None:
    for number in range(40):
        save(tmp_path, f"P/{number:02}.png", low(body(), 12 if 10 < number < 15 else 9))
    (tmp_path / "P" / "09.png").write_text("no picture", encoding="utf-8")
    MayoDataset(tmp_path, 32)[0]
    assert "white=4095" in str(warned[0].message)


def test_more_than_white_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "P/0.png", low(body(), 14))
    save(tmp_path, "P/1.png", body())
    images = MayoDataset(tmp_path, 32, white=4095)
    with pytest.raises(ValueError, match=r"0\.png holds 16383, more than white, 4095"):
        images[0]
    assert images[1].max() == body().max() / 255  # 8 bits have a white of their own
    for white, error in [(0, ValueError), (70_000, ValueError), ("4095", TypeError)]:
        with pytest.raises(error, match="white is"):
            MayoDataset(tmp_path, white=white)


def test_the_command_takes_white(tmp_path: Path, monkeypatch, capsys) -> None:
    save(tmp_path, "P/0.png", low(body(side=64), 12))

    def no_checkpoint(name: str, path: Path) -> None:
        raise FileNotFoundError("none")

    monkeypatch.setattr(evaluate_command, "load_checkpoint", no_checkpoint)
    monkeypatch.setattr("ippy.quality.metrics.features_available", lambda: False)
    psnr = {}
    for white in ("65535", "4095"):
        assert command_line.main(["evaluate", "--data", str(tmp_path), "--white", white]) == 0
        row = next(s for s in capsys.readouterr().out.splitlines() if s.startswith("Measurement"))
        psnr[white] = float(row.split()[2])
    assert psnr["65535"] > psnr["4095"] + 20


def test_a_copy_for_a_worker_has_no_slices_in_it(five: MayoDataset) -> None:
    before = len(pickle.dumps(five))
    images = five[:]
    assert len(pickle.dumps(five)) == before
    copy = pickle.loads(pickle.dumps(five))
    assert copy[:].equal(images) and len(copy._cache) == len(five._cache) == 5


def test_the_files_have_a_checksum_of_names_and_bytes(five: MayoDataset, tmp_path: Path) -> None:
    before = five.files_sha256()
    assert MayoDataset(tmp_path, 16).files_sha256() == before
    five.paths[4].rename(tmp_path / "P" / "5.png")
    renamed = MayoDataset(tmp_path).files_sha256()
    save(tmp_path, "P/5.png", body(7))
    assert len({before, renamed, MayoDataset(tmp_path).files_sha256()}) == 3


def test_a_black_slice_is_pointed_out() -> None:
    x = torch.rand(2, 1, 32, 32)
    x[1] = 0
    with pytest.warns(UserWarning, match=r"images\[1\] is black"):
        evaluate({}, x, motion_deblurring(), metrics=["mse"])
