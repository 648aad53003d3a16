"""Preparing the slices, and reading them."""

from __future__ import annotations

import hashlib
import json
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import center_crop, resize

from ippy.__main__ import main
from ippy.data import MayoDataset, dataset, prepare_mayo, validation_slices
from ippy.data import generation as data
from ippy.data.slices import read_slice
from ippy.weights import read_manifest


@pytest.fixture
def small_plan(monkeypatch):
    monkeypatch.setattr(data, "PLAN", {"train": {"G01": 12, "T01": 6}, "test": {"G91": 2}})


def pixels(root):
    return {p.relative_to(root).as_posix(): np.array(Image.open(p)) for p in root.rglob("*.png")}


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def grey(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.usefixtures("small_plan")
def test_prepare_gives_the_same_pixels_for_any_number_of_workers(tmp_path):
    prepare_mayo(tmp_path / "one", progress=False, workers=1)
    prepare_mayo(tmp_path / "two", progress=False, workers=2)
    one, two = pixels(tmp_path / "one"), pixels(tmp_path / "two")
    assert len(one) == 20
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)
    first, second = ((tmp_path / n / "manifest.json").read_bytes() for n in ("one", "two"))
    assert first == second
    manifest = json.loads(first)
    assert manifest["generated"] is True
    assert manifest["complete"] is True
    assert manifest["counts"] == {"train": 18, "test": 2}
    assert manifest["sha256"] == checksum(tmp_path / "two")


def checksum(root):
    """The documented one: decoded pixels, slices in the order of their paths as strings."""
    return hashlib.sha256(
        b"".join(p.tobytes() for _, p in sorted(pixels(root).items()))
    ).hexdigest()


def test_the_prepared_slices_have_the_recorded_checksum_and_can_be_made_again():
    root = prepare_mayo(progress=False)
    manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    found = pixels(root)
    jobs = {job[0].relative_to(root).as_posix(): job[1:] for job in _jobs(root, manifest)}
    if jobs.keys() != found.keys():
        pytest.skip("Mayo/ holds real slices")
    assert manifest["sha256"] == checksum(root)
    for name in ("train/G07/31.png", "train/G30/59.png", "test/G92/0.png"):
        assert np.array_equal(data.generate_slice(*jobs[name]), found[name])


def _jobs(root, manifest):
    return data._jobs(root, manifest["seed"], manifest["slices"])


def test_the_recorded_checksum_is_that_of_the_slices_the_weights_were_trained_on():
    trained = {entry["data"]["sha256"] for entry in read_manifest().values()}
    assert trained == {data.SHA256}


@pytest.mark.parametrize("rounds", [False, True])
def test_a_machine_that_makes_other_pixels_is_told(tiny, monkeypatch, capsys, rounds):
    root, _ = tiny
    monkeypatch.setattr(data, "SHA256", "another" if rounds else checksum(root))
    (root / "train" / "G01" / "1.png").unlink()
    prepare_mayo(root, progress=False)
    assert ("shipped weights" in capsys.readouterr().out) == rounds


