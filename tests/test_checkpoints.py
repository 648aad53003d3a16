"""Checkpoints: round trip, atomic writes, and one clear error for each kind of bad file."""

import copy
import hashlib
import io
import json
import math
import multiprocessing
import pickle
import random
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from ippy.base.paths import weights_dir
from ippy.models import NAMES, build
from ippy.train.resume import check_target
from ippy.weights import load_checkpoint, manifest, read_manifest, save_checkpoint


def visible(folder):
    return {file.name for file in folder.iterdir() if file.name != ".manifest.json.lock"}


def same_weights(model, state):
    return all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.fixture
def cnn(tmp_path):
    """A small saved model, and its file."""
    model = build("CNN", seed=1)
    return model, save_checkpoint(model, tmp_path / "CNN.pth")


def test_round_trip_and_manifest(tmp_path):
    model = build("ResCNN", seed=1)
    path = save_checkpoint(model, tmp_path / "new" / "ResCNN.pth", record={"seconds": 3})
    state = torch.load(path, weights_only=True)
    assert list(state) == list(model.state_dict())
    loaded = load_checkpoint("ResCNN", path)
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert loaded(x).equal(model(x)) and not loaded.training

    entry = read_manifest(path.parent)["ResCNN"]
    assert entry["class"] == "ippy.models.cnn.ResCNN"
    assert entry["parameters"] == sum(p.numel() for p in model.parameters())
    assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert entry["seconds"] == 3
    save_checkpoint(build("CNN", seed=1), tmp_path / "new" / "CNN.pth")
    assert set(read_manifest(path.parent)) == {"CNN", "ResCNN"}
    assert visible(path.parent) == {"CNN.pth", "ResCNN.pth", "manifest.json"}


def _compiled_part(model):
    model.conv2 = torch.compile(model.conv2)
    return model


WRAPPERS = {
    "compile": torch.compile,
    "DataParallel": nn.DataParallel,
    "compile in DataParallel": lambda model: nn.DataParallel(torch.compile(model)),
    "DataParallel in compile": lambda model: torch.compile(nn.DataParallel(model)),
    "a compiled part": _compiled_part,
}


@pytest.fixture(params=WRAPPERS.values(), ids=WRAPPERS)
def wrap(request):
    """A way to wrap a model, as people do for speed."""
    return request.param


def test_a_wrapped_model_is_saved_as_the_one_inside(tmp_path, wrap):
    model = build("CNN", seed=1)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    path = save_checkpoint(wrap(model), tmp_path / "CNN.pth")
    assert torch.load(path, weights_only=True).keys() == state.keys()
    assert same_weights(load_checkpoint("CNN", path), state)
    entry = read_manifest(tmp_path)["CNN"]
    assert entry["class"] == "ippy.models.cnn.SimpleCNN"
    assert entry["parameters"] == sum(value.numel() for value in state.values())


def test_a_wrapped_model_is_filled(cnn, wrap):
    model, path = cnn
    inner = build("CNN", seed=2)
    wrapped = wrap(inner)
    assert load_checkpoint(wrapped, path) is wrapped and not wrapped.training
    for mine, theirs in zip(inner.parameters(), model.parameters(), strict=True):
        assert mine.equal(theirs)


def test_a_file_with_the_names_of_a_wrapper_is_read_without_them(tmp_path, wrap):
    state = build("CNN", seed=1).state_dict()
    torch.save(wrap(build("CNN", seed=1)).state_dict(), tmp_path / "CNN.pth")
    assert same_weights(load_checkpoint("CNN", tmp_path / "CNN.pth"), state)


def test_other_prefixes_are_named_with_what_strips_them(tmp_path, monkeypatch):
    model, path = build("CNN", seed=1), tmp_path / "CNN.pth"
    for prefix, more in (("model.", {}), ("net.cnn.", {}), ("module.", {"n": torch.ones(())})):
        state = {prefix + key: value for key, value in model.state_dict().items()}
        torch.save(state | more, path)
        with pytest.raises(ValueError, match=rf"names begin with '{prefix}'.*save again") as caught:
            load_checkpoint("CNN", path)
        command = str(caught.value).split("save again: ")[1].split(". As it is")[0]
        monkeypatch.chdir(tmp_path)
        exec(command, {"torch": torch, "path": path})
        assert same_weights(load_checkpoint("CNN", tmp_path / "weights.pth"), model.state_dict())


