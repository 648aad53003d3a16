"""Where things are, and where they go in a course that may only be read."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ippy.base import paths
from ippy.base.paths import data_dir, output_dir, weights_dir
from ippy.data import MayoDataset, generation, prepare_mayo
from ippy.models import build
from ippy.weights import load_checkpoint, save_checkpoint

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The user's own folder, and nothing said yet."""
    home = tmp_path / "home" / "ippy"
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: home)
    caches = paths._own_root, paths._say_once
    for cached in caches:
        cached.cache_clear()
    yield home
    for cached in caches:
        cached.cache_clear()


@pytest.fixture
def shared(tmp_path, monkeypatch, own):
    """A course that may be written to."""
    folder = tmp_path / "course"
    folder.mkdir()
    (folder / "_toc.yml").touch()
    monkeypatch.setenv("IPPY_COURSE", str(folder))
    monkeypatch.setattr(generation, "PLAN", {"train": {"G01": 2}, "test": {"G91": 1}})
    monkeypatch.setattr(generation, "generate_slice", lambda *_: np.zeros((16, 16), np.uint8))
    return folder


@pytest.fixture(params=[errno.EROFS, errno.EACCES])
def lock(request, monkeypatch):
    """A function that makes a folder one that may only be read, as a mount or a teacher does."""
    make_dir, locked = os.mkdir, []

    def inside(path):
        return any(Path(path).resolve().is_relative_to(folder) for folder in locked)

    def refuse(path):
        raise OSError(request.param, os.strerror(request.param), str(path))

    def mkdir(path, *args, **options):
        return refuse(path) if inside(path) and not Path(path).exists() else make_dir(path, *args)

    def open_(path, flags, *args, _open=os.open, **options):
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        return refuse(path) if writes and inside(path) else _open(path, flags, *args, **options)

    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setattr(os, "open", open_)
    return lambda folder: locked.append(folder.resolve())


def test_a_course_that_may_be_written_gets_what_belongs_there(shared, own, capsys):
    assert output_dir("weights/demo") == shared / "weights" / "demo"
    assert (shared / "weights" / "demo").is_dir()
    assert prepare_mayo(progress=False) == data_dir() == shared / "Mayo"
    assert not own.exists() and "can't be written" not in capsys.readouterr().out


def test_what_can_t_be_written_there_goes_to_the_user_and_is_said_once(shared, own, lock, capsys):
    lock(shared)
    for name in ("weights/demo", "book/_static/interactive"):
        for _ in range(2):
            assert output_dir(name) == own / name
        line = f"{shared / name} can't be written, so what belongs there is saved in {own / name}."
        assert capsys.readouterr().out == line + "\n"
        (own / name / "file").touch()
    assert list(shared.iterdir()) == [shared / "_toc.yml"]


def test_without_a_home_a_temporary_folder_serves(shared, own, lock, tmp_path, capsys):
    lock(shared)
    lock(tmp_path / "home")
    folder = output_dir("weights/demo")
    assert folder == output_dir("weights/demo")
    assert folder.is_relative_to(tempfile.gettempdir()) and str(folder) in capsys.readouterr().out
    shutil.rmtree(folder.parents[1])


def test_a_checkpoint_is_read_from_a_folder_that_may_only_be_read(shared, lock, capsys):
    model = build("CNN", seed=1)
    save_checkpoint(model, weights_dir() / "CNN.pth")
    (weights_dir() / ".manifest.json.lock").unlink(missing_ok=True)
    before = sorted(shared.rglob("*"))
    lock(shared)
    loaded = load_checkpoint("CNN")
    assert all(p.equal(q) for p, q in zip(model.parameters(), loaded.parameters(), strict=True))
    assert sorted(shared.rglob("*")) == before
    with pytest.raises(OSError, match="nothing was written") as caught:
        save_checkpoint(model, weights_dir() / "CNN.pth")
    assert caught.value.filename == str(weights_dir() / "CNN.pth")  # not a file of ours beside it
    path = save_checkpoint(model, output_dir("weights/demo") / "CNN.pth")
    assert load_checkpoint("CNN", path) and not path.is_relative_to(shared)


