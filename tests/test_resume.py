"""A run that is stopped, killed, starved of disk or blown up loses nothing that was good."""

import dataclasses
import json
import multiprocessing
import os
import random
import runpy
import shlex
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ippy import __main__ as command_line
from ippy.base.files import remove_leftovers
from ippy.data import MayoDataset, generation
from ippy.models import build
from ippy.quality import SSIMLoss
from ippy.train import RECIPES, Diverged, Recipe, Stopped, fit, supervisor
from ippy.train import course as training_course
from ippy.train import loop as training
from ippy.train.course import _data_recipe, is_finished, train_model
from ippy.train.interrupts import held_back
from ippy.train.resume import RunFile, run_path, stopped_after
from ippy.weights import load_checkpoint, read_manifest, save_checkpoint

from .stopping import stop_after

pytestmark = pytest.mark.usefixtures("ctrl_c_is_heard")
CPU = torch.device("cpu")
SCRIPT = Path(__file__).parent / "runs" / "tiny.py"


@pytest.fixture(scope="module")
def kept():
    """What is the same in all tests, so that it is made once."""
    return {}


@pytest.fixture
def whole(tiny, kept, tmp_path):
    """The model and the history of a run that nothing disturbs."""
    if "whole" not in kept:
        kept["whole"] = tiny.train(tmp_path / "whole" / "m.pth")
    return kept["whole"]


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def assert_same(result, expected):
    (model, history), (model_expected, history_expected) = result, expected
    assert history.loss == history_expected.loss and history.step == history_expected.step
    scores, expected_scores = (
        [entry[::2] for entry in h.validation] for h in (history, history_expected)
    )
    assert scores == expected_scores and len(scores) == 12  # step and PSNR
    assert weights(model).equal(weights(model_expected))


@pytest.mark.parametrize("step", [1, 20, 60])
def test_ctrl_c_saves_and_the_run_ends_as_if_never_stopped(
    tiny, whole, step, monkeypatch, tmp_path
):
    target = tmp_path / "m.pth"
    with monkeypatch.context() as patch:
        stop_after(patch, step)
        with pytest.raises(KeyboardInterrupt, match=f"after step {step} of 60"):
            tiny.train(target)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["m.run.pth"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert_same(tiny.train(target, resume=True), whole)
    assert not run_path(target).exists()
    assert read_manifest(tmp_path)["m"]["history"]["loss"] == whole[1].loss


def test_a_run_may_be_stopped_again_and_its_seconds_add_up(tiny, whole, monkeypatch, tmp_path):
    target = tmp_path / "m.pth"
    for step in (10, 35):
        with monkeypatch.context() as patch:
            stop_after(patch, step, signal.SIGTERM)
            with pytest.raises(Stopped):
                tiny.train(target, resume=True)
    state = torch.load(run_path(target), weights_only=True)
    state["state"] |= {"seconds": 1000.0, "cpu_seconds": 500.1}
    torch.save(state, run_path(target))
    model, history = tiny.train(target, resume=True)
    assert_same((model, history), whole)
    assert 1000 < history.seconds < 2000 and 500 < history.cpu_seconds < 1000
    assert history.images_per_second == pytest.approx(60 * 4 * 16 * 16 / (24 * 32) / 1000, rel=0.5)


@pytest.fixture
def save_always(monkeypatch):
    """Save the state after each step."""
    monkeypatch.setattr(supervisor, "SAVE_EVERY", 0.0)


@pytest.fixture
def saved(monkeypatch):
    """The steps after which states were saved."""
    steps, plain = [], RunFile.save
    monkeypatch.setattr(
        RunFile, "save", lambda file, state: (steps.append(state.step), plain(file, state))
    )
    return steps


@pytest.mark.parametrize(
    ("seconds_per_step", "expected"),
    [(0.5, [60]), (7, [9, 18, 27, 36, 45, 54, 60]), (60, [*range(1, 61)])],
)
def test_the_state_is_saved_once_a_minute_and_at_the_end(
    tiny, saved, seconds_per_step, expected, monkeypatch, tmp_path
):
    now, plain = [0.0], training.Run.step

    def slow_step(run):
        now[0] += seconds_per_step
        plain(run)

    monkeypatch.setattr(training.Run, "step", slow_step)
    monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=lambda: now[0]))
    model, slices, *rest = tiny.parts()
    fit(model, slices[:1], *rest, device=CPU, save_to=tmp_path / "m.pth", progress=False)
    assert saved == expected  # of one slice, so that every step ends several epochs


