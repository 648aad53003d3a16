"""Studies of attention: slices and phases of a job's own, the networks, and what they see."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ippy.base.paths import data_dir
from ippy.data import MayoDataset
from ippy.data.generation import SEED
from ippy.data.phantoms import generate_slice
from ippy.models import seeded
from ippy.models.hybrid import CoarseAttention, WithoutSkips
from ippy.models.relative import RelativeViT
from ippy.models.vit import ViTReconstructor
from ippy.problems import ghost
from ippy.studies import Clutter, Job, Phase, load, names, protocol, read, worker
from ippy.studies.definition import digest, is_stale, row_key
from ippy.studies.networks import NETWORKS, psnr_of_each, whole_images
from ippy.studies.protocol import Drawn
from ippy.studies.record import read_rows, record_path
from ippy.studies.worker import scores, train_row, weights_digest
from ippy.train import Recipe, fit
from ippy.train import loop as training

from .stopping import stop_after

DEFINITION = '''"""A study for the tests."""

from functools import partial
from operator import itemgetter

import numpy as np
from torch import nn

from ippy.models import build, seeded
from ippy.problems import ghost
from ippy.studies import Job, Phase, Study, grid
from ippy.studies.protocol import Drawn
from ippy.train import Recipe


def images(seed, count):
    """Draw images of 32 pixels."""
    return Drawn(np.random.default_rng(seed).integers(256, size=(count, 32, 32), dtype=np.uint8))


def pair():
    """Return two networks, one after the other."""
    return nn.Sequential(build("LossStudyCNN"), build("LossStudyCNN"))


def job(seed):
    """Train the first network alone, and then both."""
    whole = Recipe(steps=12, crop=None, seed=seed)
    return Job(
        partial(seeded, pair, seed),
        whole,
        ghost(8),
        slices=lambda _: images(0, 5),
        phases=(Phase(itemgetter(0), Recipe(steps=FIRST, crop=None, lr=1e-2, seed=seed)),),
        validation=partial(images, 1, 2),
        test=partial(images, 2, 3),
        further_tests={"others": partial(images, 3, 4)},
    )


FIRST = 20
STUDY = Study(
    question="Does it run?",
    decides="That studies run.",
    fixed="The networks.",
    rows=grid(seed=[0]),
    job=job,
    minutes=0.1,
)
'''


@pytest.fixture
def tiny_course(course: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course with a few slices and a study of one run, in two phases."""
    monkeypatch.setenv("IPPY_COURSE", str(course))
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    (course / "studies").mkdir()
    write(course, DEFINITION)
    return course


def write(course: Path, definition: str) -> None:
    (course / "studies" / "tiny.py").write_text(definition, encoding="utf-8")


def train(real: Path | None = None) -> dict:
    record_path("tiny").unlink(missing_ok=True)  # a row that is there is not run again
    train_row("tiny", "seed=0", record_path("tiny"), real=real)
    (row,) = read_rows("tiny").values()
    return row


def run_folder(course: Path) -> Path:
    """Where the only run keeps its weights."""
    runs = course / "studies" / "runs" / "tiny"
    (folder,) = (path for path in runs.iterdir() if path.is_dir())
    return folder


def test_a_job_is_scored_on_slices_of_its_own_each_set_with_its_checksum(tiny_course):
    row = train(real=tiny_course / "Mayo" / "test")
    job = load("tiny").job(seed=0)
    model = job.model()
    model.load_state_dict(torch.load(run_folder(tiny_course) / "seed=0.pth"))
    model.eval()
    sets = {"validation": job.validation(), "test": job.test()}
    sets["test on others"] = job.further_tests["others"]()
    for name, slices in sets.items():
        about = {"slices": len(slices), "data": slices.sha256}
        assert row[name] == pytest.approx(scores(model, slices, job.problem) | about)
    assert len({row[name]["data"] for name in sets} | {row["data"]}) == 4
    assert row["data"] == job.slices(None).sha256
    real = MayoDataset(data_dir() / "test", 32)  # brought to the size of the test slices
    about = {"slices": 1, "patients": "P2"}
    assert row["real"] == pytest.approx(scores(model, real, job.problem) | about)
    table = read("tiny")
    assert table["test on others.psnr"][0] == row["test on others"]["psnr"]