def test_names_that_differ_by_a_wrapper_alone_are_not_mixed_up(tmp_path):
    state = build("CNN", seed=1).state_dict()
    torch.save(state | {"_orig_mod.conv1.bias": torch.ones(32)}, tmp_path / "CNN.pth")
    with pytest.raises(ValueError, match=r"_orig_mod\.conv1\.bias is not one of its tensors"):
        load_checkpoint("CNN", tmp_path / "CNN.pth")


@pytest.mark.parametrize(
    "names",
    [
        ("lr0.001", "lr0.01", "lr0"),
        ("mine", "mine.pth", "mine.pth.pth"),
        ("mine.pth", "mine", "mine.pt"),
        ("UNet.v1.pth", "UNet.v2.pth", "UNet.pth"),
    ],
)
def test_each_target_has_an_entry_of_its_own(tmp_path, names):
    models = {name: build("CNN", seed=seed) for seed, name in enumerate(names)}
    for _ in range(2):
        for name, model in models.items():
            save_checkpoint(model, tmp_path / name, record={"target": name})
    assert len(read_manifest(tmp_path)) == 3
    for name, model in models.items():
        assert same_weights(load_checkpoint("CNN", tmp_path / name), model.state_dict())
        entries = [e for e in read_manifest(tmp_path).values() if e["target"] == name]
        digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        assert [entry["sha256"] for entry in entries] == [digest]
    (tmp_path / names[1]).write_bytes((tmp_path / names[0]).read_bytes())
    with pytest.raises(ValueError, match=r"is not the file that manifest\.json"):
        load_checkpoint("CNN", tmp_path / names[1])
    load_checkpoint("CNN", tmp_path / names[2])


def test_the_advice_for_the_course_s_files_is_for_them_alone(tmp_path):
    for name in ("UNet", "UNet.safetensors", "UNet.v2.pth"):
        with pytest.raises(FileNotFoundError, match="from where it came, or save it again"):
            load_checkpoint("UNet", weights_dir() / name)


@pytest.mark.parametrize("renames", range(3))
def test_a_save_killed_between_renames_leaves_file_and_entry_agreeing(cnn, monkeypatch, renames):
    old, path = cnn
    new, replace, done = build("CNN", seed=2), Path.replace, []

    def killed(self, target):
        if len(done) == renames:
            raise SystemExit  # before this rename; SIGKILL would also leave the .part file
        done.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(SystemExit):
        save_checkpoint(new, path, record={"run": 2})
    monkeypatch.undo()
    (path.parent / ".CNN.pth.abc12345.part").write_bytes(b"half")
    there = new if renames == 2 else old
    assert same_weights(load_checkpoint("CNN", path), there.state_dict())
    entry = read_manifest(path.parent)["CNN"]
    assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert entry.get("run") == (2 if there is new else None)

    save_checkpoint(new, path, record={"run": 3})  # and the next save clears up
    assert same_weights(load_checkpoint("CNN", path), new.state_dict())
    settled = json.loads((path.parent / "manifest.json").read_text(encoding="utf-8"))["CNN"]
    assert settled["run"] == 3 and not {"file", "replaces"} & set(settled)
    assert visible(path.parent) == {"CNN.pth", "manifest.json"}


def test_a_first_save_that_was_killed_does_not_claim_a_file_of_the_student(cnn, monkeypatch):
    model, path = cnn
    (path.parent / "manifest.json").unlink()

    def full(target, write):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(manifest, "write_atomically", full)  # the manifest is written before
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(build("CNN", seed=2), path)
    assert same_weights(load_checkpoint("CNN", path), model.state_dict())
    assert read_manifest(path.parent) == {}


