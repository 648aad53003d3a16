"""Rows that train nothing: they know the checkpoint that they scored, and are stale without it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ippy.base.paths import weights_dir
from ippy.models import build
from ippy.operators import Blurring
from ippy.problems import (
    InformedProblem,
    InverseProblem,
    MisinformedProblem,
    RandomBlurs,
    motion_deblurring,
)
from ippy.quality import evaluate, summarise
from ippy.studies import MISTAKES, SITUATIONS, Evaluation, engine, load, read, worker
from ippy.studies.definition import Job, digest, names, row_key
from ippy.studies.record import append, read_rows, record_path, rows_so_far, status
from ippy.studies.worker import operations, train_row
from ippy.train import RECIPES, Recipe
from ippy.weights import load_checkpoint, read_manifest, save_checkpoint

from .test_studies import here, one_slice, tiny_course, write  # noqa: F401

DEFINITION = '''"""A study that scores."""

from functools import partial

import torch

from ippy.base.paths import weights_dir
from ippy.problems import Tikhonov, motion_deblurring
from ippy.studies import Evaluation, Study, grid
from ippy.weights import load_checkpoint

PROBLEM = motion_deblurring()
PATH = weights_dir() / "LossStudyCNN.pth"


def ones():
    return torch.ones(1, 1, 32, 32)


def job(method):
    if method == "Tikhonov":
        return Evaluation(partial(Tikhonov, PROBLEM.operator), PROBLEM, side=48)
    if method == "on a picture":
        return Evaluation(partial(Tikhonov, PROBLEM.operator), PROBLEM, images=ones)
    network = partial(load_checkpoint, "LossStudyCNN", PATH)
    return Evaluation(network, PROBLEM, weights=PATH, side=48)


STUDY = Study(
    question="Does it score?",
    decides="That studies score.",
    fixed="The slices.",
    rows=grid(method=["Tikhonov", "on a picture", "network"]),
    job=job,
    minutes=0.1,
)
'''


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Score on one thread, as the processes of a study do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def scoring(tiny_course: Path) -> Path:  # noqa: F811
    """A course whose study scores a method and a checkpoint; the path of the checkpoint."""
    write(tiny_course, DEFINITION)
    path = tiny_course / "weights" / "LossStudyCNN.pth"
    save_checkpoint(build("LossStudyCNN", seed=0), path)
    return path


def score(key: str, **options: object) -> dict:
    train_row("tiny", key, record_path("tiny"), **options)
    return read_rows("tiny")[key]


@pytest.mark.usefixtures("here", "ctrl_c_is_heard")
def test_a_row_has_the_scores_by_the_protocol(scoring: Path) -> None:
    from ippy.data import MayoDataset

    slices = scoring.parents[1] / "Mayo" / "test"
    row = score("method=network", real=slices)
    model, metrics = load_checkpoint("LossStudyCNN", scoring), ["psnr", "ssim", "residual"]
    table = evaluate({"m": model}, MayoDataset(slices, 48), motion_deblurring(), metrics=metrics)
    expected = summarise(table).loc["m"].to_dict()
    assert row["test"] == pytest.approx(expected, abs=1e-6)
    assert row["real"] == pytest.approx(expected | {"slices": 1}, abs=1e-6)
    assert row["cpu_seconds"] >= 0 and row["data"] == MayoDataset(slices).files_sha256()
    picture = score("method=on a picture", real=slices)
    assert picture["test"]["psnr"] != row["test"]["psnr"] and "real" not in picture
    assert picture["data"] == "own images" and picture["parameters"] == 0
    assert engine.run("tiny", progress=False) == []
    assert list(read("tiny").method) == ["Tikhonov", "on a picture", "network"]
    assert read("tiny")["test.residual"].notna().all()


def test_a_row_is_stale_once_the_checkpoint_is_another(scoring: Path) -> None:
    for key in ("method=network", "method=Tikhonov"):
        score(key)
    assert len(status("tiny", load("tiny"))[0]) == 2
    save_checkpoint(build("LossStudyCNN", seed=1), scoring)
    rows, stale, _ = status("tiny", load("tiny"))
    assert stale == ["method=network"] and rows[0]["factors"] == {"method": "Tikhonov"}
    scoring.unlink()
    assert status("tiny", load("tiny"))[1] == ["method=network"]
    with pytest.raises(FileNotFoundError, match="LossStudyCNN"):
        score("method=network")


def test_a_repeated_row_has_the_same_scores(scoring: Path) -> None:
    row = score("method=Tikhonov")
    score("method=on a picture")
    slow = read_rows("tiny")["method=on a picture"] | {"cpu_seconds": 9.0}
    append(record_path("tiny"), slow)
    assert engine.check() == "tiny, method=Tikhonov: the same scores, bit for bit"
    with pytest.raises(ValueError, match="the scores differ on a CPU of the same kind"):
        engine.compare(row, row | {"test": row["test"] | {"ssim": 0.0}})


@pytest.mark.parametrize("name", names())
def test_no_row_of_the_book_is_stale(name: str) -> None:
    assert status(name, load(name))[1] == []


def test_the_cheapest_training_of_the_book_repeats() -> None:
    assert re.search(r"the same weights, bit for bit|dB, recorded", engine.check())


@pytest.mark.usefixtures("here")
def test_the_weights_of_a_trained_row_may_be_shipped(
    tiny_course: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from .test_studies import DEFINITION as TRAINS

    shipped = TRAINS.replace(
        "seed=seed), recipe)", 'seed=seed), recipe, ship_to=weights_dir() / "own" / "Small.pth")'
    ).replace("from ippy.train", "from ippy.base.paths import weights_dir\nfrom ippy.train")
    write(tiny_course, shipped.replace("STEPS = 40", "STEPS = 2"))
    target = tiny_course / "weights" / "own" / "Small.pth"
    train_row("tiny", "loss=l1,seed=0", tiny_course / "elsewhere" / "checked.json")
    assert not target.exists()  # a row that is only checked
    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):

        def full(*_: object, **__: object) -> None:
            raise OSError("the disk is full")

        patch.setattr(worker, "save_checkpoint", full)
        train_row("tiny", "loss=l1,seed=0", record_path("tiny"))
    assert not record_path("tiny").exists()  # the row is not done: it is run again
    train_row("tiny", "loss=l1,seed=0", record_path("tiny"))
    own = load_checkpoint("LossStudyCNN", target)
    (path,) = (tiny_course / "studies" / "runs" / "tiny").glob("*/loss=l1,seed=0.pth")
    kept = load_checkpoint("LossStudyCNN", path)
    assert all(a.equal(b) for a, b in zip(own.parameters(), kept.parameters(), strict=True))
    entry = read_manifest(target.parent)["Small"]
    assert entry["study"] == "tiny" and entry["recipe"]["steps"] == 2
    assert "digest" not in entry


@pytest.mark.parametrize("folder", ["ghost", "many_blurs", "seeds"])
def test_what_a_study_shipped_is_what_its_record_tells_of(folder: str) -> None:
    entries = read_manifest(weights_dir() / folder)
    assert {path.stem for path in (weights_dir() / folder).glob("*.pth")} == set(entries)
    for entry in entries.values():
        row = rows_so_far(record_path(entry["study"]))[row_key(entry["factors"])]
        del row["digest"]
        assert {name: entry.get(name) for name in row} == row


def test_a_digest_knows_more_than_operator_and_noise() -> None:
    def of(problem: InverseProblem) -> str:
        return digest("loss", Job(None, Recipe(), problem=problem), {})

    blur = motion_deblurring().operator
    turned = InverseProblem(motion_deblurring(motion_angle=15).operator, 0.01)
    problems = [
        InverseProblem(blur, 0.01),
        InformedProblem(blur, 0.01),
        RandomBlurs(),
        RandomBlurs(lengths=(5,)),
        MisinformedProblem(blur, 0.01, InverseProblem(blur, 0.01)),
        MisinformedProblem(blur, 0.01, turned),
    ]
    assert len({of(problem) for problem in problems}) == len(problems)
    assert of(RandomBlurs()) == of(RandomBlurs())


def test_operations_are_those_of_what_a_network_is_given() -> None:
    from ippy.models.unrolled import Unrolled

    one = operations(Unrolled(4, steps=1, base_ch=4), RandomBlurs())
    two = operations(Unrolled(4, steps=2, base_ch=4), RandomBlurs())
    assert two["gflop_forward"] == pytest.approx(2 * one["gflop_forward"], rel=0.01)


def test_of_a_network_for_one_size_alone_no_operations_are_counted() -> None:
    assert operations(torch.nn.Linear(256, 256), motion_deblurring())["gflop_forward"] > 0
    assert operations(torch.nn.Linear(128, 128), motion_deblurring()) == {}


def test_situations_are_what_they_are_called() -> None:
    reference = motion_deblurring()
    for name, situation in SITUATIONS.items():
        problem = situation.problem()
        same = problem.operator.kernel.equal(reference.operator.kernel)
        assert same == ("degrees" not in name and "length" not in name)
        assert (problem.noise_level == 0.01) == ("noise" not in name)
        images = situation.images()
        assert (images is not None) == (name in ("photograph", "printed page"))
        if images is not None:
            assert images.shape == (1, 1, 256, 256) and 0 <= images.min() < images.max() <= 1
    both = SITUATIONS["length 13 and 110 degrees"].problem(InformedProblem)
    expected = Blurring(kernel_type="motion", kernel_size=13, motion_angle=110)
    assert isinstance(both, InformedProblem) and both.operator.kernel.equal(expected.kernel)
    for mistake in MISTAKES.values():
        true, told = mistake.problem(), mistake.believed.problem()
        blurs = (true.operator.kernel, told.operator.kernel)
        assert (
            blurs[0].shape != blurs[1].shape
            or not blurs[0].equal(blurs[1])
            or (true.noise_level != told.noise_level)
        )
    mistaken = MISTAKES["30 degrees for 20"].problem(InformedProblem)
    assert mistaken.operator.kernel.equal(reference.operator.kernel)
    turned = motion_deblurring(motion_angle=30).operator
    assert mistaken.known_operator.kernel.equal(turned.kernel)
    assert isinstance(mistaken.believed, InformedProblem)


def test_the_studies_that_put_the_operator_back_define_runs_that_fit() -> None:
    many, situations, crime = (load(n) for n in ("many_blurs", "situations", "inverse_crime"))
    y = torch.rand(1, 1, 32, 32)
    for factors in many.rows:
        job = many.job(**factors)
        rng = np.random.default_rng(0)
        for problem in (job.problem, job.problem.draw(rng)):
            shown = problem.network_input(y)
            model = job.model()
            takes = getattr(model, "takes_operator", False)
            given = (shown, y, problem.operator) if takes else (shown,)
            with torch.no_grad():
                assert model(*given).shape == y.shape
        assert (job.ship_to is None) == (factors["steps"] <= 3000)
    for factors in situations.rows:
        job = situations.job(**factors)
        assert (job.weights is None) == (factors["method"] in ("Tikhonov", "Total variation"))
    paths = [crime.job(**factors).weights for factors in crime.rows]
    assert {"UNet.pth", "InformedUNet.pth"} <= {path.name for path in paths if path}
    told = {f["told"]: crime.job(**f).problem.operator for f in crime.rows}
    same = {name: K.kernel.equal(motion_deblurring().operator.kernel) for name, K in told.items()}
    assert same == {"nothing": True, "whole pixels": True, "even line": False}


def test_of_the_seeds_the_first_is_what_ships_and_those_of_one_network_are_kept() -> None:
    study = load("seeds")
    for factors in study.rows:
        job = study.job(**factors)
        file = f"{factors['model']}.pth"
        if factors["seed"] == 0:
            assert isinstance(job, Evaluation) and job.weights == weights_dir() / file
            continue
        assert job.recipe == dataclasses.replace(RECIPES[factors["model"]], seed=factors["seed"])
        kept = job.ship_to
        assert (kept is None) == (factors["model"] != "UNetPP")
        if kept is not None:
            assert kept == weights_dir() / "seeds" / f"UNetPP-{factors['seed']}.pth"


def test_a_fine_grid_measures_the_same_motion() -> None:
    study = load("inverse_crime")
    module = study.job.__globals__
    coarse = motion_deblurring().operator.kernel
    lines = {finer: module["even_line"](9, 20.0, finer) for finer in (2, 1)}
    motions = [(coarse, 1), *((k, finer) for finer, k in lines.items())]
    for axis in (0, 1):  # rows, columns; in coarse pixels
        middles, spreads = [], []
        for k, finer in motions:
            offset = (torch.arange(len(k)) - len(k) // 2) / finer
            weights = k.sum(dim=1 - axis)
            assert weights.sum().item() == pytest.approx(1, abs=1e-5)
            middles.append((weights * offset).sum().item())
            spreads.append((weights * offset.square()).sum().item() - middles[-1] ** 2)
        assert middles == pytest.approx([middles[0]] * 3, abs=1e-2)
    assert spreads == pytest.approx([spreads[0]] * 3, rel=0.25)  # along the columns
    kernel = lines[2]
    flat = torch.full((1, 1, 64, 64), 0.5)
    blurred = module["binned"](Blurring(kernel=kernel)(flat))
    assert blurred.shape == (1, 1, 32, 32)
    torch.testing.assert_close(blurred[..., 10:20, 10:20], flat[..., 10:20, 10:20])
    scores = module["crime"](torch.nn.Identity(), torch.rand(2, 1, 64, 64), motion_deblurring())
    assert set(scores) == {"psnr", "psnr_one_model", "apart", "lost_db"}
    assert 0 < scores["apart"] < 0.5
    assert scores["lost_db"] == pytest.approx(scores["psnr_one_model"] - scores["psnr"])
