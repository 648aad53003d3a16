"""Studies run what is missing, keep a row a run, and refuse rows whose definition has changed."""

from __future__ import annotations

import _thread
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import FunctionType

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock

from ippy.__main__ import main
from ippy.base.paths import data_dir
from ippy.data import MayoDataset, generation, prepare_mayo, validation_slices
from ippy.data.generation import SEED, read_generated
from ippy.data.phantoms import Style, generate_slice
from ippy.models import build
from ippy.operators import LinearOperator
from ippy.problems import InverseProblem
from ippy.studies import (
    Generated,
    definition,
    engine,
    load,
    names,
    protocol,
    read,
    summarise,
    worker,
)
from ippy.studies import record as records
from ippy.studies.definition import digest, grid, row_key
from ippy.studies.protocol import checksum
from ippy.studies.record import append, merge_shards, read_rows, record_path, status
from ippy.studies.worker import train_row
from ippy.train import loop as training

from .stopping import stop_after

DEFINITION = '''"""A study for the tests."""

from functools import partial

from ippy.models import build
from ippy.studies import Job, Study, grid
from ippy.train import Recipe


def job(loss, seed):
    """Train the smallest network."""
    recipe = Recipe(steps=STEPS, crop=16, loss=loss, seed=seed)
    return Job(partial(build, "LossStudyCNN", seed=seed), recipe)


STEPS = 40
STUDY = Study(
    question="Does it run?",
    decides="That studies run.",
    fixed="The network.",
    rows=grid(loss=["mse", "l1"], seed=[0]),
    job=job,
    minutes=0.1,
)
'''