def test_a_full_disk_while_preparing_is_told_and_prepare_goes_on_later(
    tmp_path, monkeypatch, full_disk
):
    monkeypatch.setattr(data, "PLAN", {"train": {"G01": 2}, "test": {"G91": 1}})
    monkeypatch.setattr(data, "generate_slice", lambda *_: grey(256, 256))
    with full_disk(5000), pytest.raises(OSError, match="nothing was written") as caught:
        prepare_mayo(tmp_path, progress=False)
    assert "0.png" in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".png", ".part"))]
    prepare_mayo(tmp_path, progress=False)
    assert len(pixels(tmp_path)) == 3


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A data folder with four slices, and how many slices were made since."""
    made = []

    def fake(seed, split, patient, index, count):
        made.append((split, patient, index))
        return grey(16, 16, seed=(seed, data.VERSION, ord(split[1]), index))

    monkeypatch.setattr(data, "PLAN", {"train": {"G01": 3}, "test": {"G91": 1}})
    monkeypatch.setattr(data, "generate_slice", fake)
    assert prepare_mayo(tmp_path, progress=False) == tmp_path
    assert len(made) == 4
    made.clear()
    return tmp_path, made


def test_a_second_prepare_makes_nothing(tiny):
    root, made = tiny
    prepare_mayo(root, progress=False)
    assert made == []


def test_an_interrupted_prepare_goes_on_with_what_is_missing(tiny, monkeypatch):
    root, made = tiny
    whole = (root / "manifest.json").read_text()
    (root / "train" / "G01" / "1.png").unlink()
    (root / "test" / "G91" / "0.png").unlink()
    (root / "manifest.json").write_text(json.dumps(json.loads(whole) | {"complete": False}))
    working, stop = data.generate_slice, iter([False, True])

    def stops(*arguments):
        if next(stop):
            raise KeyboardInterrupt
        return working(*arguments)

    monkeypatch.setattr(data, "generate_slice", stops)
    with pytest.raises(KeyboardInterrupt):
        prepare_mayo(root, progress=False)
    assert json.loads((root / "manifest.json").read_text())["complete"] is False
    monkeypatch.setattr(data, "generate_slice", working)
    prepare_mayo(root, progress=False)
    assert made == [("train", "G01", 1), ("test", "G91", 0)]
    assert (root / "manifest.json").read_text() == whole


@pytest.mark.parametrize("change", ["version", "seed"])
def test_another_version_or_seed_replaces_all_and_only_its_own_files(tiny, monkeypatch, change):
    root, made = tiny
    monkeypatch.setattr(data, "PLAN", {"train": {"G01": 2}, "test": {"G91": 1}})
    (root / "notes.txt").write_text("mine")
    before = pixels(root)
    if change == "version":
        monkeypatch.setattr(data, "VERSION", data.VERSION + 1)
    prepare_mayo(root, progress=False, seed=5)
    assert len(made) == 3
    assert sorted(pixels(root)) == ["test/G91/0.png", "train/G01/0.png", "train/G01/1.png"]
    assert not np.array_equal(before["train/G01/0.png"], pixels(root)["train/G01/0.png"])
    assert (root / "notes.txt").read_text() == "mine"


def test_the_seed_of_what_is_there_stays(tiny, monkeypatch):
    root, made = tiny
    monkeypatch.setattr(data, "PLAN", {"train": {"G01": 2}, "test": {"G91": 1}})
    prepare_mayo(root, progress=False, seed=5)
    before = pixels(root)
    made.clear()
    prepare_mayo(root, progress=False)
    assert made == [] and json.loads((root / "manifest.json").read_text())["seed"] == 5
    monkeypatch.setattr(data, "VERSION", data.VERSION + 1)
    prepare_mayo(root, progress=False)
    assert len(made) == 3 and pixels(root).keys() == before.keys()
    assert json.loads((root / "manifest.json").read_text())["seed"] == 5


def test_a_smaller_plan_of_the_same_version_removes_what_is_no_longer_in_it(tiny, monkeypatch):
    root, made = tiny
    monkeypatch.setattr(data, "PLAN", {"train": {"G01": 2}, "test": {"G91": 1}})
    prepare_mayo(root, progress=False)
    assert made == []
    assert sorted(pixels(root)) == ["test/G91/0.png", "train/G01/0.png", "train/G01/1.png"]


def test_real_slices_are_left_alone_and_not_mixed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data, "PLAN", {"train": {"G01": 2}, "test": {"G91": 1}})
    monkeypatch.setattr(data, "generate_slice", lambda *_: grey(16, 16))
    real = tmp_path / "train" / "G01" / "0.png"  # even under a name the generator would use
    save(real, grey(20, 20, seed=1))
    content = real.read_bytes()
    for _ in range(2):
        prepare_mayo(tmp_path, progress=False)
        assert sorted(pixels(tmp_path)) == ["test/G91/0.png", "train/G01/0.png"]
        assert real.read_bytes() == content
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1
        assert "G01/0.png" in lines[0]


def test_real_slices_beside_generated_ones_stop_every_change_to_that_split(
    tiny, monkeypatch, capsys
):
    root, _ = tiny
    save(root / "train" / "C081" / "0.png", grey(20, 20))
    before = pixels(root)
    monkeypatch.setattr(data, "VERSION", data.VERSION + 1)
    prepare_mayo(root, progress=False)
    after = pixels(root)
    assert after.keys() == before.keys()
    for name in before:
        assert np.array_equal(before[name], after[name]) == name.startswith("train")
    assert "C081/0.png" in capsys.readouterr().out


def test_slices_that_others_lay_beside_for_a_while_are_known_again(tiny, monkeypatch):
    root, made = tiny
    whole, before = (root / "manifest.json").read_text(), pixels(root)
    mine = root / "train" / "C081" / "0.png"
    save(mine, grey(20, 20))
    for _ in range(2):
        prepare_mayo(root, progress=False)
        assert "train" not in data.read_generated(root)["slices"]
    (root / "train" / "G01" / "1.png").unlink()
    mine.unlink()
    prepare_mayo(root, progress=False)
    assert made == [("train", "G01", 1)] and (root / "manifest.json").read_text() == whole
    after = pixels(root)
    assert all(np.array_equal(after[name], before[name]) for name in before)

    save(mine, grey(20, 20))
    prepare_mayo(root, progress=False)
    monkeypatch.setattr(data, "VERSION", data.VERSION + 1)
    prepare_mayo(root, progress=False)
    mine.unlink()
    made.clear()
    prepare_mayo(root, progress=False)  # these are of the version before
    assert made == [("train", "G01", index) for index in range(3)]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '"yes"',
        "[" * 100_000,
        "{}",
        '{"generated": true}',
        '{"generated": true, "slices": [1]}',
        '{"generated": true, "slices": {"train": "G01"}}',
        '{"generated": true, "slices": {"train": {"G01": "two"}}}',
        '{"generated": true, "slices": {"train": {"G01": 1e300}}}',
        '{"generated": true, "slices": {"train": {"../../mine": 1}}}',
        '{"generated": true, "slices": {"../mine": {"G01": 1}}}',
        '{"generated": true, "slices": {}, "set_aside": {"train": {"patients": {"../a": 1}}}}',
    ],
)
def test_a_damaged_manifest_is_named_and_deletes_nothing(tmp_path, content):
    mine = tmp_path / "mine" / "0.png"
    save(mine, grey(8, 8))
    (tmp_path / "Mayo").mkdir()
    (tmp_path / "Mayo" / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"manifest\.json.*prepare again"):
        prepare_mayo(tmp_path / "Mayo", progress=False)
    assert mine.exists()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"seed": -1}, ValueError, "seed is -1; expected 0 or more"),
        ({"seed": "2024"}, TypeError, "seed is '2024' of type str; expected a whole number"),
        ({"workers": 0}, ValueError, "workers is 0; expected 1 to"),
        ({"data_path": 7}, TypeError, r"data_path is an int; expected a str or a pathlib\.Path"),
    ],
)
def test_a_request_that_makes_no_sense_leaves_the_slices(tiny, arguments, error, says):
    root, made = tiny
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    with pytest.raises(error, match=says):
        prepare_mayo(**{"data_path": root} | arguments, progress=False)
    assert before == {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    assert made == []


def test_a_slice_that_was_cut_short_while_preparing_is_named(tiny):
    root, _ = tiny
    whole = json.loads((root / "manifest.json").read_text())
    (root / "manifest.json").write_text(json.dumps(whole | {"complete": False}))
    bad = root / "train" / "G01" / "1.png"
    bad.write_bytes(bad.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"1\.png.*made again by `python -m ippy prepare`"):
        prepare_mayo(root, progress=False)
    bad.unlink()  # what the message says
    prepare_mayo(root, progress=False)
    assert json.loads((root / "manifest.json").read_text()) == whole


@pytest.mark.parametrize("name", ["0.PNG", "scan.png"])
def test_real_slices_of_any_name_are_recognised(tiny, capsys, name):
    root, _ = tiny
    save(root / "train" / "C081" / name, grey(20, 20))
    prepare_mayo(root, progress=False)
    assert f"C081/{name}" in capsys.readouterr().out


def test_the_order_is_that_of_the_relative_path_as_a_string(tmp_path):
    names = ["C081/10.png", "C081/2.png", "C081/1.png", "C081/100.png", "C081/0.png", "C08/5.png"]
    for name in names:
        save(tmp_path / name, grey(8, 8))
    found = [p.relative_to(tmp_path).as_posix() for p in MayoDataset(tmp_path, 8).paths]
    assert found == sorted(names)
    assert found[1:] == [f"C081/{n}.png" for n in (0, 1, 10, 100, 2)]


def test_values_follow_the_published_steps(tmp_path):
    wide = grey(50, 70)
    save(tmp_path / "a" / "0.png", wide)
    save(tmp_path / "a" / "1.png", np.dstack([wide] * 3))
    save(tmp_path / "a" / "2.png", wide.astype(np.uint16) * 257)
    tensor = torch.from_numpy(wide).float()[None] / 255
    expected = center_crop(resize(tensor, [32], antialias=True), [32, 32])
    for image in MayoDataset(tmp_path, 32, cache_bytes=0):
        assert image.shape == (1, 32, 32)
        assert image.dtype == torch.float32
        torch.testing.assert_close(image, expected, atol=0.51 / 65535, rtol=0)  # to 16 bits


def test_a_resized_slice_is_the_same_at_every_reading(tmp_path):
    save(tmp_path / "a" / "0.png", grey(50, 70))
    uncached = MayoDataset(tmp_path, 32, cache_bytes=0)[0]
    cached = MayoDataset(tmp_path, 32)
    assert cached[0].equal(uncached) and cached[0].equal(uncached)


def test_the_cache_is_exact_or_within_a_quarter_of_a_grey_level(tmp_path):
    for i, shape in enumerate([(32, 32), (64, 80)]):
        save(tmp_path / "a" / f"{i}.png", grey(*shape, seed=i))
    exact = MayoDataset(tmp_path, 32, cache_bytes=0)
    cached = MayoDataset(tmp_path, 32)
    for tolerance, i in ((0.0, 0), (0.25 / 255, 1)):
        assert torch.equal(cached[i], exact[i])  # the first time it is read from the file
        torch.testing.assert_close(cached[i], exact[i], atol=tolerance, rtol=0)


def test_the_cache_saves_reading_and_stays_within_its_bound(tmp_path, monkeypatch):
    for i in range(4):
        save(tmp_path / "a" / f"{i}.png", grey(32, 32, seed=i))
    slices = MayoDataset(tmp_path, 32, cache_bytes=2 * 32 * 32)
    read = []

    def noted(path):
        read.append(path.name)
        return read_slice(path)

    monkeypatch.setattr(dataset, "read_slice", noted)
    for _ in range(2):
        assert len([slices[i] for i in range(len(slices))]) == 4
    assert read == ["0.png", "1.png", "2.png", "3.png", "2.png", "3.png"]


def test_a_returned_slice_may_be_changed_without_changing_the_cache(tmp_path):
    save(tmp_path / "a" / "0.png", grey(32, 32))
    slices = MayoDataset(tmp_path, 32)
    before = slices[0].clone()
    slices[0].zero_()
    assert torch.equal(slices[0], before)


def test_iteration_ends_and_negative_indices_count_from_the_end(tmp_path):
    for i in range(3):
        save(tmp_path / "a" / f"{i}.png", grey(8, 8, seed=i))
    slices = MayoDataset(tmp_path, 8)
    assert len(list(slices)) == len(slices) == 3
    assert torch.equal(slices[-1], slices[2])


def test_errors_name_the_folder_or_file_and_how_to_mend_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.*python -m ippy prepare"):
        MayoDataset(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no slices in.*python -m ippy prepare"):
        MayoDataset(tmp_path)


def test_ten_thousand_slices_are_indexed_in_less_than_two_seconds(tmp_path):
    for patient in range(20):
        (tmp_path / f"P{patient:02d}").mkdir()
        for number in range(500):
            (tmp_path / f"P{patient:02d}" / f"{number}.png").touch()
    start = time.process_time()  # of this process alone: a busy machine does not make it longer
    slices = MayoDataset(tmp_path)
    assert time.process_time() - start < 2
    assert len(slices) == 10_000


def test_validation_slices_are_of_bodies_that_are_in_no_split():
    slices = validation_slices()
    assert slices.shape == (8, 1, 256, 256) and slices.dtype == torch.float32
    assert slices.min() >= 0 and 0.5 < slices.max() <= 1
    assert slices.equal(validation_slices()) and not slices.equal(validation_slices(seed=1))
    assert not any(data.VALIDATION.keys() & patients.keys() for patients in data.PLAN.values())


def test_a_first_prepare_that_was_stopped_goes_on_with_what_is_missing(tmp_path, monkeypatch):
    def stops(seed, split, patient, index, count):
        if index == 2:
            raise KeyboardInterrupt
        return grey(16, 16)

    monkeypatch.setattr(data, "PLAN", {"train": {"G01": 3}, "test": {"G91": 1}})
    monkeypatch.setattr(data, "generate_slice", stops)
    with pytest.raises(KeyboardInterrupt):
        prepare_mayo(tmp_path, progress=False)
    monkeypatch.setattr(data, "generate_slice", lambda *_: grey(16, 16))
    prepare_mayo(tmp_path, progress=False)
    assert len(pixels(tmp_path)) == 4


def test_slices_of_another_seed_are_not_held_to_the_recorded_checksum(tiny, capsys):
    capsys.readouterr()
    prepare_mayo(tiny[0], progress=False, seed=5)
    assert "shipped weights" not in capsys.readouterr().out


def test_the_command_prepares_slices_of_a_seed(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(
        "ippy.commands.prepare.prepare_mayo", lambda **options: asked.append(options) or "Mayo"
    )
    assert main(["prepare", "--seed", "5"]) == main(["prepare"]) == 0
    assert asked == [{"seed": 5}, {"seed": None}]
    assert capsys.readouterr().out == 2 * "The slices are in Mayo\n"