def test_a_full_disk_is_told_and_leaves_everything_as_it_was(cnn, full_disk):
    model, path = cnn
    for limit, file in ((200, "manifest.json"), (20_000, "CNN.pth")):
        with full_disk(limit), pytest.raises(OSError, match="nothing was written") as caught:
            save_checkpoint(build("CNN", seed=2), path)
        assert str(caught.value).endswith(f"/{file}'")
    assert same_weights(load_checkpoint("CNN", path), model.state_dict())
    assert visible(path.parent) == {"CNN.pth", "manifest.json"}


def save_some(folder, who):
    for _ in range(8):
        save_checkpoint(build("CNN", seed=who), Path(folder) / f"model{who}.pth")


def test_two_processes_save_into_one_folder_without_losing_an_entry(tmp_path):
    context = multiprocessing.get_context("spawn")
    savers = [context.Process(target=save_some, args=(tmp_path, who)) for who in (1, 2)]
    for saver in savers:
        saver.start()
    while any(saver.is_alive() for saver in savers):  # and what is read meanwhile is whole
        for path in tmp_path.glob("*.pth"):
            load_checkpoint("CNN", path)
    assert [saver.exitcode for saver in savers] == [0, 0]
    assert set(read_manifest(tmp_path)) == {"model1", "model2"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(cnn, value):
    model, path = cnn
    before = path.read_bytes()
    diverged = build("CNN", seed=1)
    with torch.no_grad():
        diverged.conv2.weight[3, 1, 0, 2] = value
    with pytest.raises(ValueError, match=r"conv2\.weight of this SimpleCNN is not finite"):
        save_checkpoint(diverged, path)
    assert path.read_bytes() == before
    assert same_weights(load_checkpoint("CNN", path), model.state_dict())


@pytest.mark.parametrize(
    ("count", "says"), [(3, r"conv2\.weight of this"), (4, r"conv2\.weight and 1 more of this")]
)
def test_three_bad_weights_are_named_and_the_others_counted(tmp_path, count, says):
    model = build("CNN", seed=0)
    for weight in list(model.parameters())[:count]:
        nn.init.constant_(weight, math.nan)
    with pytest.raises(ValueError, match=r"^conv1\.weight, conv1\.bias, " + says):
        save_checkpoint(model, tmp_path / "CNN.pth")


def test_a_mask_may_hold_infinity(tmp_path):
    masked = nn.Linear(2, 2)
    masked.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    path = save_checkpoint(masked, tmp_path / "masked.pth")
    assert same_weights(load_checkpoint(masked, path), masked.state_dict())


def test_a_record_that_is_not_json_changes_nothing(cnn):
    model, path = cnn
    for record, error, says in [
        ({"model": model}, TypeError, "^record holds what is not a JSON value"),
        ([("seconds", 3)], TypeError, "^record is a list; expected a dict, e.g. "),
        ({"loss": [0.1, math.nan]}, ValueError, "^record holds what is not a JSON value"),
    ]:
        with pytest.raises(error, match=says):
            save_checkpoint(build("CNN", seed=2), path, record=record)
    assert same_weights(load_checkpoint("CNN", path), model.state_dict())
    save_checkpoint(model, path, record={"sha256": "of another file", "class": "?"})
    assert read_manifest(path.parent)["CNN"]["class"] == "ippy.models.cnn.SimpleCNN"


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("CNN.pth", r"python -m ippy train CNN --output"),
        ("mine.pth", r"mine\.pth.*save it again"),
    ],
)
def test_missing_file_says_how_to_get_it(tmp_path, file, says):
    with pytest.raises(FileNotFoundError, match=says):
        load_checkpoint("CNN", tmp_path / file)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
@pytest.mark.parametrize("file", ["loop.pth", "loop.pth/CNN.pth", "broken.pth"])
def test_links_that_lead_nowhere_are_missing_files(tmp_path, file):
    (tmp_path / "loop.pth").symlink_to(tmp_path / "loop.pth")
    (tmp_path / "broken.pth").symlink_to(tmp_path / "nothing.pth")
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        load_checkpoint("CNN", tmp_path / file)