def test_slices_that_are_there_are_used_from_where_they_may_only_be_read(shared, own, lock, capsys):
    prepare_mayo(progress=False)
    capsys.readouterr()
    lock(shared)
    assert prepare_mayo(progress=False) == data_dir() == shared / "Mayo"
    assert capsys.readouterr().out == "" and not own.exists()


def test_real_slices_are_used_from_where_they_may_only_be_read(shared, own, lock, capsys):
    for place in ("train/A", "test/B"):
        (shared / "Mayo" / place).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(shared / "Mayo" / place / "0.png")
    lock(shared)
    assert prepare_mayo(progress=False) == data_dir() == shared / "Mayo"
    assert "leaving that folder as it is" in capsys.readouterr().out and not own.exists()


def test_slices_that_are_missing_are_made_in_the_user_s_folder(shared, own, lock, capsys):
    lock(shared)
    for run in range(2):
        assert prepare_mayo(progress=False) == data_dir() == own / "Mayo"
        assert (str(own / "Mayo") in capsys.readouterr().out) == (run == 0)
    assert len(MayoDataset(data_dir() / "train", 16)) == 2
    assert list(shared.iterdir()) == [shared / "_toc.yml"]
    with pytest.raises(OSError, match=os.strerror(errno.EROFS) + "|" + os.strerror(errno.EACCES)):
        prepare_mayo(shared / "Mayo", progress=False)


def test_slices_of_an_older_version_give_way_to_the_user_s(shared, own, lock, monkeypatch):
    prepare_mayo(progress=False)
    monkeypatch.setattr(generation, "VERSION", generation.VERSION + 1)
    lock(shared)
    assert prepare_mayo(progress=False) == data_dir() == own / "Mayo"
    for name in ("manifest.json", "train/G01/0.png"):  # somebody prepares the course again
        (shared / "Mayo" / name).write_bytes((own / "Mayo" / name).read_bytes())
    assert prepare_mayo(progress=False) == data_dir() == shared / "Mayo"


def test_a_course_that_can_be_written_does_not_use_slices_of_the_user(shared, own):
    (own / "Mayo" / "train").mkdir(parents=True)
    assert data_dir() == shared / "Mayo"


WORK = """
import os
from ippy.base.paths import output_dir, weights_dir
from ippy.data import MayoDataset, generation, prepare_mayo
from ippy.weights import load_checkpoint, save_checkpoint
os.setgroups([]), os.setgid(65534), os.setuid(65534)
generation.PLAN = {"train": {"G01": 2}, "test": {"G91": 1}}
MayoDataset(prepare_mayo(progress=False) / "test")
model = load_checkpoint("CNN")
path = save_checkpoint(model, output_dir("weights/demo") / "CNN.pth")
load_checkpoint(model, path)
print(path)
"""


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else"
)
def test_somebody_who_may_only_read_the_course_can_work_with_it(shared):
    prepare_mayo(progress=False)
    save_checkpoint(build("CNN", seed=1), weights_dir() / "CNN.pth")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(shared, folder / "course")
        (folder / "home").mkdir()
        (folder / "home").chmod(0o777)
        homes = {name: str(folder / "home") for name in ("HOME", "XDG_DATA_HOME")}
        env = homes | {"PYTHONPATH": str(ROOT), "IPPY_COURSE": str(folder / "course")}
        result = subprocess.run(
            [sys.executable, "-c", WORK], capture_output=True, text=True, env=os.environ | env
        )
        assert result.returncode == 0, result.stderr
        said, path = result.stdout.splitlines()
    assert "can't be written, so what belongs there is saved in" in said
    assert Path(path) == folder / "home" / "ippy" / "weights" / "demo" / "CNN.pth"