@pytest.fixture
def tiny_course(course: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course with a few slices and a study of two short runs."""
    monkeypatch.setenv("IPPY_COURSE", str(course))
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    (course / "studies").mkdir()
    write(course, DEFINITION)
    return course


def write(course: Path, definition: str) -> None:
    (course / "studies" / "tiny.py").write_text(definition, encoding="utf-8")


def row(name: str, factors: dict, **more: object) -> dict:
    """A row as a finished run enters it, for tests that need no training."""
    job = load(name).job(**factors)
    made = {"digest": digest(name, job, factors), "recipe": asdict(job.recipe)}
    results = {"cpu_seconds": 1.0, "weights": "w", "test": {"psnr": 30.0}}
    return {"factors": factors} | made | results | more


@pytest.fixture(scope="module")
def one_slice() -> torch.Tensor:
    return validation_slices()[:1]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, one_slice: torch.Tensor) -> Iterator[pytest.MonkeyPatch]:
    """Runs are made in this process, on one thread, and followed with one slice."""

    def run_all(commands: dict[str, list[str]], jobs: int, progress: bool) -> list[str]:
        for python, module, name, *arguments in commands.values():
            assert (python, module, name) == (sys.executable, "-m", worker.__name__)
            monkeypatch.setattr(sys, "argv", [name, *arguments])
            assert worker.main() == 0
        return []

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "stop_at_end_of_input", lambda: None)
        patch.setattr(worker, "validation_slices", lambda: one_slice)
        patch.setattr(engine, "_run_all", run_all)
        yield patch
    torch.set_num_threads(threads)


def test_a_study_runs_what_is_missing_and_its_record_is_a_tidy_table(
    tiny_course, here, ctrl_c_is_heard
):
    with pytest.raises(ValueError, match=r"lacks 2 of 2 rows, such as 'loss=mse,seed=0'"):
        read("tiny")
    with pytest.raises(ValueError, match="nothing to compare with"):
        engine.check("tiny")
    assert engine.run("tiny", only="*mse*", progress=False) == []
    assert len(read("tiny", complete=False)) == 1
    here.undo()  # from here on each run has a process of its own
    assert engine.run("tiny", jobs=2, progress=False) == []
    table = read("tiny")
    assert list(table.loss) == ["mse", "l1"] and list(table.seed) == [0, 0]
    assert (table["test.psnr"] > 5).all() and (table["recipe.steps"] == 40).all()
    assert (table.gflop_step > 2 * table.gflop_forward).all()
    assert (table.cpu_seconds > 0).all() and (table.train_slices == 3).all()
    before = record_path("tiny").stat().st_mtime_ns
    assert engine.run("tiny", progress=False) == []
    assert record_path("tiny").stat().st_mtime_ns == before  # nothing was missing

    mse, l1 = read_rows("tiny").values()
    append(record_path("tiny"), mse | {"cpu_seconds": 0.0})  # the one to repeat
    assert engine.check("tiny") == "tiny, loss=mse,seed=0: the same weights, bit for bit"
    with pytest.raises(ValueError, match="the repetition diverged: at step 3"):
        engine.compare(l1, {"diverged": "at step 3"})
    with pytest.raises(ValueError, match="weights differ on a CPU of the same kind"):
        engine.compare(l1, l1 | {"weights": "others"})


def test_a_run_that_diverges_is_an_answer(tiny_course, here):
    plain = training.Run.step

    def step(run):
        plain(run)
        if run.recipe.loss == "mse" and run.done == 3:
            run.losses[2] = torch.nan

    here.setattr(training.Run, "step", step)
    assert engine.run("tiny", progress=False) == []
    table = read("tiny").set_index("loss")  # nothing is missing
    assert table.diverged["mse"] == "the loss became nan at step 3 of 40"
    assert pd.isna(table.diverged["l1"]) and table["test.psnr"].isna().tolist() == [True, False]
    assert table.loc["mse", "gflop_step"] > 0 and table.loc["mse", "ran_on"].startswith("cpu")
    counted = summarise("tiny")
    assert counted.diverged.to_dict() == {"mse": 1, "l1": 0}
    assert engine.check("tiny").startswith("tiny, loss=l1")


def test_what_a_diverged_run_leaves_is_not_gone_on_with(tiny_course, here, ctrl_c_is_heard):
    plain, one = training.Run.step, ("tiny", "loss=l1,seed=0", record_path("tiny"))
    stop_after(here, 10)
    with pytest.raises(KeyboardInterrupt):
        train_row(*one)
    runs = tiny_course / "studies" / "runs" / "tiny"
    assert len(list(runs.glob("*/*.run.pth"))) == 1

    def step(run):
        plain(run)
        if run.done == 20:
            run.losses[19] = torch.nan

    here.setattr(training.Run, "step", step)
    train_row(*one)
    assert "diverged" in read_rows("tiny")["loss=l1,seed=0"]
    assert not list(runs.glob("*/*.run.pth"))


def test_a_stopped_run_whose_recipe_has_changed_begins_anew(
    tiny_course, here, monkeypatch, ctrl_c_is_heard
):
    with monkeypatch.context() as patch:
        stop_after(patch, 10)
        with pytest.raises(KeyboardInterrupt):
            train_row("tiny", "loss=l1,seed=0", record_path("tiny"))
    plain_load = worker.load

    def other(name):
        study = plain_load(name)

        def job(**factors):
            made = study.job(**factors)
            return replace(made, recipe=replace(made.recipe, lr=0.001))

        return replace(study, job=job)

    monkeypatch.setattr(worker, "load", other)  # as a recipe of the package that has changed
    train_row("tiny", "loss=l1,seed=0", record_path("tiny"))
    assert read_rows("tiny")["loss=l1,seed=0"]["recipe"]["lr"] == 0.001


def test_one_process_at_a_time_trains_a_run(tiny_course, here, capsys, ctrl_c_is_heard):
    one, record = ("tiny", "loss=l1,seed=0"), record_path("tiny")
    plain = worker.fit

    def fit_and_ask(*given, **options):
        train_row(*one, record)  # as a second study that was started beside
        return plain(*given, **options)

    here.setattr(worker, "fit", fit_and_ask)
    train_row(*one, record)
    assert "loss=l1,seed=0 is being run by another process" in capsys.readouterr().err
    here.setattr(worker, "fit", lambda *_, **__: pytest.fail("it is done"))
    train_row(*one, record)  # as one whose list of rows was made before


def test_a_summary_takes_the_seeds_together(tiny_course, capsys):
    write(tiny_course, DEFINITION.replace("seed=[0]", "seed=[0, 1]"))
    scores = {("mse", 0): 30.0, ("mse", 1): 31.0, ("l1", 0): 33.0}
    for (loss, seed), psnr in scores.items():
        results = {"cpu_seconds": 10.0 + seed, "test": {"psnr": psnr, "ssim": 0.9}}
        append(record_path("tiny"), row("tiny", {"loss": loss, "seed": seed}, **results))
    with pytest.raises(ValueError, match=r"lacks 1 of 4 rows"):
        summarise("tiny")
    table = summarise("tiny", complete=False)
    assert table.loc["mse"].to_dict() == {
        "seeds": 2, "test (dB)": 30.5, "SSIM": 0.9, "core-seconds": 10.0, "spread (dB)": 1.0
    }  # fmt: skip
    assert table.loc["l1", "seeds"] == 1 and table.loc["l1", "spread (dB)"] == 0
    assert main(["study", "tiny", "--only", "*seed=0*"]) == 0  # nothing is missing
    assert table.to_string() in capsys.readouterr().out


def test_the_core_seconds_of_a_summary_are_those_of_the_trainings(tiny_course):
    shipped = DEFINITION.replace("seed=[0]", "seed=[0, 1]").replace(
        "    recipe =",
        "    if seed == 0:\n"
        '        return Evaluation(partial(build, "LossStudyCNN", seed=0), motion_deblurring())\n'
        "    recipe =",
    )
    imports = "import Evaluation, Job, Study, grid\nfrom ippy.problems import motion_deblurring"
    write(tiny_course, shipped.replace("import Job, Study, grid", imports))
    results = {"cpu_seconds": 1.0, "test": {"psnr": 31.0}, "checkpoint": "none"}
    factors = {"loss": "mse", "seed": 0}
    made = {"factors": factors, "digest": digest("tiny", load("tiny").job(**factors), factors)}
    append(record_path("tiny"), made | results)
    append(record_path("tiny"), row("tiny", {"loss": "mse", "seed": 1}, cpu_seconds=40.0))
    assert summarise("tiny", complete=False).loc["mse"].to_dict() == {
        "seeds": 2, "test (dB)": 30.5, "core-seconds": 40.0, "spread (dB)": 1.0
    }  # fmt: skip


def test_a_summary_of_seeds_alone_has_one_row_and_may_have_no_scores(tiny_course):
    write(tiny_course, DEFINITION.replace("job(loss, seed)", 'job(seed, loss="mse")').replace(
        'loss=["mse", "l1"], seed=[0]', "seed=[0, 1]"
    ))  # fmt: skip
    first, second = load("tiny").rows
    failed = {k: v for k, v in row("tiny", first, diverged="at once").items() if k != "test"}
    append(record_path("tiny"), failed)
    (alone,) = summarise("tiny", complete=False).to_dict("records")
    assert alone["seeds"] == alone["diverged"] == 1 and pd.isna(alone["spread (dB)"])
    append(record_path("tiny"), row("tiny", second))
    (both,) = summarise("tiny").to_dict("records")
    assert both["seeds"] == 2 and both["test (dB)"] == 30.0


def test_none_is_a_setting_of_a_summary(tiny_course):
    write(tiny_course, DEFINITION.replace('loss=["mse", "l1"]', 'loss=["mse"], window=[None, 7]')
          .replace("job(loss, seed)", "job(loss, window, seed)"))  # fmt: skip
    for window in (None, 7):
        append(record_path("tiny"), row("tiny", {"loss": "mse", "window": window, "seed": 0}))
    assert len(summarise("tiny")) == 2


def test_rows_of_unlike_machines_agree_to_a_tenth_of_a_decibel(tiny_course):
    here = {"cpu": "a", "ran_on": "cpu", "versions": {}, "data": "d"}
    recorded = row("tiny", load("tiny").rows[0], **here)
    elsewhere = recorded | {"cpu": "b", "weights": "others"}
    assert engine.compare(recorded, elsewhere) == "30.000 dB, recorded 30.000 dB"
    with pytest.raises(ValueError, match=r"has 30\.000 dB and its repetition 29\.800 dB"):
        engine.compare(recorded, elsewhere | {"test": {"psnr": 29.8}})


def test_a_run_may_have_a_loss_and_measurements_of_its_own(tiny_course, here, ctrl_c_is_heard):
    own = DEFINITION.replace(
        'return Job(partial(build, "LossStudyCNN", seed=seed), recipe)',
        'return Job(partial(build, "LossStudyCNN", seed=seed), recipe, '
        'loss=SSIMLoss, measure=lambda model: {"weights": len(model.state_dict())})',
    ).replace("from ippy.train", "from ippy.quality import SSIMLoss\nfrom ippy.train")
    append(record_path("tiny"), row("tiny", {"loss": "l1", "seed": 0}))
    write(tiny_course, own)
    with pytest.raises(ValueError, match="stale"):
        read("tiny", complete=False)
    engine.run("tiny", only="*l1*", progress=False)
    (recorded,) = read_rows("tiny").values()
    assert recorded["measured"] == {"weights": 6}
    assert recorded["training_loss"] > 0.1  # 1 - SSIM, and not a mean absolute difference
    assert "loss" not in recorded["recipe"]


def test_slices_of_a_study_are_made_once_and_know_their_checksum(tiny_course, monkeypatch):
    few = Generated(2, 2, Style(vessels=0))
    expected = generate_slice(SEED, "train", "G002", 1, 2, style=Style(vessels=0))
    assert len(few) == 4 and few[0].shape == (1, 256, 256)
    assert np.array_equal((few[3][0] * 255).round().numpy(), expected)
    assert checksum(few) == few.sha256 != Generated(2, 2).sha256
    assert checksum(expected) == "not generated"  # nor are those of this course
    monkeypatch.setattr(protocol, "generate_slice", None)
    assert Generated(2, 2, Style(vessels=0)).sha256 == few.sha256


def test_real_slices_are_scored_where_a_folder_is_given(tiny_course, here):
    train_row("tiny", "loss=l1,seed=0", record_path("tiny"), real=tiny_course / "Mayo" / "test")
    recorded = read_rows("tiny")["loss=l1,seed=0"]
    assert recorded["real"]["slices"] == 1 and recorded["real"]["patients"] == "P2"
    assert recorded["real"]["psnr"] == recorded["test"]["psnr"]


def test_real_slices_are_looked_for_before_anything_is_trained(tiny_course, here):
    here.setattr(engine, "_run_all", lambda *_: pytest.fail("a run was started"))
    with pytest.raises(FileNotFoundError, match="no folder"):
        engine.run("tiny", real=tiny_course / "nowhere", progress=False)


def test_a_row_that_was_an_evaluation_is_stale(tiny_course):
    factors = load("tiny").rows[0]
    older = row("tiny", factors) | {"checkpoint": "none"}
    del older["recipe"]
    append(record_path("tiny"), older)
    assert status("tiny", load("tiny"))[1] == [row_key(factors)]


@pytest.mark.parametrize(
    ("old", "new", "stale"),
    [
        ("STEPS = 40", "STEPS = 50", True),  # a setting
        ('"LossStudyCNN"', '"ResCNN"', True),  # the code of a job
        ("crop=16", "crop=32", True),
        ('"""Train the smallest network."""', '"""Say it otherwise."""', False),
        ("STEPS = 40", 'STEPS = 40\n"""Of every run."""', False),
        ("STEPS = 40", "STEPS = 40  # a remark", False),
        ("seed=[0]", "seed=[0, 1]", False),  # a study may grow
    ],
)
def test_a_row_is_stale_when_its_definition_has_changed_and_not_otherwise(
    tiny_course, old, new, stale
):
    for factors in load("tiny").rows:
        append(record_path("tiny"), row("tiny", factors))
    write(tiny_course, DEFINITION.replace(old, new))
    rows, old_rows, _ = status("tiny", load("tiny"))
    assert len(rows) == (0 if stale else 2) and len(old_rows) == (2 if stale else 0)
    if stale:
        with pytest.raises(ValueError, match="has stale rows, such as 'loss=mse,seed=0'"):
            read("tiny")


def test_a_setting_that_recipes_did_not_have_counts_as_its_default(tiny_course):
    factors = load("tiny").rows[0]
    older = row("tiny", factors)
    del older["recipe"]["clip"]
    append(record_path("tiny"), older)
    assert len(read("tiny", complete=False)) == 1
    older["recipe"]["clip"] = 0.1  # the default is 1
    append(record_path("tiny"), older)
    assert status("tiny", load("tiny"))[1] == [row_key(factors)]


def test_the_digest_is_the_same_for_every_python(tiny_course):
    study = load("tiny")
    factors = study.rows[0]
    assert digest("tiny", study.job(**factors), factors) == "ee06d7fb4b6e3a8c"


def test_a_run_whose_definition_has_changed_begins_anew(tiny_course):
    train_row("tiny", "loss=l1,seed=0", record_path("tiny"))
    write(tiny_course, DEFINITION.replace('"LossStudyCNN"', '"CNN"'))
    train_row("tiny", "loss=l1,seed=0", record_path("tiny"))
    (recorded,) = read_rows("tiny").values()
    assert recorded["parameters"] == sum(p.numel() for p in build("CNN").parameters())


def made_of(value):
    """What a value is made of, alike for two that were made alike: no address of an object."""
    if isinstance(value, partial):
        return made_of([value.func, value.args, value.keywords])
    if isinstance(value, FunctionType):
        held = [cell.cell_contents for cell in value.__closure__ or ()]
        return [value.__module__, value.__code__.co_firstlineno, made_of(held)]
    if isinstance(value, dict):
        return made_of([*value.items()])
    if isinstance(value, list | tuple):
        return [made_of(part) for part in value]
    if isinstance(value, LinearOperator):
        value = InverseProblem(value, 0)
    return definition._described(value) if isinstance(value, InverseProblem) else repr(value)


@pytest.mark.parametrize("name", names())
def test_no_two_runs_of_a_study_do_the_same(name):
    study = load(name)
    done, again = ([repr(made_of(vars(study.job(**f)))) for f in study.rows] for _ in range(2))
    assert done == again and len(set(done)) == len(done)


@pytest.mark.parametrize("name", names())
def test_a_record_has_no_row_that_its_study_does_not_ask_for(name):
    assert set(read_rows(name)) <= {row_key(factors) for factors in load(name).rows}


def test_a_study_needs_a_process(tiny_course):
    with pytest.raises(ValueError, match="jobs is 0; expected 1"):
        engine.run("tiny", jobs=0)


def test_shards_write_rows_of_their_own_which_are_merged_on_reading(tiny_course):
    mse, l1 = load("tiny").rows
    append(record_path("tiny", "1-of-2"), row("tiny", mse))
    append(record_path("tiny", "2-of-2"), row("tiny", l1))
    assert not record_path("tiny").exists() and len(read("tiny")) == 2
    merge_shards("tiny")
    assert len(json.loads(record_path("tiny").read_text(encoding="utf-8"))) == 2
    assert [path.name for path in record_path("tiny").parent.glob("*.json")] == ["tiny.json"]


def test_a_stale_row_of_an_older_array_gives_way(tiny_course):
    mse, l1 = load("tiny").rows
    append(record_path("tiny", "1-of-4"), row("tiny", mse, cpu_seconds=2.0))
    append(record_path("tiny", "1-of-8"), row("tiny", mse, cpu_seconds=3.0) | {"digest": "old"})
    append(record_path("tiny", "2-of-8"), row("tiny", l1) | {"digest": "old"})
    for _ in range(2):
        (good,), stale, missing = status("tiny", load("tiny"))
        assert good["cpu_seconds"] == 2.0 and stale == [row_key(l1)] and not missing
        merge_shards("tiny")


def test_the_shards_share_the_rows(tiny_course, monkeypatch):
    ran = []
    monkeypatch.setattr(
        engine, "_run_all", lambda commands, *_: ran.append([c[-2:] for c in commands.values()])
    )
    for index in (1, 2):
        engine.run("tiny", shard=(index, 2), progress=False)
    first, second = (str(record_path("tiny", f"{index}-of-2")) for index in (1, 2))
    assert ran == [[["loss=mse,seed=0", first]], [["loss=l1,seed=0", second]]]
    append(record_path("tiny", "1-of-2"), row("tiny", load("tiny").rows[0]))
    engine.run("tiny", shard=(2, 2), progress=False)
    assert ran[2] == ran[1]  # a task that starts later has the same share


def test_a_pattern_that_no_run_has_is_refused(tiny_course):
    with pytest.raises(ValueError, match=r"no run of 'tiny' matches 'l2'; .* 'loss=mse,seed=0'"):
        engine.run("tiny", only="l2", progress=False)


BEGUN = '''
from pathlib import Path
from torch import nn


class Begun(nn.L1Loss):
    """Tells that steps are taken."""

    def forward(self, x_hat, x):
        Path(__file__).with_suffix(".begun").touch()
        return super().forward(x_hat, x)


'''


def test_a_worker_saves_its_run_and_ends_when_the_study_is_killed(tiny_course):
    endless = DEFINITION.replace("STEPS = 40", "STEPS = 100000")
    own = endless.replace("seed=seed), recipe)", "seed=seed), recipe, loss=Begun)")
    write(tiny_course, BEGUN + own)
    code = "from ippy.studies import engine; engine.run('tiny', only='*l1*', progress=False)"
    begun = tiny_course / "studies" / "tiny.begun"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
    )
    while not begun.exists() and process.poll() is None:
        time.sleep(0.1)
    process.terminate()
    try:
        process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert list((tiny_course / "studies" / "runs" / "tiny").glob("*/loss=l1,seed=0.run.pth"))


WAITS = """
import os, sys, time
os.close(os.open(sys.argv[2], os.O_CREAT))
os.read(0, 1)  # ends when the study stops
time.sleep(0.5)
os.close(os.open(sys.argv[1], os.O_CREAT))
"""


def test_ctrl_c_stops_the_runs_and_waits_for_them(tmp_path, ctrl_c_is_heard):
    def command(name: str) -> list[str]:
        files = [str(tmp_path / f"{name}.{event}") for event in ("stopped", "began")]
        return [sys.executable, "-S", "-c", WAITS, *files]

    def press() -> None:
        while len(list(tmp_path.glob("*.began"))) < 2:
            time.sleep(0.01)
        _thread.interrupt_main()

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        engine._run_all({name: command(name) for name in "abc"}, jobs=2, progress=False)
    assert {path.name for path in tmp_path.glob("*.stopped")} == {"a.stopped", "b.stopped"}
    assert not (tmp_path / "c.began").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM ends a process there")
def test_sigterm_stops_the_runs_and_waits_for_them_too(tmp_path, ctrl_c_is_heard):
    files = [str(tmp_path / event) for event in ("stopped", "began")]
    code = f"""
import sys
from ippy.studies import engine
engine._run_all({{"a": [sys.executable, "-S", "-c", {WAITS!r}, *{files!r}]}}, 1, False)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    while not (tmp_path / "began").exists() and process.poll() is None:
        time.sleep(0.01)
    process.terminate()
    process.communicate(timeout=60)
    assert (tmp_path / "stopped").exists()  # when the study itself has ended


def test_the_overview_counts_rows_and_hours(tiny_course):
    append(record_path("tiny"), row("tiny", load("tiny").rows[0], cpu_seconds=7200.0))
    (line,) = engine.overview().to_dict("records")
    assert (line["done"], line["stale"], line["missing"]) == (1, 0, 1)
    assert line["hours done"] == 2.0 and line["hours left"] == pytest.approx(0.1 / 60, abs=0.01)


def test_what_is_no_study_is_refused(tiny_course):
    assert names() == ["tiny"]
    with pytest.raises(ValueError, match="name is 'tinny'; expected one of 'tiny'"):
        load("tinny")
    write(tiny_course, "STUDY = 3\n")
    with pytest.raises(TypeError, match=r"STUDY of studies/tiny\.py is an int; expected a Study"):
        load("tiny")
    write(tiny_course, DEFINITION.replace("seed=[0]", "seed=[0, 0]"))
    with pytest.raises(ValueError, match="rows has 'loss=mse,seed=0' twice"):
        load("tiny")
    write(tiny_course, DEFINITION.replace('"mse"', '"1/8"'))
    with pytest.raises(ValueError, match=r"rows has 'loss=1/8,seed=0'; expected .* a file's name"):
        load("tiny")


def test_a_damaged_record_is_named(tiny_course):
    record_path("tiny").write_text("[{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"tiny\.json can't be read as the record of a study"):
        read("tiny")
    with pytest.raises(ValueError, match="can't be read"):
        append(record_path("tiny"), row("tiny", load("tiny").rows[0]))
    assert record_path("tiny").read_text(encoding="utf-8") == "[{"


def test_a_grid_has_every_combination():
    assert [row_key(f) for f in grid(a=[1, 2], b="xy")] == [
        "a=1,b=x",
        "a=1,b=y",
        "a=2,b=x",
        "a=2,b=y",
    ]


def test_the_command_lists_studies_and_refuses_what_makes_no_sense(tiny_course, capsys):
    assert main(["study"]) == 0
    printed = capsys.readouterr().out
    assert "Does it run?" in printed and "missing" in printed
    assert main(["study", "--check"]) == 2
    assert "no good row of tiny is recorded" in capsys.readouterr().err
    assert main(["study", "tinny"]) == 2
    assert "name is 'tinny'; expected one of 'tiny'" in capsys.readouterr().err
    for shard in ("3/2", "0/2", "one"):
        with pytest.raises(SystemExit):
            main(["study", "tiny", "--shard", shard])
        assert "expected I/N with I from 1 to N" in capsys.readouterr().err


def test_the_command_refuses_options_that_it_would_not_use(tiny_course, capsys):
    for unused in (["--jobs", "2"], ["--only", "x"], ["--real", "x"], ["--shard", "1/2"]):
        assert main(["study", *unused]) == 2
        assert f"{unused[0]} is for the runs of one study: name it" in capsys.readouterr().err
        assert main(["study", "tiny", "--check", *unused]) == 2
        assert f"leave {unused[0]} out" in capsys.readouterr().err


@pytest.mark.parametrize("failed", [[], ["loss=l1,seed=0"]])
def test_the_command_says_what_failed_and_what_is_stale(tiny_course, here, capsys, failed):
    mse, l1 = load("tiny").rows
    append(record_path("tiny"), row("tiny", mse))
    append(record_path("tiny"), row("tiny", l1) | {"digest": "old"})
    here.setattr(engine, "run", lambda name, **options: failed)
    assert main(["study", "tiny"]) == (2 if failed else 0)
    out, err = capsys.readouterr()
    assert "1 rows are stale, such as loss=l1,seed=0" in out
    assert ("1 runs failed" in err) == bool(failed)


def test_the_command_passes_its_options_on(tiny_course, monkeypatch):
    asked = {}
    monkeypatch.setattr(engine, "run", lambda name, **options: asked.update(options) or ["x=1"])
    command = ["study", "tiny", "--only", "*l1*", "--jobs", "2", "--shard", "2/8"]
    assert main(command) == 2  # a run failed
    assert asked == {"only": "*l1*", "jobs": 2, "real": None, "shard": (2, 8)}


def test_rows_that_are_entered_at_once_are_all_kept(tiny_course, monkeypatch):
    plain = records.rows_so_far

    def slowly(path):
        rows = plain(path)
        time.sleep(0.3)
        return rows

    monkeypatch.setattr(records, "rows_so_far", slowly)
    with ThreadPoolExecutor() as pool:
        rows = [row("tiny", factors) for factors in load("tiny").rows]
        list(pool.map(partial(append, record_path("tiny")), rows))
    assert len(read_rows("tiny")) == 2


def test_a_record_is_written_whole_or_not_at_all(tiny_course, full_disk):
    first, second = load("tiny").rows
    append(record_path("tiny"), row("tiny", first))
    before = record_path("tiny").read_bytes()
    with full_disk(len(before)), pytest.raises(OSError, match="nothing was written"):
        append(record_path("tiny"), row("tiny", second))
    assert record_path("tiny").read_bytes() == before


def test_a_row_that_is_entered_while_shards_are_merged_is_waited_for(tiny_course, monkeypatch):
    shard, free, plain = record_path("tiny", "1-of-2"), [], records.read_record
    append(shard, row("tiny", load("tiny").rows[0]))

    def read(path):
        with suppress(TimeoutError), FileLock(path.with_name(f".{path.name}.lock"), timeout=0):
            free.append(path)
        return plain(path)

    monkeypatch.setattr(records, "read_record", read)
    merge_shards("tiny")
    assert shard not in free and not shard.exists()


def test_a_stopped_run_whose_definition_has_changed_begins_anew(
    tiny_course, here, ctrl_c_is_heard, monkeypatch
):
    one, plain, taken = ("tiny", "loss=l1,seed=0", record_path("tiny")), training.Run.step, []
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 10)
        train_row(*one)
    write(tiny_course, DEFINITION.replace("seed=seed), recipe", "seed=seed + 1), recipe"))
    here.setattr(worker, "all_scores", lambda *_: {})
    here.setattr(training.Run, "step", lambda run: (taken.append(run.done), plain(run)))
    train_row(*one)
    assert taken == [*range(40)]


@pytest.mark.parametrize(("device", "threads"), [("cpu", "1"), ("cuda", "7")])
def test_a_run_has_one_thread_where_it_computes_on_a_cpu(monkeypatch, device, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setattr(engine, "get_device", lambda: torch.device(device))
    assert engine._environment()["OMP_NUM_THREADS"] == threads


@pytest.mark.parametrize("part", ["cpu", "ran_on", "versions", "data"])
def test_rows_are_held_to_every_bit_only_where_all_around_them_is_alike(tiny_course, part):
    around = {"cpu": "a", "ran_on": "cpu", "versions": {}, "data": "d"}
    recorded = row("tiny", load("tiny").rows[0], **around)
    elsewhere = recorded | {part: "another", "weights": "others"}
    assert engine.compare(recorded, elsewhere) == "30.000 dB, recorded 30.000 dB"


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "[1]",
        '[{"factors": {"a": 1}, "recipe": {"steps": 1}}]',
        '[{"factors": {"a": 1}, "digest": "d"}]',
    ],
)
def test_a_record_of_something_else_is_named(tiny_course, content):
    record_path("tiny").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"tiny\.json can't be read as the record of a study"):
        read_rows("tiny")