def test_the_course_s_own_checkpoints_are_restored_by_git(tmp_path, monkeypatch):
    monkeypatch.setenv("IPPY_COURSE", str(tmp_path))
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "weights").mkdir()
    with pytest.raises(FileNotFoundError, match=r"git checkout -- weights/UNet\.pth.*train UNet"):
        load_checkpoint("UNet")
    (tmp_path / "weights" / "UNet.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"git checkout -- weights/UNet\.pth.*train UNet"):
        load_checkpoint("UNet")
    (tmp_path / "weights" / "GatedUNet.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"git checkout -- weights/GatedUNet\.pth"):
        load_checkpoint("GatedUNet")
    (tmp_path / "weights" / "manifest.json").write_text("[]")
    with pytest.raises(ValueError, match=r"git checkout -- weights/manifest\.json"):
        read_manifest()


def test_without_a_course_a_bad_file_is_still_called_bad(cnn, monkeypatch):
    _, path = cnn
    monkeypatch.setenv("IPPY_COURSE", str(path.parent / "nothing"))
    assert load_checkpoint("CNN", path)
    _truncate(path)
    with pytest.raises(ValueError, match="Copy it again"):
        load_checkpoint("CNN", path)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        load_checkpoint("CNN", path.with_name("other.pth"))


def test_loading_leaves_the_random_state_as_it_was(cnn):
    before = torch.get_rng_state()
    load_checkpoint("CNN", cnn[1])
    assert torch.get_rng_state().equal(before)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:1000])


def _cut_at_the_end(path):
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path):
    path.write_bytes(b"")


def _text(path):
    path.write_text("not a checkpoint", encoding="utf-8")


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4  # among the weights: torch.load alone does not see it
    path.write_bytes(content)


def _other_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("slides.txt", "hello")


def _compressed(path):
    content = path.read_bytes()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as whole,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))


def _whole_module(path):
    torch.save(build("CNN", seed=0), path)


def _a_list(path):
    torch.save([1, 2, 3], path)


def _nested(path):
    torch.save({"epoch": 3, "model": build("CNN", seed=0).state_dict()}, path)


def _folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("with_manifest", [True, False])
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_truncate, "is cut short: the beginning of a checkpoint"),
        (_cut_at_the_end, "is cut short: the beginning of a checkpoint"),
        (_empty, "is empty"),
        (_text, "is a text that begins 'not a checkpoint'"),
        (_flip, "is damaged: the checksum of"),
        (_other_zip, "is a zip archive with 'slides.txt' in it"),
        (_compressed, "was unpacked and zipped again"),
        (_whole_module, "more than tensors"),
        (_a_list, "holds a list; expected a state dict"),
        (_nested, r"are the weights under 'model'.*torch\.load\(path\)\['model'\]"),
        (_folder, "is a folder"),
    ],
)
def test_bad_files_are_named_in_one_line(cnn, damage, says, with_manifest):
    _, path = cnn
    if not with_manifest:
        (path.parent / "manifest.json").unlink()
    damage(path)
    model = build("CNN", seed=3)
    with pytest.raises(ValueError, match=rf"CNN\.pth .*{says}") as caught:
        load_checkpoint(model, path)
    assert "\n" not in str(caught.value)
    assert same_weights(model, build("CNN", seed=3).state_dict()), "the model was half filled"


