"""The training loop learns, repeats itself, and measures before it crops."""

import copy
import dataclasses
import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ippy.__main__ import main
from ippy.base.device import has_fast_bf16
from ippy.models import NAMES, build
from ippy.operators import Blurring
from ippy.problems import InverseProblem
from ippy.quality import psnr
from ippy.train import RECIPES, Recipe, fit, pairs, run
from ippy.train import loop as training
from ippy.train.pairs import TrainingPairs, cut
from ippy.train.recipe import with_defaults
from ippy.weights import load_checkpoint, read_manifest

CPU = torch.device("cpu")
SHORT = Recipe(steps=30, batch_size=4, crop=32, lr=3e-3)


class Blobs(Dataset):
    """Smooth random slices, 48x64."""

    def __init__(self, count=8):
        noise = torch.rand(count, 1, 48, 64, generator=torch.Generator().manual_seed(0))
        self.slices = Blurring(kernel_type="gaussian", kernel_size=9, kernel_variance=4.0)(noise)

    def __len__(self):
        return len(self.slices)

    def __getitem__(self, index):
        return self.slices[index]


@pytest.fixture
def problem():
    return InverseProblem(Blurring(kernel_type="motion", kernel_size=5, motion_angle=0), 0.01)


def test_the_loss_falls_and_the_checkpoint_holds_the_result(problem, tmp_path):
    model = build("ResCNN", seed=0)
    history = fit(model, Blobs(), problem, SHORT, save_to=tmp_path / "m.pth", progress=False)
    assert history.loss[-1] < 0.7 * history.loss[0]
    assert history.step == list(range(1, 31)) and len(history.loss) == 30
    whole_images = 30 * SHORT.batch_size * SHORT.crop**2 / Blobs().slices[0].numel()
    seconds = whole_images / history.images_per_second
    assert 0 < history.seconds == pytest.approx(seconds, abs=0.06)  # rounded to tenths
    assert not model.training
    x = torch.rand(1, 1, 32, 32)
    saved = load_checkpoint(build("ResCNN"), tmp_path / "m.pth")
    torch.testing.assert_close(saved(x), model.cpu()(x), rtol=1e-5, atol=1e-6)
    assert read_manifest(tmp_path)["m"]["recipe"]["steps"] == 30


@pytest.mark.parametrize("precision", ["no", None])
def test_the_same_seed_gives_the_same_run(problem, precision, monkeypatch):
    if precision is not None:  # float32, also where bfloat16 is fast
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", precision)
    before = torch.get_rng_state()
    models = [build("CNN", seed=0) for _ in range(3)]
    recipes = [SHORT, SHORT, dataclasses.replace(SHORT, seed=1)]
    runs = [
        fit(model, Blobs(), problem, recipe, device=CPU, progress=False)
        for model, recipe in zip(models, recipes, strict=True)
    ]
    assert torch.get_rng_state().equal(before)
    assert runs[0].loss == runs[1].loss != runs[2].loss
    assert ("bf16" in runs[0].device) == (precision is None and has_fast_bf16(CPU))
    one, same, other = (torch.cat([p.flatten() for p in m.parameters()]) for m in models)
    assert one.equal(same) and not one.equal(other)


def test_the_model_is_left_as_it_was_but_for_its_weights(problem):
    model = build("CNN", seed=0)
    attributes = set(vars(model))
    fit(model, Blobs(), problem, dataclasses.replace(SHORT, steps=2), device=CPU, progress=False)
    assert set(vars(model)) == attributes
    assert copy.deepcopy(model)(torch.rand(1, 1, 32, 32)).dtype == torch.float32


def test_the_clock_counts_all_sittings_and_the_processor_and_can_stand_still(monkeypatch):
    now = {"perf_counter": 50.0, "process_time": 7.0}
    read = {name: lambda name=name: now[name] for name in now}
    monkeypatch.setattr(run, "time", SimpleNamespace(**read))
    clock = run.Clock(seconds=100.0, cpu_seconds=30.0)
    now |= {"perf_counter": 60.0, "process_time": 9.0}
    assert (clock.seconds, clock.cpu_seconds) == (110.0, 32.0)
    with clock.stopped():
        now |= {"perf_counter": 90.0, "process_time": 20.0}
    assert (clock.seconds, clock.cpu_seconds) == (110.0, 32.0)


