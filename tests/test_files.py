"""Writing files whole or not at all."""

import os
import stat
import sys
from pathlib import Path

import pytest
import torch

from ippy import get_device
from ippy.base.files import remove_leftovers, write_atomically, write_json


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    for content in (b"first", b"second, and longer"):
        write_atomically(path, lambda file, content=content: file.write(content))
        assert path.read_bytes() == content
    assert names(path.parent) == {"a.txt"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError("no"), OSError("odd")])
def test_a_write_that_stops_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")

    def stops(file):
        file.write(b"half")
        assert path.read_bytes() == b"old"
        raise error

    with pytest.raises(error if isinstance(error, type) else type(error)):
        write_atomically(path, stops)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"a.txt"}


def test_a_full_disk_is_told_with_the_file_even_where_torch_hides_it(tmp_path):
    path = tmp_path / "a.pth"

    def full(_):
        raise OSError(28, "No space left on device")

    def hidden(_):
        try:
            full(_)
        finally:
            raise RuntimeError("[enforce fail at inline_container.cc] unexpected pos")

    for write in (full, hidden):
        with pytest.raises(OSError, match=r"No space left.*nothing was written.*a\.pth"):
            write_atomically(path, write)
    assert names(tmp_path) == set()


@pytest.mark.parametrize("times", [1, 3, 4])
def test_a_target_that_is_open_elsewhere_for_a_moment_is_waited_for(tmp_path, monkeypatch, times):
    path, refused = tmp_path / "a.txt", []
    replace = type(path).replace

    def sometimes(self, target):
        if len(refused) < times:
            refused.append(target)
            raise PermissionError(13, "Access is denied", str(target))
        return replace(self, target)

    monkeypatch.setattr(type(path), "replace", sometimes)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    if times < 4:
        write_atomically(path, lambda file: file.write(b"new"))
        assert path.read_bytes() == b"new"
    else:
        with pytest.raises(PermissionError, match="Access is denied"):
            write_atomically(path, lambda file: file.write(b"new"))
        assert names(tmp_path) == set()


def test_leftovers_of_this_file_alone_are_removed(tmp_path):
    stay = {"a.pth", ".a.pth", ".a.pth.part", ".b.pth.x1.part", ".a.pth.training.x1.part"}
    for name in stay | {".a.pth.x1.part", ".a.pth._9z_ab12.part"}:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "a.pth")
    assert names(tmp_path) == stay


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_who_may_read_a_file_is_not_changed(tmp_path):
    def mode(path):
        return stat.S_IMODE(path.stat().st_mode)

    def write(name, **how):
        write_atomically(tmp_path / name, lambda file: file.write(b"x"), **how)
        return mode(tmp_path / name)

    before = os.umask(0o027)
    try:
        assert write("new") == 0o640 and write("report", private=True) == 0o600
        (tmp_path / "new").chmod(0o604)
        assert write("new") == 0o604
    finally:
        os.umask(before)


def test_a_folder_that_can_t_be_made_is_told_with_the_file(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "a.txt"
    with pytest.raises(OSError, match="nothing was written") as caught:
        write_atomically(path, lambda file: file.write(b"x"))
    assert caught.value.filename == str(path)


def test_what_json_has_no_word_for_is_not_written(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"psnr": 40.5})
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"psnr": float("nan")})
    assert path.read_bytes() == b'{\n "psnr": 40.5\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_renamed_is_on_the_disk(tmp_path, monkeypatch):
    done, replace = [], Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: done.append("fsync"))
    monkeypatch.setattr(Path, "replace", lambda p, to: (done.append("rename"), replace(p, to)))
    write_atomically(tmp_path / "a.txt", lambda file: file.write(b"x"))
    assert done == ["fsync", "rename"]


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_the_best_device_is_taken(monkeypatch, cuda, mps, best):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert get_device() == torch.device(best)