def test_slices_of_a_reader_are_known_by_their_files(tiny_course, monkeypatch):
    train = tiny_course / "Mayo" / "train"
    mine = MayoDataset(train)
    assert checksum(mine) == mine.files_sha256()
    for split in ("train", "test"):
        shutil.rmtree(tiny_course / "Mayo" / split)
    monkeypatch.setattr(generation, "PLAN", {"train": {"G01": 1}, "test": {"G91": 1}})
    prepare_mayo(progress=False)
    assert checksum(MayoDataset(train)) == read_generated(data_dir())["sha256"]


def test_rows_without_scores_on_real_slices_are_counted(tiny_course, here, capsys):
    mse, l1 = load("tiny").rows
    append(record_path("tiny"), row("tiny", mse))
    append(record_path("tiny"), row("tiny", l1, real={"psnr": 30.0}))
    engine.run("tiny", progress=False)
    assert not capsys.readouterr().err
    real = tiny_course / "Mayo" / "test"
    engine.run("tiny", real=real, only="*l1*", progress=False)
    assert not capsys.readouterr().err
    engine.run("tiny", real=real, progress=False)
    assert capsys.readouterr().err.startswith("1 rows that are there have no scores on real")


def test_a_training_is_repeated_rather_than_an_evaluation(tiny_course, monkeypatch):
    mse, l1 = load("tiny").rows
    evaluated = row("tiny", mse, checkpoint="none", cpu_seconds=0.1)
    del evaluated["recipe"]
    trained = row("tiny", l1, cpu_seconds=20.0)
    found = {"tiny": ([evaluated, trained], [], [])}
    monkeypatch.setattr(engine, "status", lambda name, study: found[name])
    asked = []
    monkeypatch.setattr(
        engine, "_run_all", lambda commands, *_, **__: asked.extend(commands) or True
    )
    with pytest.raises(ValueError, match="'loss=l1,seed=0' failed"):
        engine.check()
    assert asked == ["loss=l1,seed=0"]