def test_the_time_of_validations_is_not_counted(problem, monkeypatch):
    late = [0.0]

    def slow_psnr(x_hat, x):
        late[0] += 100
        return psnr(x_hat, x)

    later = SimpleNamespace(
        perf_counter=lambda: time.perf_counter() + late[0],
        process_time=lambda: time.process_time() + late[0],
    )
    monkeypatch.setattr(run, "time", later)
    monkeypatch.setattr(training, "psnr", slow_psnr)
    slices = Blobs().slices
    history = fit(
        build("ResCNN"), slices, problem, SHORT, validation=slices[:1], device=CPU, progress=False
    )
    assert late[0] == 100 * len(history.validation) > 0
    assert history.seconds < 100 and history.cpu_seconds < 100


def test_the_progress_is_followed_on_slices_that_are_not_trained_on(problem):
    slices = Blobs().slices
    plain, followed = (build("ResCNN", seed=0) for _ in range(2))
    fit(plain, slices[2:], problem, SHORT, device=CPU, progress=False)
    history = fit(
        followed, slices[2:], problem, SHORT, validation=slices[:2], device=CPU, progress=False
    )
    steps, seconds, scores = zip(*history.validation, strict=True)
    assert steps == (5, 10, 15, 20, 25, 30)
    assert list(seconds) == sorted(seconds) and seconds[-1] <= history.seconds + 0.1
    assert scores[-1] > scores[0]
    y = problem.measure(slices[:2], torch.Generator().manual_seed(SHORT.seed))
    with torch.no_grad():
        x_hat = torch.cat([followed(image[None]) for image in y]).clamp(0, 1)
    assert scores[-1] == pytest.approx(psnr(x_hat, slices[:2]).mean().item(), abs=2e-3)
    for one, other in zip(plain.parameters(), followed.parameters(), strict=True):
        assert one.equal(other)  # looking changes nothing