NAMES = "m.pth", "m", "m.pt", "lr0.001", "lr0.01", "lr0.001.pth", "lr0.01.pth", "lr0", "m.v1.pth"


def test_every_target_has_a_state_and_temporary_files_of_its_own(tmp_path):
    targets = {tmp_path / name for name in NAMES}
    states = {run_path(target) for target in targets}
    assert len(targets | states) == 2 * len(NAMES)
    assert run_path("UNet.pth") == Path("UNet.run.pth")
    parts = {tmp_path / f".{path.name}.x_1.part" for path in targets | states}
    for path in targets | states:
        for part in parts:
            part.touch()
        remove_leftovers(path)
        assert {part for part in parts if not part.exists()} == {
            tmp_path / f".{path.name}.x_1.part"
        }


def test_the_end_of_one_run_leaves_the_state_of_another(tiny, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        stop_after(patch, 20)
        with pytest.raises(Stopped):
            tiny.train(tmp_path / "lr0.001")
    tiny.train(tmp_path / "lr0.01")
    assert stopped_after(tmp_path / "lr0.001") == 20
    assert stopped_after(tmp_path / "lr0.01") is None


def test_without_resume_a_run_starts_afresh(tiny, whole, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        stop_after(patch, 20)
        with pytest.raises(Stopped):
            tiny.train(tmp_path / "m.pth")
    result = tiny.train(tmp_path / "m.pth")
    assert_same(result, whole)
    with pytest.raises(ValueError, match="give save_to"):
        fit(*tiny.parts(), device=CPU, resume=True)


@pytest.fixture
def stopped(tiny, kept, monkeypatch, tmp_path):
    """The target of a run that was stopped after step 20."""
    target = tmp_path / "m.pth"
    if "stopped" not in kept:
        with monkeypatch.context() as patch:
            stop_after(patch, 20)
            with pytest.raises(Stopped):
                tiny.train(target)
        kept["stopped"] = run_path(target).read_bytes()
    run_path(target).write_bytes(kept["stopped"])
    return target


def test_another_recipe_other_data_or_another_problem_is_refused(tiny, stopped):
    model, slices, problem, recipe = tiny.parts()
    noisier = dataclasses.replace(problem, noise_level=0.02)
    brighter = slices.clone()
    brighter[0] += 0.01
    for changed, says in [
        ((slices, problem, dataclasses.replace(recipe, lr=1e-4)), "lr was 0.003 and is now 0.0001"),
        ((slices[:9], problem, recipe), "there were 12 slices and are now 9"),
        ((brighter, problem, recipe), "the slices, or what the problem makes of them"),
        ((slices, noisier, recipe), "the slices, or what the problem makes of them"),
    ]:
        before = run_path(stopped).read_bytes()
        with pytest.raises(ValueError, match=rf"m\.run\.pth belongs to another run: {says}"):
            fit(model, *changed, device=CPU, save_to=stopped, resume=True, progress=False)
        assert run_path(stopped).read_bytes() == before


def test_a_state_that_is_older_than_a_field_of_recipes_goes_on(tiny, stopped):
    saved = torch.load(run_path(stopped))
    del saved["run"]["recipe"]["schedule"]
    torch.save(saved, run_path(stopped))
    tiny.train(stopped, resume=True)
    assert stopped.is_file() and not run_path(stopped).exists()


def test_another_loss_of_the_callers_own_is_refused(tiny, stopped):
    with pytest.raises(ValueError, match=r"loss was l1 and is now SSIMLoss\(window_size=3, "):
        fit(
            *tiny.parts(),
            loss=SSIMLoss(), device=CPU, save_to=stopped, resume=True, progress=False,
        )  # fmt: skip


def test_another_architecture_is_refused(tiny, stopped):
    with pytest.raises(
        ValueError, match=r"m\.run\.pth is the state of another model than this Conv2d"
    ):
        fit(
            nn.Conv2d(1, 1, 3, padding=1), *tiny.parts()[1:],
            device=CPU, save_to=stopped, resume=True, progress=False,
        )  # fmt: skip


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "other", "hostile"])
def test_a_damaged_state_is_refused_and_nothing_in_it_runs(
    tiny, stopped, damage, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    path = run_path(stopped)
    content = bytearray(path.read_bytes())
    match damage:
        case "empty":
            content = b""
        case "cut":
            content = content[: len(content) // 2]
        case "flipped":
            place = content.find(torch.load(path)["state"]["losses"].numpy().tobytes())
            content[place + 5] ^= 1
        case "text":
            content = b"not a state"
    path.write_bytes(content)
    if damage == "other":
        torch.save({"weight": torch.zeros(3)}, path)
    if damage == "hostile":
        torch.save({"run": {}, "state": Hostile()}, path)
    with pytest.raises(ValueError, match=r"m\.run\.pth can't be read .* Delete it"):
        tiny.train(stopped, resume=True)
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"step": 61},
        {"step": True},
        {"step": "20"},
        {"losses": torch.zeros(19)},
        {"losses": torch.full((20,), torch.nan)},
        {"validations": [(21, 0.0, 30.0)]},
        {"validations": [(20, 0.0, "30")]},
        {"model": torch.zeros(3)},
        {"optimizers": [{}]},
        {"seconds": None},
        {"cpu_seconds": -1.0},
        {"more": 0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_state_whose_parts_disagree_is_refused(tiny, stopped, change):
    content = torch.load(run_path(stopped))
    content["state"] |= change
    torch.save(content, run_path(stopped))
    with pytest.raises(ValueError, match=r"m\.run\.pth can't be read .* Delete it"):
        tiny.train(stopped, resume=True)


@pytest.mark.parametrize(
    "part", ["param_groups", "momentum", "exp_avg_sq", "step", "more", "shape"]
)
def test_optimisers_of_another_model_are_refused(tiny, stopped, part):
    content = torch.load(run_path(stopped))
    muon, adamw = content["state"]["optimizers"]
    match part:
        case "param_groups":
            del adamw["param_groups"]
        case "momentum":
            del muon["state"][0]["momentum"]
        case "exp_avg_sq" | "step":
            del adamw["state"][0][part]
        case "more":
            content["state"]["optimizers"].append(adamw)
        case "shape":
            adamw["state"][0]["exp_avg"] = torch.zeros(2)
    torch.save(content, run_path(stopped))
    with pytest.raises(ValueError, match=r"m\.run\.pth is the state of another model"):
        tiny.train(stopped, resume=True)


class Masked(nn.Module):
    """A network with a mask that holds infinity."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return y + self.conv(y)


def test_a_buffer_may_hold_infinity(tiny, monkeypatch, tmp_path):
    _, slices, problem, recipe = tiny.parts()
    given, target = (slices, problem, recipe), tmp_path / "m.pth"
    with monkeypatch.context() as patch:
        stop_after(patch, 20)
        with pytest.raises(KeyboardInterrupt):
            fit(Masked(), *given, device=CPU, save_to=target, progress=False)
    fit(Masked(), *given, device=CPU, save_to=target, resume=True, progress=False)
    assert target.is_file()


def test_a_validation_that_failed_is_made_up_for(tiny, whole, monkeypatch, tmp_path):
    plain, target = training.Run.validate_if_due, tmp_path / "m.pth"

    def validate(run):
        if run.done == 15:
            raise RuntimeError("out of memory")
        plain(run)

    with monkeypatch.context() as patch:
        patch.setattr(training.Run, "validate_if_due", validate)
        with pytest.raises(RuntimeError, match="out of memory"):
            tiny.train(target)
    assert_same(tiny.train(target, resume=True), whole)


class GoingBad:
    """The tiny run's slices; one of them can't be had any more when its turn has come often."""

    def __init__(self, slices, reads, error):
        self.slices, self.reads, self.error = slices, reads, error

    def __len__(self):
        return len(self.slices)

    def __getitem__(self, index):
        self.reads -= 1
        if self.reads < 0:
            raise self.error
        return self.slices[index]


@pytest.mark.parametrize("error", [ValueError, OSError, RuntimeError, KeyError])
def test_a_slice_that_goes_bad_in_the_middle_costs_no_step(tiny, whole, error, saved, tmp_path):
    saved.clear()
    target = tmp_path / "m.pth"
    model, slices, *rest = tiny.parts()
    with pytest.raises(error, match=r"5\.png is damaged") as caught:
        fit(
            model, GoingBad(slices, 90, error("5.png is damaged")), *rest, device=CPU,
            validation=slices[:2], save_to=target, progress=False,
        )  # fmt: skip
    (done,) = saved
    assert torch.load(run_path(target))["state"]["step"] == done and 15 < done < 60
    assert f"the last good state, after step {done}," in caught.value.__notes__[0]
    assert_same(tiny.train(target, resume=True), whole)


def test_a_failure_in_the_middle_of_a_move_saves_nothing(tiny, saved, monkeypatch, tmp_path):
    plain, calls = torch.optim.AdamW.step, iter(range(60))

    def step(optimizer):
        if next(calls) == 20:
            raise RuntimeError("out of memory")
        plain(optimizer)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(RuntimeError, match="out of memory"):
        tiny.train(tmp_path / "m.pth")
    assert not saved


class Exploding(nn.Module):
    """Fine for a while; then the loss, or else only the gradient, is not finite."""

    def __init__(self, step, gradient_only=False):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.step, self.gradient_only, self.calls = step, gradient_only, 0

    def forward(self, y):
        self.calls += self.training
        if self.training and self.calls == self.step:
            wild = (self.weight - self.weight).abs().sqrt()  # 0, with an infinite slope: 0 * inf
            return y * self.weight + (wild if self.gradient_only else torch.nan)
        return y * self.weight


@pytest.mark.parametrize(
    ("gradient_only", "says"),
    [
        (False, r"the loss became nan at step 32 of 60, where the learning rate was 1\.\d\de-03"),
        (True, r"the weights were no longer finite after step 32 of 60"),
    ],
)
def test_a_diverging_run_names_the_step_the_rate_and_what_is_left(
    tiny, gradient_only, says, save_always, tmp_path
):
    target = tmp_path / "m.pth"
    save_checkpoint(Exploding(0), target)
    before = target.read_bytes()
    rest = tiny.parts()[1:]
    options = {"device": CPU, "progress": False}
    with pytest.raises(
        FloatingPointError, match=rf"{says}.*last good state, after step 31, is in .*m\.run\.pth"
    ) as caught:
        fit(Exploding(32, gradient_only), *rest, save_to=target, **options)
    assert caught.value.__context__ is None  # it is said once
    assert target.read_bytes() == before
    state = torch.load(run_path(target), weights_only=True)["state"]
    assert state["step"] == 31 and all(v.isfinite() for v in state["model"].values())
    run_path(target).unlink()
    with pytest.raises(FloatingPointError, match=r"at step 1 of 60.*m\.pth, is as it was"):
        fit(Exploding(1), *rest, save_to=target, **options)
    with pytest.raises(FloatingPointError, match=r"at step 33 of 60.*nothing was saved"):
        fit(Exploding(32, gradient_only=True), *rest, **options)


@pytest.mark.parametrize("followed", [False, True])
def test_weights_that_are_not_finite_are_never_saved(tiny, tmp_path, save_always, followed):
    step = 35  # the validation is due as well
    _, slices, *rest = tiny.parts()
    with pytest.raises(FloatingPointError, match=f"no longer finite after step {step}"):
        fit(
            Exploding(step, gradient_only=True), slices, *rest, device=CPU,
            validation=slices[:2] if followed else None, save_to=tmp_path / "m.pth", progress=False,
        )  # fmt: skip
    assert torch.load(run_path(tmp_path / "m.pth"), weights_only=True)["state"]["step"] == 34


@pytest.mark.parametrize("followed", [False, True])
def test_weights_that_are_not_finite_are_an_error_where_nothing_is_saved(tiny, followed):
    _, slices, *rest = tiny.parts()
    with pytest.raises(FloatingPointError, match=r"no longer finite after step 60 .*nothing was"):
        fit(
            Exploding(60, gradient_only=True), slices, *rest, device=CPU,
            validation=slices[:2] if followed else None, progress=False,
        )  # fmt: skip


def test_a_full_disk_leaves_the_old_state_whole(tiny, whole, stopped, save_always, full_disk):
    state = run_path(stopped)
    before = state.read_bytes()
    with full_disk(len(before) // 2), pytest.raises(OSError) as caught:
        tiny.train(stopped, resume=True)
    said = str(caught.value)
    assert said.startswith("the state after step 21 was not saved: ")
    assert "the last good state, after step 20, is in" in said
    assert state.read_bytes() == before
    assert [path.name for path in stopped.parent.iterdir() if path.is_file()] == [state.name]
    assert_same(tiny.train(stopped, resume=True), whole)


@pytest.fixture
def short_recipe(course, monkeypatch):
    """The CNN's recipe for the command line, of a second's work, in a course with a few slices."""
    monkeypatch.setenv("IPPY_COURSE", str(course))
    recipe = Recipe(steps=6, batch_size=2, crop=32)
    monkeypatch.setitem(RECIPES, "CNN", recipe)
    return recipe


def test_the_command_stops_with_one_line_and_goes_on(short_recipe, monkeypatch, tmp_path, capsys):
    folder = tmp_path / "two words"
    command = ["train", "CNN", "--output", str(folder)]
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert command_line.main(command) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (
        "stopped after step 4 of 6; "
        f"go on with `python -m ippy train --resume CNN --output {shlex.quote(str(folder))}`"
    )
    assert (folder / "CNN.run.pth").exists() and not (folder / "CNN.pth").exists()

    assert command_line.main(command) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "CNN was stopped after step 4" in said
    assert "--resume" in said and "--restart" in said
    assert (folder / "CNN.run.pth").exists()

    assert command_line.main([*command, "--resume"]) == 0
    written = (folder / "CNN.pth").read_bytes()
    assert "Training CNN" in capsys.readouterr().out
    assert read_manifest(folder)["CNN"]["recipe"] == dataclasses.asdict(short_recipe)

    assert command_line.main([*command, "--resume"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[2:] == ["CNN is finished"]  # after what is said of slices that were not generated
    assert (folder / "CNN.pth").read_bytes() == written


def test_restart_begins_anew(short_recipe, monkeypatch, tmp_path):
    command = ["train", "CNN", "--output", str(tmp_path)]
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert command_line.main(command) == 130
    steps = []
    plain = training.Run.step
    monkeypatch.setattr(training.Run, "step", lambda run: (steps.append(run.done), plain(run)))
    assert command_line.main([*command, "--restart"]) == 0
    assert steps == list(range(6)) and not (tmp_path / "CNN.run.pth").exists()
    with pytest.raises(SystemExit):
        command_line.main([*command, "--restart", "--resume"])


def test_training_goes_on_without_the_bad_slices_where_it_is_told_to(short_recipe, course, capsys):
    (course / "Mayo" / "train" / "P1" / "1.png").write_text("no picture", encoding="utf-8")
    (course / "Mayo" / "test" / "P2" / "9.png").write_text("no picture", encoding="utf-8")
    assert command_line.main(["train", "CNN"]) == 2
    assert "1.png" in capsys.readouterr().err
    assert command_line.main(["train", "CNN", "--skip-bad", "--restart"]) == 0
    said = capsys.readouterr()
    assert "Skipped 1, which can't be read; 2 slices are left:\n" in said.err
    assert said.err.count("1.png") == 1
    assert read_manifest(course / "weights")["CNN"]["data"]["train_slices"] == 2
    assert command_line.main(["train", "CNN", "--skip-bad", "--resume"]) == 0
    assert "CNN is finished" in capsys.readouterr().out


def test_training_takes_white_and_records_it(short_recipe, course, capsys):
    for path in (course / "Mayo" / "train").rglob("*.png"):
        pixels = np.array(Image.open(path)).astype(np.uint16) * 16
        Image.fromarray(pixels).save(path)
    for white, bad in (("4095", 0), ("4000", 2)):
        assert command_line.main(["train", "CNN", "--white", white]) == bad
    assert "more than white, 4000" in capsys.readouterr().err
    data = read_manifest(course / "weights")["CNN"]["data"]
    assert data["white"] == 4095 and data["generated"] is False
    assert is_finished("CNN", white=4095) and not is_finished("CNN", white=4096)


def test_a_name_or_recipe_that_is_none_is_refused(tmp_path):
    for ask in (train_model, is_finished):
        with pytest.raises(ValueError, match="name is 'nope'; expected one of 'CNN'"):
            ask("nope", folder=tmp_path)
        with pytest.raises(ValueError, match="name is 'LossStudyCNN'; expected one of 'CNN'"):
            ask("LossStudyCNN", folder=tmp_path)
        with pytest.raises(TypeError, match="recipe is a dict; expected a Recipe"):
            ask("CNN", recipe={}, folder=tmp_path)
        with pytest.raises(TypeError, match=r"folder is an int; expected a str or a pathlib\.Path"):
            ask("CNN", folder=3)


def test_a_handler_that_python_did_not_set_becomes_the_default(monkeypatch):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with monkeypatch.context() as patch:
        patch.setattr(signal, "getsignal", lambda number: None)
        with held_back():
            pass
    for number, handler in before.items():
        assert signal.signal(number, handler) is signal.SIG_DFL


def test_slices_of_a_reader_are_not_recorded_as_generated(course, monkeypatch):
    monkeypatch.setenv("IPPY_COURSE", str(course))
    shutil.rmtree(course / "Mayo" / "test")
    monkeypatch.setattr(generation, "PLAN", {"train": {"G01": 1}, "test": {"G91": 1}})
    generation.prepare_mayo(progress=False)
    mine = MayoDataset(course / "Mayo" / "train")
    known = {"generated": False, "sha256": mine.files_sha256(), "train_slices": 3}
    assert _data_recipe(mine) == known
    shutil.rmtree(course / "Mayo" / "train")
    generation.prepare_mayo(progress=False)
    made = _data_recipe(MayoDataset(course / "Mayo" / "train"))
    assert made["generated"] and made["seed"] == generation.SEED and made["train_slices"] == 1


def test_only_a_whole_checkpoint_of_the_same_recipe_and_data_is_finished(short_recipe, tmp_path):
    train_model("CNN", folder=tmp_path, progress=False)
    finished = partial(is_finished, "CNN", folder=tmp_path)
    assert finished()
    assert not finished(recipe=dataclasses.replace(short_recipe, seed=1))
    run_path(tmp_path / "CNN.pth").touch()
    assert not finished()
    run_path(tmp_path / "CNN.pth").unlink()
    manifest = tmp_path / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('"train_slices"', '"slices_then"'), encoding="utf-8")
    assert not finished()
    manifest.write_text(text, encoding="utf-8")
    assert finished()
    with (tmp_path / "CNN.pth").open("r+b") as file:
        file.truncate(1000)
    assert not finished()
    (tmp_path / "CNN.pth").unlink()
    assert not finished()


# forkserver starts a process in milliseconds; where there is none, spawn takes seconds
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def start(target):
    context = multiprocessing.get_context(METHOD)
    if METHOD == "forkserver":
        context.set_forkserver_preload(["ippy.train.loop", "torch._dynamo"])
    options = {"init_globals": {"TARGET": str(target)}, "run_name": "__main__"}
    process = context.Process(target=runpy.run_path, args=(str(SCRIPT),), kwargs=options)
    process.start()
    return process


def wait_for_a_save(target, process):
    """Return while a file is being written beside the target, or when the run is over."""
    while process.is_alive() and not any(target.parent.glob(".m.*")):
        pass


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_at_any_moment_the_run_goes_on_to_the_same_end(tiny, whole, kills, tmp_path):
    moments = random.Random(kills)
    for _ in range(2):  # the first one waits for the server's imports
        began = time.perf_counter()
        undisturbed = start(tmp_path / "m.pth")
        undisturbed.join()
        lasts = time.perf_counter() - began
        assert undisturbed.exitcode == 0
    killed = 0
    for attempt in range(3 * kills):  # some are over before they are killed
        target = tmp_path / str(attempt) / "m.pth"
        shipped = tiny.parts()[0]
        save_checkpoint(shipped, target)
        process = start(target)
        time.sleep(moments.uniform(0, lasts))
        if attempt % 2:  # every second one in the middle of a save
            wait_for_a_save(target, process)
        process.kill()
        process.join()
        killed += process.exitcode != 0
        process.close()
        at_target = weights(load_checkpoint(tiny.parts()[0], target))
        assert at_target.equal(weights(shipped)) or at_target.equal(weights(whole[0]))
        if run_path(target).exists():
            assert 0 < torch.load(run_path(target), weights_only=True)["state"]["step"] <= 60
        assert_same(tiny.train(target, resume=True), whole)
        assert not run_path(target).exists()
        assert not list(target.parent.glob(".m.*"))
        if killed == kills:
            break
    assert killed == kills


def test_another_last_slice_is_other_data(tiny, stopped):
    model, slices, problem, recipe = tiny.parts()
    last = slices.clone()
    last[-1] += 0.01
    with pytest.raises(ValueError, match="the slices, or what the problem makes of them"):
        fit(model, last, problem, recipe, device=CPU, save_to=stopped, resume=True, progress=False)


def test_a_state_whose_moments_are_not_finite_is_refused(tiny, stopped):
    content = torch.load(run_path(stopped))
    content["state"]["optimizers"][0]["state"][0]["momentum"][0] = torch.inf
    torch.save(content, run_path(stopped))
    with pytest.raises(ValueError, match=r"m\.run\.pth can't be read .* Delete it"):
        tiny.train(stopped, resume=True)


def test_a_checkpoint_that_can_t_be_written_costs_no_step(tiny, monkeypatch, tmp_path):
    target = tmp_path / "m.pth"

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(supervisor, "save_checkpoint", full)
        tiny.train(target)
    assert stopped_after(target) == 60
    tiny.train(target, resume=True)
    assert target.is_file() and stopped_after(target) is None


def test_in_another_thread_signals_are_let_be():
    def use():
        with held_back() as signalled:
            return signalled()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(use).result() is False


def test_an_entry_that_is_older_than_a_field_is_finished(short_recipe, tmp_path):
    train_model("CNN", folder=tmp_path, progress=False)
    entries = read_manifest(tmp_path)
    del entries["CNN"]["task"], entries["CNN"]["recipe"]["schedule"]
    (tmp_path / "manifest.json").write_text(json.dumps(entries), encoding="utf-8")
    assert is_finished("CNN", folder=tmp_path)


def test_the_seed_of_the_recipe_draws_the_first_weights(short_recipe, monkeypatch, tmp_path):
    begun = []
    monkeypatch.setattr(training_course, "validation_slices", lambda: None)
    monkeypatch.setattr(training_course, "fit", lambda model, *_, **__: begun.append(model))
    train_model("CNN", recipe=dataclasses.replace(short_recipe, seed=3), folder=tmp_path)
    assert weights(begun[0]).equal(weights(build("CNN", seed=3)))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            Diverged("the loss became nan at step 3 of 6", ", and so on."),
            "error: the loss became nan at step 3 of 6, and so on.",
        ),
        (
            ValueError("5.png is damaged"),
            "error: 5.png is damaged; the last good state is in a",
        ),
    ],
)
def test_what_ends_a_run_is_one_line(short_recipe, monkeypatch, capsys, error, says):
    def fails(*_, **__):
        raise error

    if isinstance(error, ValueError):
        error.add_note("the last good state is in a")
    monkeypatch.setattr("ippy.commands.train.train_model", fails)
    assert command_line.main(["train", "CNN"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == says


def test_all_models_are_trained_in_order_and_the_advice_repeats_what_was_asked(
    course, monkeypatch, capsys
):
    options = ["--batch-size", "4", "--white", "4095", "--skip-bad"]
    asked, command = [], ["train", "--all", *options]

    def train(name, *, recipe, **_):
        if len(asked) == len(RECIPES):
            raise KeyboardInterrupt
        asked.append((name, recipe.batch_size))

    monkeypatch.setenv("IPPY_COURSE", str(course))
    monkeypatch.setattr("ippy.commands.train.train_model", train)
    assert command_line.main(command) == 0 and asked == [(name, 4) for name in RECIPES]
    assert command_line.main(command) == 130
    advice = f"`python -m ippy train --resume --all {' '.join(options)}`"
    assert capsys.readouterr().err.endswith(f"go on with {advice}\n")