def test_the_parts_of_a_model_are_trained_before_the_whole(tiny_course):
    row = train()
    job = load("tiny").job(seed=0)
    model, slices = job.model(), job.slices(None)
    (phase,) = job.phases
    fit(model[0], slices, job.problem, phase.recipe, progress=False)
    fit(model, slices, job.problem, job.recipe, progress=False)
    assert row["weights"] == weights_digest(model)
    assert row["recipe"] == asdict(job.recipe) | {"phases": [asdict(phase.recipe)]}


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The checkpoints that training was called for, each to go on where it was stopped."""
    called = []

    def noted(model, *args, **kwargs):
        assert kwargs["resume"]
        called.append(kwargs["save_to"].stem)
        return fit(model, *args, **kwargs)

    monkeypatch.setattr(worker, "fit", noted)
    return called


def test_a_part_that_is_trained_is_not_trained_again(tiny_course, fits):
    before, after = train(), train()
    assert fits == ["seed=0.phase1", "seed=0", "seed=0"]
    assert after["weights"] == before["weights"]


@pytest.mark.parametrize("what", ["digest", "data", "recipe"])
def test_a_part_of_another_run_is_trained_anew(tiny_course, fits, monkeypatch, what):
    train()
    manifest = worker.read_manifest(run_folder(tiny_course))
    manifest["seed=0.phase1"][what] = "another"
    monkeypatch.setattr(worker, "read_manifest", lambda folder: manifest)
    train()
    assert fits == ["seed=0.phase1", "seed=0"] * 2


def test_a_loss_of_its_own_trains_the_parts_too(tiny_course):
    own = DEFINITION.replace("ghost(8),", "ghost(8),\n        loss=SSIMLoss,")
    write(
        tiny_course,
        own.replace("from ippy.train", "from ippy.quality import SSIMLoss\nfrom ippy.train"),
    )
    row = train()
    manifest = worker.read_manifest(run_folder(tiny_course))
    assert manifest["seed=0.phase1"]["recipe"]["loss"].startswith("SSIMLoss")
    assert "loss" not in row["recipe"] and "loss" not in row["recipe"]["phases"][0]


def test_the_seconds_of_a_row_are_those_of_all_its_phases(tiny_course, monkeypatch):
    train()
    manifest = worker.read_manifest(run_folder(tiny_course))
    manifest["seed=0.phase1"]["history"] |= {"seconds": 1000.1, "cpu_seconds": 200.1}
    monkeypatch.setattr(worker, "read_manifest", lambda folder: manifest)
    row = train()
    assert 1000 < row["seconds"] < 2000 and 200 < row["cpu_seconds"] < 1000


def test_of_a_part_that_diverges_no_state_is_left(tiny_course, monkeypatch, ctrl_c_is_heard):
    plain = training.Run.step

    stop_after(monkeypatch, 10)
    with pytest.raises(KeyboardInterrupt):
        train()
    runs = tiny_course / "studies" / "runs" / "tiny"
    assert [path.name for path in runs.glob("*/*.run.pth")] == ["seed=0.phase1.run.pth"]

    def diverge(run):
        plain(run)
        run.losses[run.done - 1] = torch.nan

    monkeypatch.setattr(training.Run, "step", diverge)
    assert "diverged" in train()
    assert not list(runs.glob("*/*.run.pth"))


def test_a_row_is_stale_when_the_recipe_of_a_phase_has_changed(tiny_course):
    job = load("tiny").job(seed=0)
    row = {"factors": {"seed": 0}, "digest": digest("tiny", job, {"seed": 0})}
    row["recipe"] = asdict(job.recipe) | {"phases": [asdict(job.phases[0].recipe)]}
    assert not is_stale(row, "tiny", job)
    row["recipe"]["phases"][0].pop("clip")  # recipes did not have it: it counts as the default
    assert not is_stale(row, "tiny", job)
    row["recipe"]["phases"][0]["clip"] = 0.1
    assert is_stale(row, "tiny", job)
    row["recipe"].pop("phases")
    assert is_stale(row, "tiny", job)
    alike = Job(job.model, job.recipe, job.problem, phases=(Phase(nn.Identity, job.recipe),))
    assert is_stale(row, "tiny", alike)


def test_a_loss_of_its_own_replaces_that_of_all_recipes():
    recipe = Recipe(steps=3)
    job = Job(nn.Identity, recipe, loss=nn.L1Loss, phases=(Phase(nn.Identity, recipe),))
    assert "loss" not in job.settings and "loss" not in job.settings["phases"][0]
    assert job.settings["steps"] == job.settings["phases"][0]["steps"] == 3
    assert "phases" not in Job(nn.Identity, recipe).settings


def test_clutter_fills_the_field_of_view_and_no_two_sets_share_a_slice(tiny_course, monkeypatch):
    sets = {split: Clutter(split, 6) for split in ("train", "validation", "test")}
    assert all(len(images) == 6 and images[5].shape == (1, 128, 128) for images in sets.values())
    second = generate_slice(SEED, "test", "T9002", 0, 1)
    expected = [second[4:132, 4:132], second[4:132, 124:252]]
    assert np.array_equal(sets["test"].pixels[4:], expected)
    corners = [second[124:252, 4:132], second[124:252, 124:252]]
    assert np.array_equal(Clutter("test", 8).pixels[6:], corners)
    different = {images.pixels[number].tobytes() for images in sets.values() for number in range(6)}
    assert len(different) == 18
    disc = np.hypot(*np.mgrid[-127.5:128, -127.5:128]) < 0.5 * 256 * 1.38  # what a scanner sees
    assert all(disc[top : top + 128, left : left + 128].all() for top, left in protocol.QUARTERS)
    monkeypatch.setattr(protocol, "generate_slice", None)
    assert Clutter("train", 6).sha256 == sets["train"].sha256  # it was kept
    with pytest.raises(ValueError, match="split is 'all'"):
        Clutter("all", 4)


def test_a_sample_of_slices_is_in_every_larger_one():
    slices = Drawn(np.arange(40, dtype=np.uint8)[:, None, None] * np.ones((4, 4), np.uint8))
    samples = [slices.sample(count) for count in (4, 16, 40)]
    numbers = [[int(image[0, 0]) for image in part.pixels] for part in samples]
    assert [len(part) for part in numbers] == [4, 16, 40]
    assert numbers == [sorted(part) for part in numbers]
    assert set(numbers[0]) < set(numbers[1]) < set(numbers[2]) == set(range(40))
    assert numbers[0] not in ([0, 1, 2, 3], [0, 10, 20, 30])  # not in step with the bodies
    assert samples[0].sha256 == Drawn(slices.pixels[numbers[0]]).sha256 != slices.sha256
    assert samples[2].sha256 == slices.sha256


@pytest.mark.parametrize("network", NETWORKS)
def test_the_networks_are_drawn_from_their_seed_and_keep_the_size(network):
    first = seeded(partial(NETWORKS[network], 64), 3)
    torch.rand(1)  # the global state is another
    before = torch.get_rng_state()
    again, other = (seeded(partial(NETWORKS[network], 64), seed) for seed in (3, 4))
    assert torch.get_rng_state().equal(before)
    assert weights_digest(first) == weights_digest(again) != weights_digest(other)
    x = torch.rand(1, 1, 64, 64)
    assert first(x).shape == x.shape


def test_the_deep_unet_has_about_as_many_weights_as_the_unet():
    deep, unet = (
        sum(weight.numel() for weight in NETWORKS[name](64).parameters())
        for name in ("deep UNet", "UNet")
    )
    assert deep == pytest.approx(unet, rel=0.02)


def test_whole_images_are_learnt_in_phases_where_attention_is_beside_convolutions():
    plain = whole_images("ViT", (5,), ghost(8), side=64, seed=2)
    assert plain.phases == () and plain.recipe.loss == "mse" and plain.recipe.steps == 5
    assert plain.recipe.crop is None and plain.recipe.seed == 2
    assert weights_digest(plain.model()) == weights_digest(seeded(partial(NETWORKS["ViT"], 64), 2))
    hybrid = whole_images("hybrid", (5, 7), ghost(8), side=64, seed=2)
    chain = whole_images("ViT + gated", (5, 7), ghost(8), side=64, seed=2)
    pair = whole_images("ViT beside gated", (5, 7), ghost(8), side=64, seed=2)
    told = whole_images("relative ViT beside gated", (5, 7), ghost(8), side=64, seed=2)
    for job, loss in ((hybrid, "l1"), (chain, "mse"), (pair, "mse"), (told, "mse")):
        (phase,) = job.phases
        assert (phase.recipe.steps, phase.recipe.loss, phase.recipe.crop) == (5, loss, None)
        assert (job.recipe.steps, job.recipe.loss, job.recipe.seed) == (7, "l1", 2)
    assert isinstance(hybrid.phases[0].part(hybrid.model()), WithoutSkips)
    model = chain.model()
    assert chain.phases[0].part(model) is model[0] and isinstance(model[0], ViTReconstructor)
    model = pair.model()
    assert pair.phases[0].part(model) is model.vit and isinstance(model.vit, ViTReconstructor)
    model = told.model()
    assert told.phases[0].part(model) is model.vit and isinstance(model.vit, RelativeViT)


def test_attention_at_the_bottom_is_all_that_two_gated_networks_differ_in():
    with_attention, plain = NETWORKS["gated with attention"](64), NETWORKS["GatedUNet"](64)
    differing = dict(with_attention.named_children()).keys() ^ dict(plain.named_children()).keys()
    assert not differing and isinstance(with_attention.bottleneck, CoarseAttention)
    for name, part in plain.named_children():
        same = repr(part) == repr(getattr(with_attention, name))
        assert same == (name != "bottleneck")


def test_the_psnr_of_each_test_slice_is_kept_for_pairs(tiny_course):
    model, test = nn.Conv2d(1, 1, 1), MayoDataset(data_dir() / "test")
    of_all = scores(model, test, ghost(8))["psnr"]
    assert psnr_of_each(model, ghost(8)) == {"psnr": [pytest.approx(of_all, abs=1e-4)]}


@pytest.mark.parametrize(
    "study",
    [
        "data",
        "data_hybrid",
        "fourier",
        "ghost_slices",
        "persisting",
        "range",
        "relative_blur",
        "sparse_view",
        "waking",
    ],
)
def test_every_run_of_the_studies_of_attention_can_be_made(study):
    assert study in names()
    for factors in load(study).rows:
        job = load(study).job(**factors)
        assert job.recipe.steps >= 150
        x = torch.rand(1, 1, 128, 128)
        model = job.model()
        assert model(x).shape == x.shape
        for phase in job.phases:
            assert phase.part(model)(x).shape == x.shape


def test_the_hybrid_learns_on_the_slices_of_the_unet_for_as_many_steps() -> None:
    unets, hybrids = load("data"), load("data_hybrid")
    recorded, x = read_rows("data"), torch.rand(1, 1, 64, 64)
    for row in read_rows("data_hybrid").values():
        job, factors = hybrids.job(**row["factors"]), {"task": "blur"} | row["factors"]
        unet = unets.job(**factors | {"network": "UNet"})
        assert row["data"] == recorded[row_key(factors | {"network": "UNet"})]["data"]
        (alone,) = job.phases
        assert 2 * job.recipe.steps == 2 * alone.recipe.steps == unet.recipe.steps
        assert replace(job.recipe, steps=unet.recipe.steps) == unet.recipe
        assert replace(job.recipe, loss="mse") == alone.recipe != job.recipe
        measured = (one.problem.measure(x, torch.Generator().manual_seed(0)) for one in (job, unet))
        assert torch.equal(*measured)
        assert [block.reach for block in alone.part(job.model()).encoder] == [7, 7]


def test_networks_on_the_blur_are_scored_on_the_middles_of_the_test_slices_too(course, monkeypatch):
    study = load("relative_blur")
    pixels = np.random.default_rng(0).integers(256, size=(256, 256), dtype=np.uint8)
    (path,) = (course / "Mayo" / "test").rglob("*.png")
    Image.fromarray(pixels).save(path)
    monkeypatch.setenv("IPPY_COURSE", str(course))
    for factors in study.rows:
        scored = study.job(**factors).further_tests
        assert list(scored) == ([] if factors["network"] == "ViT" else ["crops"])
        for (crop,) in (images() for images in scored.values()):
            np.testing.assert_array_equal((255 * crop[0]).round(), pixels[64:192, 64:192])


@pytest.mark.parametrize("change", ["a third of the rate", "twelve heads", "offsets"])
def test_one_who_persists_changes_attention_alone(change: str) -> None:
    of = {"task": "fourier", "network": "gated with attention", "seed": 1}
    usual = load("coarse_attention").job(task="fourier", seed=1)
    job = load("persisting").job(**of, change=change)
    assert (job.recipe, job.phases) == (usual.recipe, usual.phases)
    model, unchanged = job.model(), usual.model()
    around, as_usual = (
        {name: v for name, v in network.state_dict().items() if not name.startswith("bottleneck.")}
        for network in (model, unchanged)
    )
    torch.testing.assert_close(around, as_usual, rtol=0, atol=0)
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    of_both = [network(x) for network in (model, unchanged)]
    assert of_both[0].shape == of_both[1].shape
    slowed = change == "a third of the rate"
    assert torch.allclose(*of_both, atol=1e-6) == slowed
    if not slowed:
        return
    for output in of_both:
        output.square().sum().backward()
    for block, other in zip(model.bottleneck.blocks, unchanged.bottleneck.blocks, strict=True):
        for layer, plain, name in (
            (block.attn, other.attn, "in_proj_weight"),
            (block.attn.out_proj, other.attn.out_proj, "weight"),
        ):
            held, weight = layer.parametrizations[name].original, getattr(plain, name)
            torch.testing.assert_close(held, 3 * weight)
            torch.testing.assert_close(3 * held.grad, weight.grad)


def test_the_study_of_data_was_made_with_the_networks_of_relative_as_they_are():
    job = load("relative").job(task="ghost 64", network="relative ViT", loss="mse", seed=0)
    # The study `data` takes its networks from there, which its own digest does not know: where
    # that file has changed, its rows on the ghost have to be made again.
    assert digest("relative", job, {}) == "87cf4123a649f8dd"