def test_a_precision_that_training_does_not_know_is_refused(problem, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    with pytest.raises(ValueError, match="'fp16'; expected 'no'"):
        fit(build("CNN"), Blobs(), problem, SHORT, device=CPU, progress=False)


def pairs_of(problem, grid=1, seed=0):
    return TrainingPairs(Blobs(), problem, crop=32, seed=seed, grid=grid, device=CPU)


def test_measured_on_the_whole_slice_and_cropped_afterwards(problem):
    noiseless = InverseProblem(problem.operator, 0.0)
    slices = Blobs()
    inside_only = 0
    candidates = torch.cat([slices.slices.flip(dims) for dims in ((), (2,), (3,), (2, 3))])
    whole = problem.operator(candidates).unfold(2, 32, 1).unfold(3, 32, 1)
    truth = candidates.unfold(2, 32, 1).unfold(3, 32, 1)
    x, y, _ = pairs_of(noiseless).batch(range(20))[:3]
    for truth_crop, measured_crop in zip(x, y, strict=True):
        found = (truth == truth_crop[:, None, None]).all(dim=(-1, -2)).nonzero()
        assert len(found) >= 1
        place = tuple(found[0].tolist())
        torch.testing.assert_close(whole[place], measured_crop[0])
        inside_only += not torch.allclose(problem.operator(truth_crop[None]), measured_crop)
    assert inside_only > 0  # blurring the crop alone would have given another measurement


def test_a_pair_is_the_same_in_every_batch_and_another_for_every_number_and_seed(problem):
    together = pairs_of(problem).batch(range(12))[:3]
    shares = [9, 10, 11], [0, 1], range(2, 9)
    apart = [pairs_of(problem).batch(numbers)[:3] for numbers in shares]
    for whole, first, second, third in zip(together, apart[1], apart[2], apart[0], strict=True):
        assert whole.equal(torch.cat([first, second, third]))
    x, y, _ = together
    assert len({image.numpy().tobytes() for image in y}) == 12
    assert not pairs_of(problem, seed=1).batch(range(12))[1].equal(y)
    inside = (..., slice(4, -4), slice(4, -4))  # where the blur of a crop is the crop of the blur
    torch.testing.assert_close(y[inside], problem.operator(x)[inside], rtol=0, atol=0.05)


def test_an_epoch_takes_every_slice_once_in_an_order_of_its_own(problem):
    pairs = pairs_of(problem)
    epochs = [[pairs._index(8 * epoch + k) for k in range(8)] for epoch in range(3)]
    assert all(sorted(order) == list(range(8)) for order in epochs)
    assert len({tuple(order) for order in epochs}) == 3


def test_places_are_spread_evenly_where_all_are_alike(problem):
    slices = torch.rand(8, 1, 48, 64, generator=torch.Generator().manual_seed(0))
    pairs = TrainingPairs(slices, problem, crop=32, seed=0, grid=8, device=CPU)
    _, _, origin = pairs.batch(range(400))[:3]
    for axis, room in ((0, 3), (1, 5)):
        counts = np.bincount(origin[:, axis].numpy(), minlength=room)
        assert len(counts) == room and counts.min() > 0.5 * 400 / room


def test_crops_lie_where_the_slice_is_busy(problem):
    slices = torch.zeros(8, 1, 48, 256)
    slices[..., 96:128] = torch.rand(8, 1, 48, 32, generator=torch.Generator().manual_seed(0))
    pairs = TrainingPairs(slices, problem, crop=32, seed=0, grid=1, device=CPU)
    busy = pairs.batch(range(300))[0].flatten(1).std(dim=1) > 0
    even = 2 * 32 / (256 - 32)  # of all places, those whose crop touches what is not black
    assert 1 - (1 - even) ** 3 == pytest.approx(busy.float().mean().item(), abs=0.08)


def test_a_model_with_patches_gets_aligned_crops_and_their_place(problem):
    slices = Blobs().slices
    x, _, origin = pairs_of(problem, grid=8).batch(range(8))[:3]
    assert x.shape == (8, 1, 32, 32) and origin.shape == (8, 2)
    assert (origin <= torch.tensor([2, 4])).all()
    for square, place in zip(x, origin * 8, strict=True):
        row, col = place.tolist()
        flipped = torch.cat([slices.flip(dims) for dims in ((), (2,), (3,), (2, 3))])
        assert (flipped[:, :, row : row + 32, col : col + 32] == square).flatten(1).all(1).any()


def test_cut_takes_the_named_squares():
    x = torch.arange(2 * 5 * 6).reshape(2, 1, 5, 6)
    squares = cut(x, torch.tensor([[0, 0], [2, 3]]), 3)
    assert squares[0].equal(x[0, :, :3, :3])
    assert squares[1].equal(x[1, :, 2:5, 3:6])


def test_the_rate_warms_up_and_falls_to_nothing():
    recipe = Recipe(steps=100, warmup=0.1)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[10] == max(rates) == 1.0
    assert rates[10:] == pytest.approx([k / 90 for k in range(90, 0, -1)])


@pytest.mark.parametrize(("options", "shown"), [({}, True), ({"progress": False}, False)])
def test_one_step_is_a_recipe_and_a_bar_shows_it_where_it_may(problem, capsys, options, shown):
    recipe = Recipe(steps=1, batch_size=1, crop=32)
    history = fit(build("CNN", seed=0), Blobs(), problem, recipe, device="cpu", **options)
    assert history.step == [1]
    assert ("1/1" in capsys.readouterr().err) == shown


def test_validation_is_in_evaluation_mode_and_steps_are_not(problem):
    class Watched(nn.Conv2d):
        def forward(self, x):
            modes.append((self.training, torch.is_grad_enabled(), len(x)))
            return super().forward(x)

    modes, recipe = [], Recipe(steps=2, batch_size=3, crop=32)
    fit(
        Watched(1, 1, 3, padding=1), Blobs(), problem, recipe,
        validation=Blobs().slices[:2], device="cpu", progress=False,
    )  # fmt: skip
    assert modes == [(True, True, 3)] * 2 + [(False, False, 1)] * 2


def test_the_families_of_random_streams_never_meet():
    assert len({pairs.ORDER, pairs.PAIR, pairs.MODEL}) == 3


def test_the_rate_can_fall_along_a_cosine_or_stay():
    rates = {
        name: [Recipe(steps=100, warmup=0.2, schedule=name).rate(step) for step in (19, 40, 60, 80)]
        for name in ("cosine", "constant")
    }
    assert rates["cosine"] == pytest.approx([1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2])
    assert rates["constant"] == [1, 1, 1, 1]


def test_a_record_without_todays_fields_was_made_with_their_defaults():
    older = dataclasses.asdict(Recipe(steps=5, lr=1.0))
    del older["schedule"], older["optimizer"]
    assert with_defaults(older) == dataclasses.asdict(Recipe(steps=5, lr=1.0))
    assert with_defaults(older | {"schedule": "cosine"})["schedule"] == "cosine"


def test_bad_data_is_explained(problem):
    with pytest.raises(ValueError, match="crops of 128 pixels"):
        fit(build("CNN"), Blobs(), problem, Recipe(), progress=False)
    with pytest.raises(ValueError, match="python -m ippy prepare"):
        fit(build("CNN"), Blobs(0), problem, SHORT, progress=False)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"crop": 20}, "crop is 20; expected a multiple of 8"),
        ({"lr": 0}, "lr is 0"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'; expected one of 'muon', 'adamw'"),
        ({"schedule": "step"}, "schedule is 'step'; expected one of 'line', 'cosine', 'constant'"),
        ({"vector_lr": 0}, "vector_lr is 0"),
        ({"lr": float("inf")}, "lr is inf"),
        ({"weight_decay": -1e-9}, "weight_decay is -1e-09"),
        ({"clip": float("inf")}, "clip is inf"),
        ({"loss": ["mse"]}, "loss is "),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"batch_size": 5000}, "batch_size is 5000; expected 1 to 4096"),
        ({"crop": 0}, "crop is 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"warmup": 2}, "warmup is 2"),
        ({"loss": "mae"}, "loss is 'mae'; expected one of 'mse', 'l1'"),
        ({"seed": -3}, "seed is -3"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        Recipe(**wrong)


@pytest.mark.parametrize("wrong", [{"steps": 10.0}, {"seed": True}, {"lr": "1e-3"}, {"clip": None}])
def test_a_recipe_of_the_wrong_types_is_refused(wrong):
    with pytest.raises(TypeError, match=f"{next(iter(wrong))} is "):
        Recipe(**wrong)


def test_a_recipe_takes_the_numbers_of_numpy_as_those_of_python():
    recipe = Recipe(steps=np.int64(30), lr=np.float32(0.5))
    assert json.loads(json.dumps(dataclasses.asdict(recipe)))["steps"] == 30
    assert type(recipe.lr) is float


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"model": "CNN"}, TypeError, r"model is a str; expected a torch\.nn\.Module"),
        ({"model": nn.Identity()}, ValueError, "model, a Identity, has no weights"),
        ({"dataset": None}, TypeError, "dataset is None; expected a data set"),
        ({"dataset": iter([])}, TypeError, "dataset is a list_iterator"),
        (
            {"dataset": [np.zeros((1, 48, 64))]},
            TypeError,
            r"dataset\[0\] is .* expected a torch\.Tensor",
        ),
        ({"dataset": [torch.zeros(48, 64)]}, ValueError, r"dataset\[0\] has shape \(48, 64\)"),
        (
            {"dataset": [torch.zeros(3, 48, 64)]},
            ValueError,
            r"dataset\[0\] has shape \(3, 48, 64\)",
        ),
        (
            {"dataset": [torch.zeros(1, 48, 64).byte()]},
            TypeError,
            r"dataset\[0\] holds torch\.uint8",
        ),
        ({"dataset": 255 * torch.rand(4, 1, 48, 64)}, ValueError, r"dataset\[0\] goes .* by 255"),
        ({"dataset": torch.full((4, 1, 48, 64), torch.nan)}, ValueError, r"dataset\[0\] holds NaN"),
        ({"problem": "blur"}, TypeError, "problem is a str; expected an InverseProblem"),
        ({"recipe": {"steps": 3}}, TypeError, "recipe is a dict; expected a Recipe"),
        ({"device": "cuda:77"}, ValueError, "device 'cuda:77' can't be used here"),
        ({"device": "gpu"}, ValueError, "device 'gpu' can't be used here"),
        ({"save_to": 3}, TypeError, r"save_to is an int; expected a str or a pathlib\.Path"),
        ({"save_to": "m.run.pth"}, ValueError, "that name may be the state of another run"),
        ({"save_to": "."}, ValueError, "save_to is .* is a folder"),
        ({"save_to": "file/m.pth"}, ValueError, "save_to is .* nothing can be written"),
        ({"save_to": "damaged/m.pth"}, ValueError, "manifest.json is not JSON"),
        ({"validation": [0]}, TypeError, r"validation is a list; expected a torch\.Tensor"),
        ({"validation": torch.zeros(1, 48, 64)}, ValueError, r"validation has shape \(1, 48, 64\)"),
        ({"validation": torch.zeros(1, 1, 4, 64)}, ValueError, "validation is 4x64 pixels"),
        ({"validation": 255 * torch.rand(2, 1, 48, 64)}, ValueError, "validation goes .* by 255"),
        ({"record": {}}, TypeError, "record is a dict; expected a function"),
    ],
)
def test_wrong_arguments_are_refused_before_training(
    problem, wrong, error, says, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("damaged").mkdir()
    Path("damaged/manifest.json").write_text("{", encoding="utf-8")
    monkeypatch.setattr(training.Run, "step", lambda run: pytest.fail("it trained"))
    good = {"model": build("CNN"), "dataset": Blobs(), "problem": problem, "recipe": SHORT}
    with pytest.raises(error, match=says):
        fit(**good | {"device": "cpu", "progress": False} | wrong)


def test_a_crop_that_does_not_fit_the_patches_is_refused(problem):
    model = build("CNN")
    model.patch_size = 12
    with pytest.raises(ValueError, match="crop is 32; expected a multiple of 12 pixels"):
        fit(model, Blobs(), problem, SHORT, device="cpu", progress=False)


def test_a_student_s_model_with_patches_needs_no_positions(problem):
    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch_size, self.layer = 8, nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x):
            return self.layer(x)

    assert len(fit(Mine(), Blobs(), problem, SHORT, device="cpu", progress=False).loss)