@pytest.mark.parametrize("legacy", [False, True])
def test_flipped_bits_are_found_or_change_nothing(cnn, legacy):
    """Legacy files have no checksums of their own: for them it takes the manifest."""
    model, path = cnn
    if legacy:
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)
        entry = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        (path.parent / "manifest.json").write_text(json.dumps({"CNN": entry}), encoding="utf-8")
        load_checkpoint("CNN", path)
    else:
        (path.parent / "manifest.json").unlink()
    good, rng, found = path.read_bytes(), random.Random(0), 0
    for _ in range(100):
        flipped = bytearray(good)
        flipped[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        try:
            loaded = load_checkpoint("CNN", path)
        except ValueError:
            found += 1
        else:  # such as in the padding between the members of the archive
            assert same_weights(loaded, model.state_dict())
    assert found >= 90


def test_a_file_put_there_by_hand_is_told_from_a_damaged_one(cnn):
    _, path = cnn
    other = build("CNN", seed=5)
    torch.save(other.state_dict(), path)
    with pytest.raises(ValueError, match=r"records.*delete the entry 'CNN' from .*manifest\.json"):
        load_checkpoint("CNN", path)
    (path.parent / "manifest.json").write_text("{}")  # what the message says
    assert same_weights(load_checkpoint("CNN", path), other.state_dict())


class Attack:
    """Writes a file when it is unpickled by anything that runs code."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def _torch_zip(content, path):
    torch.save(content, path)


def _torch_legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def _plain_pickle(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("write", [_torch_zip, _torch_legacy, _plain_pickle])
def test_code_in_a_file_is_never_run(tmp_path, write, inside):
    marker, path = tmp_path / "was_here", tmp_path / "CNN.pth"
    attack = Attack(marker)
    write(build("CNN").state_dict() | {"conv1.bias": attack} if inside else attack, path)
    if write is _torch_zip:  # the attack works where code is allowed to run
        torch.load(path, weights_only=False)
        assert marker.exists()
        marker.unlink()
    with pytest.raises(ValueError, match="more than tensors"):
        load_checkpoint("CNN", path)
    assert not marker.exists()


def test_another_architecture_is_told_apart(cnn):
    _, path = cnn
    with pytest.raises(ValueError, match=r"does not fit SimpleUNet: .*enc1.* is missing"):
        load_checkpoint("UNet", path)
    wider = nn.Sequential()
    wider.conv1 = nn.Conv2d(1, 64, 3)
    with pytest.raises(ValueError, match=r"conv1\.weight is \(32, 1, 3, 3\), expected \(64"):
        load_checkpoint(wider, path)
    with pytest.raises(ValueError, match="say which file"):
        load_checkpoint(wider)


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize(
    ("value", "says"),
    [
        (torch.zeros(32, dtype=torch.int64), r"conv1\.bias is torch\.int64, expected torch\.float"),
        (torch.zeros(32, dtype=torch.complex64), r"conv1\.bias is torch\.complex64"),
        (torch.zeros(32).to_sparse(), r"conv1\.bias is no ordinary tensor"),
        (torch.zeros(32, device="meta"), r"conv1\.bias is no ordinary tensor"),
        (torch.full((32,), torch.nan), r"NaN or infinity in conv1\.bias"),
        (torch.full((32,), 1e300, dtype=torch.float64), r"NaN or infinity in conv1\.bias"),
        (torch.zeros(1).expand(32, 2**40), r"conv1\.bias is \(32, 1099511627776\), expected \(32,"),
    ],
)
def test_bad_tensors_are_named(tmp_path, value, says):
    path = tmp_path / "CNN.pth"
    torch.save(build("CNN", seed=0).state_dict() | {"conv1.bias": value}, path)
    with pytest.raises(ValueError, match=says):
        load_checkpoint("CNN", path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("legacy", [False, True])
def test_plain_state_dicts_that_students_have_load(tmp_path, dtype, legacy):
    model, path = build("UNet", seed=4), tmp_path / "unet_best.pt"
    state = {key: value.to(dtype) for key, value in model.state_dict().items()}
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    loaded = load_checkpoint("UNet", path)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    assert same_weights(loaded, {key: value.float() for key, value in state.items()})


def test_a_checkpoint_saved_on_a_gpu_loads_without_one(tmp_path):
    model = build("CNN", seed=4)
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer, _use_new_zipfile_serialization=False)
    # The legacy format names the device in its pickle: what a GPU would have written there.
    content = buffer.getvalue().replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    assert b"cuda:0" in content
    path = tmp_path / "CNN.pth"
    path.write_bytes(content)
    assert same_weights(load_checkpoint("CNN", path), model.state_dict())


def test_requests_that_make_no_sense_are_explained(cnn):
    model, path = cnn
    with pytest.raises(TypeError, match="model is an int"):
        load_checkpoint(3)
    with pytest.raises(TypeError, match="model is an OrderedDict"):
        save_checkpoint(model.state_dict(), path)
    for use in (lambda: load_checkpoint("CNN", 7), lambda: save_checkpoint(model, 7)):
        with pytest.raises(TypeError, match=r"path is an int; expected a str or a pathlib\.Path"):
            use()
    with pytest.raises(TypeError, match=r"folder is an int; expected a str or a pathlib\.Path"):
        read_manifest(7)
    with pytest.raises(ValueError, match="is a folder"):
        save_checkpoint(model, path.parent)
    with pytest.raises(ValueError, match="device 'gpu'"):
        load_checkpoint("CNN", path, device="gpu")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is not JSON"),
        ("\xff", "is not a manifest|is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1, 2]", "is not a manifest of checkpoints"),
        ('{"generated": true}', "is not a manifest of checkpoints"),
        ('{"CNN": {"sha256": "0", "replaces": 3}}', "is not a manifest of checkpoints"),
        ('{"CNN": {"sha256": "0", "file": ["CNN.pth"]}}', "is not a manifest of checkpoints"),
    ],
)
def test_a_broken_manifest_is_named(cnn, content, says):
    model, path = cnn
    (path.parent / "manifest.json").write_text(content, encoding="latin-1")
    for use in (
        lambda: read_manifest(path.parent),
        lambda: load_checkpoint("CNN", path),
        lambda: save_checkpoint(model, path),
    ):
        with pytest.raises(ValueError, match=rf"manifest\.json ({says}).*Delete it"):
            use()


def test_no_manifest_is_an_empty_one(tmp_path):
    assert read_manifest(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("name", NAMES)
def test_shipped_checkpoints_are_what_the_manifest_says(name):
    path = weights_dir() / f"{name}.pth"
    entry = json.loads((weights_dir() / "manifest.json").read_text(encoding="utf-8"))[name]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
    model = load_checkpoint(name)
    assert sum(p.numel() for p in model.parameters()) == entry["parameters"]
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert entry["data"]["generated"] is True
    assert len(entry["history"]["loss"]) == len(entry["history"]["step"]) > 0
    assert entry["history"]["seconds"] > 0 and entry["history"]["device"]
    assert entry["recipe"]["steps"] == entry["history"]["step"][-1]
    assert entry["test"]["images"] == 32


def test_what_is_added_to_an_entry_belongs_to_the_file_that_is_there(course, monkeypatch):
    monkeypatch.setenv("IPPY_COURSE", str(course))
    save_checkpoint(build("CNN", seed=0), weights_dir() / "CNN.pth")
    before = read_manifest()
    with pytest.raises(ValueError, match=r"CNN\.pth was replaced meanwhile"):
        manifest.amend({"CNN": {"sha256": "another", "seconds": 3}}, weights_dir())
    assert read_manifest() == before
    manifest.amend({"CNN": {"sha256": before["CNN"]["sha256"], "seconds": 3}}, weights_dir())
    assert read_manifest() == {"CNN": before["CNN"] | {"seconds": 3}}


def test_a_checkpoint_without_an_entry_has_no_recorded_checksum(course, monkeypatch):
    monkeypatch.setenv("IPPY_COURSE", str(course))
    save_checkpoint(build("CNN", seed=0), weights_dir() / "CNN.pth")
    recorded = {"CNN": read_manifest()["CNN"]["sha256"]}
    assert manifest.checksums(["CNN"], weights_dir()) == recorded
    with pytest.raises(ValueError, match=r"manifest\.json has no entry 'UNet'.* train UNet"):
        manifest.checksums(["CNN", "UNet", "ViT"], weights_dir())


def test_a_checkpoint_is_not_saved_in_the_place_of_its_record(cnn):
    _, path = cnn
    before = (path.parent / "manifest.json").read_bytes()
    with pytest.raises(ValueError, match=r"manifest\.json is where the record goes"):
        save_checkpoint(build("CNN"), path.parent / "manifest.json")
    with pytest.raises(ValueError, match=r"manifest\.json, where the record goes"):
        check_target(path.parent / "manifest.json")
    assert (path.parent / "manifest.json").read_bytes() == before


def test_a_device_that_is_not_there_leaves_the_weights_as_they_are(cnn):
    _, path = cnn
    model = build("CNN", seed=7)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="device 'cray' can't be used"):
        load_checkpoint(model, path, device="cray")
    assert all(before[name].equal(value) for name, value in model.state_dict().items())