def test_a_model_of_other_channels_is_refused(problem):
    with pytest.raises(
        ValueError, match=r"returns \(1, 3, 16, 16\) for .*; expected \(1, 1, 16, 16\)"
    ):
        fit(
            nn.Conv2d(1, 3, 3, padding=1), torch.rand(4, 1, 32, 32), problem,
            Recipe(steps=2, batch_size=1, crop=16), device="cpu", progress=False,
        )  # fmt: skip


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda"])
def test_a_device_that_may_read_freed_memory_is_waited_for(problem, monkeypatch, device):
    pairs = TrainingPairs(
        torch.rand(2, 1, 16, 16), problem, crop=None, seed=0, grid=1, device=torch.device("cpu")
    )
    pairs._device, asked = torch.device(device), {}
    monkeypatch.setattr(Tensor, "pin_memory", lambda x: x)
    monkeypatch.setattr(Tensor, "to", lambda x, device, **how: asked.update(how) or x)
    pairs._send(torch.zeros(1))
    assert asked.get("non_blocking", False) == (device == "cuda")


def test_a_slice_of_another_shape_is_named(problem):
    slices = [*Blobs().slices[:3], torch.zeros(1, 64, 48)]
    with pytest.raises(ValueError, match=r"dataset\[3\] has shape \(1, 64, 48\) and dataset\[0\]"):
        fit(build("CNN"), slices, problem, SHORT, device="cpu", progress=False)


def test_a_loss_that_is_nan_stops_the_run_at_the_end_of_the_block(problem, monkeypatch):
    plain, taken = training.Run.step, []

    def step(run):
        plain(run)
        taken.append(run.done)
        if run.done == 3:
            run.losses[2] = torch.nan

    monkeypatch.setattr(training.Run, "step", step)
    with pytest.raises(FloatingPointError, match="the loss became nan at step 3"):
        fit(build("CNN"), Blobs(), problem, SHORT, device="cpu", progress=False)
    assert taken == [1, 2, 3]  # a block of so short a run is one step


def test_a_slice_that_holds_nan_is_named(problem):
    slices = [*Blobs().slices[:3], torch.full((1, 48, 64), torch.nan)]
    with pytest.raises(ValueError, match=r"dataset\[3\] holds NaN"):
        fit(build("CNN"), slices, problem, SHORT, device="cpu", progress=False)


def test_every_compared_model_has_the_recipe_that_its_shipped_weights_were_trained_with():
    assert set(RECIPES) == {*NAMES, "GatedUNet"}
    shipped = {name: with_defaults(e["recipe"]) for name, e in read_manifest().items()}
    assert {name: dataclasses.asdict(recipe) for name, recipe in RECIPES.items()} == shipped


def test_slices_in_float64_train_as_in_float32(problem) -> None:
    slices = torch.rand(4, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    losses = [
        fit(
            build("CNN", seed=0),
            images,
            problem,
            Recipe(steps=2, batch_size=2, crop=32),
            validation=images,
            progress=False,
        ).loss
        for images in (slices, slices.double())
    ]
    assert losses[0] == losses[1]


def test_slices_of_several_sizes_are_refused_where_a_checkpoint_is_written(problem, tmp_path):
    slices = [torch.rand(1, 32, 32), torch.rand(1, 32, 40)]
    for save_to in (None, tmp_path / "m.pth"):
        with pytest.raises(ValueError, match=r"dataset\[[01]\] has shape .* one shape for all"):
            fit(build("CNN"), slices, problem, SHORT, save_to=save_to, progress=False)


def test_the_help_of_a_command_shows_percent_signs_once(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "1 % noise" in " ".join(capsys.readouterr().out.split())
