"""The tasks: what they measure, what networks get of it, how they are trained and scored."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from ippy import __main__ as command_line
from ippy.base.paths import data_dir
from ippy.commands import evaluate as evaluate_command
from ippy.data import MayoDataset
from ippy.data.phantoms import generate_slice
from ippy.models import build
from ippy.operators import Blurring, FourierSampling, Ghost, ParallelBeam, regular_lines
from ippy.problems import (
    TASKS,
    InverseProblem,
    Tikhonov,
    TotalVariation,
    ghost,
    sparse_view_ct,
    undersampled_fourier,
)
from ippy.problems.tasks import REFERENCE, make_task
from ippy.quality import evaluate, measure_one_by_one, psnr, restore, summarise
from ippy.train import RECIPES, Recipe, fit
from ippy.train import course as training_course
from ippy.train.course import checkpoint_path, is_finished, recipe_for, train_model
from ippy.train.pairs import TrainingPairs
from ippy.weights import manifest, save_checkpoint

CPU = torch.device("cpu")
SMALL = {
    "tomography": InverseProblem(ParallelBeam(32, views=12), 0.02),
    "Fourier": InverseProblem(FourierSampling(regular_lines((32, 32), factor=2)), 0.02),
    "ghost": InverseProblem(Ghost(9), 0.02),
}
every_small = pytest.mark.parametrize("problem", SMALL.values(), ids=SMALL)


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def x() -> Tensor:
    """A generated slice, (1, 1, 256, 256)."""
    return torch.from_numpy(generate_slice(7, "test", "G91", 3, 8)).float()[None, None] / 255


@pytest.mark.parametrize(
    ("task", "shape", "least"),
    [
        ("motion_deblurring", (256, 256), 25),
        ("sparse_view_ct", (60, 364), 25),
        ("undersampled_fourier", (64 * 256, 2), 24),
        ("ghost", (256, 256), 17),
    ],
)
def test_tasks_measure_and_start(task: str, shape: tuple, least: float, x: Tensor) -> None:
    problem = TASKS[task]()
    y = problem.measure(x, torch.Generator().manual_seed(0))
    assert y.shape == (1, 1, *shape) and y.dtype == torch.float32
    clean = problem.operator(x)
    assert ((y - clean).norm() / clean.norm()).item() == pytest.approx(0.01, rel=1e-3)
    start = problem.start(y)
    assert start.shape == x.shape
    assert least < psnr(start.clamp(0, 1), x).item() < least + 10
    assert start.equal(y) == (shape == (256, 256))


def test_tasks_take_their_settings() -> None:
    assert sparse_view_ct(0.02, views=30).operator.views == 30
    assert undersampled_fourier(factor=8).operator.mask[:, 0].sum() == 32
    assert undersampled_fourier().operator.mask.equal(undersampled_fourier().operator.mask)
    operator = ghost(16, strength=0.5).operator
    assert (operator.shift, operator.strength) == (16, 0.5)
    assert next(iter(TASKS)) == REFERENCE
    with pytest.raises(
        ValueError, match="task is 'denoising'; expected one of 'motion_deblurring'"
    ):
        make_task("denoising")


@every_small
def test_a_batch_is_measured_and_started_like_its_images_one_by_one(
    problem: InverseProblem,
) -> None:
    x = images(3, 1, 32, 32)
    together = problem.measure(x, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    one_by_one = torch.cat([problem.measure(image[None], generator) for image in x])
    torch.testing.assert_close(together, one_by_one)
    starts = torch.cat([problem.start(y[None]) for y in together])
    torch.testing.assert_close(problem.start(together), starts)
    levels = (together - problem.operator(x)).flatten(1).norm(dim=1)
    levels /= problem.operator(x).flatten(1).norm(dim=1)
    torch.testing.assert_close(levels, torch.full((3,), 0.02), rtol=1e-3, atol=0)
    with pytest.raises(ValueError, match="y has shape"):
        problem.start(together[0, 0, 0])
    with pytest.raises(ValueError, match="y holds NaN"):
        problem.start(together * torch.nan)


@every_small
def test_pairs_of_whole_slices_are_truth_and_start(problem: InverseProblem) -> None:
    slices = images(5, 1, 32, 32)
    pairs = TrainingPairs(slices, problem, crop=None, seed=0, grid=1, device=CPU)
    x, y, places = pairs.batch([0, 1])[:3]
    assert x.shape == y.shape == (2, 1, 32, 32) and places is None
    clean = problem.start(problem.operator(x))
    assert 0 < (y - clean).norm() / clean.norm() < 0.2
    assert any(x[0].flip(f).equal(s) for s in slices for f in ([], [1], [2], [1, 2]))
    again = pairs.batch([1])
    torch.testing.assert_close(again[1], y[1:])


@every_small
def test_fit_trains_on_whole_slices_and_refuses_crops(problem: InverseProblem) -> None:
    slices = images(4, 1, 32, 32)
    for name in ("CNN", "ViT"):
        model = build(name, seed=0)
        recipe = Recipe(steps=2, crop=None)
        history = fit(
            model, slices, problem, recipe, device=CPU, validation=slices[:1], progress=False
        )
        assert len(history.loss) == 2 and history.validation[-1][0] == 2
    with pytest.raises(ValueError, match=r"crop is 16, and a .* Recipe\(crop=None\)"):
        fit(model, slices, problem, Recipe(steps=2, crop=16), device=CPU)


def test_fit_says_when_slices_do_not_fit_the_operator() -> None:
    problem, slices = SMALL["tomography"], images(4, 1, 24, 32)
    with pytest.raises(ValueError, match=r"ParallelBeam measures images of \(32, 32\) pixels, and"):
        fit(build("CNN"), slices, problem, Recipe(steps=2, crop=None), device=CPU)
    with pytest.raises(ValueError, match=r"the slices have \(24, 24\)"):
        fit(
            build("CNN"),
            images(4, 1, 32, 32),
            problem,
            Recipe(steps=2, crop=None),
            device=CPU,
            validation=images(1, 1, 24, 24),
        )


class Doubles(nn.Module):
    def forward(self, y: Tensor) -> Tensor:
        return 2 * y


@every_small
def test_evaluate_gives_networks_the_start_and_classical_methods_the_measurement(
    problem: InverseProblem,
) -> None:
    x = images(2, 1, 32, 32)
    models = {"doubles": Doubles(), "Tikhonov": Tikhonov(problem.operator)}
    scores = evaluate(models, x, problem, metrics=["psnr"]).set_index("model")["psnr"]
    y = measure_one_by_one(x, problem)
    expected = {
        problem.operator.direct_name: problem.start(y),
        "doubles": 2 * problem.start(y),
        "Tikhonov": models["Tikhonov"](y),
    }
    assert list(dict.fromkeys(scores.index)) == list(expected)
    for name, x_hat in expected.items():
        found = torch.tensor(scores[name].tolist())
        torch.testing.assert_close(found, psnr(x_hat.clamp(0, 1), x), atol=1e-3, rtol=0)


def test_first_rows_are_named_after_what_they_show() -> None:
    names = [problem.operator.direct_name for problem in SMALL.values()]
    assert names == ["FBP", "Zero-filled", "Measurement"]
    problem = SMALL["tomography"]
    with pytest.raises(ValueError, match="models has the name 'FBP'"):
        evaluate({"FBP": Doubles()}, images(1, 1, 32, 32), problem)

    class KnowsOperator(Doubles):
        knows_operator = True

    with pytest.raises(ValueError, match="expected images of 32x32 pixels, as many"):
        evaluate({"wrong": KnowsOperator()}, images(1, 1, 32, 32), problem)


@every_small
def test_restore_takes_measurements_of_a_problem(problem: InverseProblem) -> None:
    x = images(2, 1, 32, 32)
    y = problem.measure(x, torch.Generator().manual_seed(0))
    torch.testing.assert_close(restore(Doubles(), y, problem=problem), 2 * problem.start(y))
    tikhonov = Tikhonov(problem.operator)
    torch.testing.assert_close(restore(tikhonov, y, problem=problem), tikhonov(y))
    with pytest.raises(TypeError, match=r"problem is a ParallelBeam; .*sparse_view_ct\(\)"):
        restore(Doubles(), y, problem=SMALL["tomography"].operator)


@every_small
def test_tikhonov_solves_its_normal_equations(problem: InverseProblem) -> None:
    K, weight = problem.operator, 1.0
    y = problem.measure(images(2, 1, 32, 32)).double()
    x_hat = Tikhonov(K, weight)(y)
    b = K.T(y)
    assert (K.T(K(x_hat)) + weight * x_hat - b).norm() < 1e-4 * b.norm()
    one_by_one = torch.cat([Tikhonov(K, weight)(image[None]) for image in y])
    torch.testing.assert_close(x_hat, one_by_one, atol=1e-3, rtol=0)


@every_small
def test_total_variation_cannot_be_improved(problem: InverseProblem) -> None:
    places = torch.arange(32) - 15.5
    x = ((places[:, None] + 3) ** 2 + places**2 < 81).double()[None, None] * 0.8
    y = problem.measure(x, torch.Generator().manual_seed(0))
    method = TotalVariation(problem.operator)
    x_hat = method(y)
    least = method.objective(x_hat, y).item()
    assert least < method.objective(x, y).item()
    assert psnr(x_hat.clamp(0, 1), x).item() > psnr(problem.start(y).clamp(0, 1), x).item() + 3
    longer = method.objective(_by_subgradients(method, x_hat, y), y).item()
    assert longer > 0.998 * least
    with pytest.raises(ValueError, match=r"expected \(1, 1, 32, 32\) for x_hat"):
        method.objective(x_hat[..., 1:], y)


def _by_subgradients(method: TotalVariation, x: Tensor, y: Tensor) -> Tensor:
    """Return the best image that many small steps of a general optimiser reach from x."""
    x = (x + 1e-6).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=1e-3)
    best, least = x.detach().clone(), float("inf")
    for step in range(120):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 - step / 120)
        loss = method.objective(x, y).sum()
        optimizer.zero_grad()
        loss.backward()
        x.grad.nan_to_num_(0)  # a length of 0 has no gradient
        optimizer.step()
        if loss < least:
            best, least = x.detach().clone(), loss.item()
    return best


@pytest.mark.parametrize("method", [Tikhonov, TotalVariation])
def test_classical_methods_say_what_they_take(method: type) -> None:
    K = SMALL["tomography"].operator
    with pytest.raises(ValueError, match=rf"y has .*; expected \(\.\.\., 12, {K.bins}\)"):
        method(K)(images(1, 1, 32, 32))
    with pytest.raises(ValueError, match=r"expected \(B, 1, \., \.\)"):
        method(K)(images(12, K.bins))
    with pytest.raises(TypeError, match="operator, where no weight is given, is "):
        method(K.T)
    assert method(K.T, 1.0).weight == 1.0
    y = images(1, 1, 12, K.bins).requires_grad_()
    assert not method(K, 1.0)(y).requires_grad


def test_checkpoints_of_a_task_have_a_folder_of_their_own(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(manifest, "weights_dir", lambda: tmp_path)
    assert checkpoint_path("UNet") == tmp_path / "UNet.pth"
    assert checkpoint_path("UNet", task="ghost") == tmp_path / "ghost" / "UNet.pth"
    assert checkpoint_path("UNet", tmp_path / "a", task="ghost") == tmp_path / "a" / "UNet.pth"
    with pytest.raises(ValueError, match="task is 'zoom'"):
        checkpoint_path("UNet", task="zoom")
    advice = manifest.how_to_restore(tmp_path / "ghost" / "UNet.pth")
    assert "python -m ippy train UNet --task ghost" in advice
    assert "git checkout -- weights/ghost" in advice
    advice = manifest.how_to_restore(tmp_path / "ghost" / "HybridUNet.pth")
    assert "git checkout -- weights/ghost" in advice and "ippy train" not in advice
    assert "--task" not in manifest.how_to_restore(tmp_path / "elsewhere" / "UNet.pth")
    for file in ("Unrolled.pth", "manifest.json"):
        advice = manifest.how_to_restore(tmp_path / "many_blurs" / file)
        assert "git checkout -- weights/many_blurs" in advice
        assert "python -m ippy study many_blurs" in advice
        elsewhere = manifest.how_to_restore(tmp_path / "a" / "many_blurs" / file)
        assert "study" not in elsewhere


def test_recipes_of_tasks_see_whole_slices_and_as_many_pixels() -> None:
    for name in RECIPES:
        assert recipe_for(name, make_task(REFERENCE)) == RECIPES[name]
        recipe = recipe_for(name, ghost())
        assert recipe.crop is None and recipe.lr == RECIPES[name].lr
        assert recipe.steps * 256**2 == RECIPES[name].steps * RECIPES[name].crop ** 2
    with pytest.raises(ValueError, match="crop is 12; expected a multiple of 8"):
        Recipe(crop=12)


def test_a_task_is_trained_recorded_and_finished(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(manifest, "weights_dir", lambda: tmp_path)
    monkeypatch.setattr(training_course, "validation_slices", lambda: None)
    monkeypatch.setattr(training_course, "_test_scores", lambda *_: {"psnr": 30.0})
    recipe = Recipe(steps=1, crop=None)
    train_model("CNN", task="ghost", recipe=recipe, progress=False)
    entry = json.loads((tmp_path / "ghost" / "manifest.json").read_text("utf-8"))["CNN"]
    assert entry["task"] == "ghost" and entry["recipe"]["crop"] is None
    assert is_finished("CNN", task="ghost", recipe=recipe)
    folder = tmp_path / "ghost"
    assert not is_finished("CNN", task="undersampled_fourier", recipe=recipe, folder=folder)


def test_train_command_takes_a_task(monkeypatch, tmp_path, capsys) -> None:
    calls = []
    monkeypatch.setattr(
        "ippy.commands.train.train_model", lambda name, **options: calls.append((name, options))
    )
    command = ["train", "CNN", "--task", "ghost", "--output", str(tmp_path)]
    assert command_line.main(command) == 0
    ((name, options),) = calls
    assert name == "CNN" and options["task"] == "ghost"
    assert options["recipe"] == recipe_for("CNN", ghost())

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ippy.commands.train.train_model", stop)
    assert command_line.main(command) == 130
    assert "--resume CNN --task ghost --output" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command_line.main(["train", "CNN", "--task", "zoom"])
    assert "invalid choice: 'zoom'" in capsys.readouterr().err


def as_if_real(folder: Path) -> Path:
    """Return a folder of two slices that nothing says were generated."""
    (folder / "scans" / "P").mkdir(parents=True)
    for path in MayoDataset(data_dir() / "test").paths[:2]:
        shutil.copy(path, folder / "scans" / "P")
    return folder / "scans"


def test_evaluate_command_scores_a_task_and_writes_its_rows(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(manifest, "weights_dir", lambda: tmp_path)
    monkeypatch.setattr("ippy.quality.metrics.features_available", lambda: False)
    monkeypatch.setattr(evaluate_command, "TotalVariation", partial(TotalVariation, steps=1))
    for name in ("CNN", "LossStudyCNN"):
        save_checkpoint(build(name, seed=0), tmp_path / "ghost" / f"{name}.pth")
    file = tmp_path / "new" / "scores.csv"
    command = ["evaluate", "--task", "ghost", "--first", "2", "--csv", str(file), "--record"]
    assert command_line.main(command) == 2
    assert "say which, --data FOLDER" in capsys.readouterr().err
    command += ["--data", str(as_if_real(tmp_path))]
    assert command_line.main([*command[:-4], str(tmp_path), *command[-3:]]) == 2
    assert f"--csv {tmp_path} is a folder" in capsys.readouterr().err  # before hours of scoring
    (tmp_path / "occupied").touch()
    nowhere = str(tmp_path / "occupied" / "scores.csv")
    assert command_line.main([*command[:-4], nowhere, *command[-3:]]) == 2
    assert f"--csv {nowhere}: nothing can be written in" in capsys.readouterr().err
    assert command_line.main(command) == 0
    printed = capsys.readouterr()
    assert "Loss study CNN" in printed.out and "Total variation" in printed.out
    assert "Left out ViT" in printed.err and "Left out CNN" not in printed.err

    rows = pd.read_csv(file)
    first = ["task", "noise_level", "model", "image", "slice", "mse", "psnr", "ssim"]
    assert list(rows) == first
    models = ["Measurement", "Tikhonov", "Total variation", "CNN", "LossStudyCNN"]
    assert rows["model"].tolist() == [model for model in models for _ in range(2)]
    assert set(rows["task"]) == {"ghost"} and set(rows["noise_level"]) == {0.01}
    assert rows["image"].tolist() == [0, 1] * 5 and rows["slice"].str.endswith(".png").all()
    means = summarise(rows[["model", "image", "psnr"]])
    entry = json.loads((tmp_path / "ghost" / "manifest.json").read_text("utf-8"))["CNN"]
    assert entry["real"]["psnr"] == pytest.approx(means.loc["CNN", "psnr"], abs=1e-5)
    assert entry["real"]["images"] == len(entry["real"]["slices"]) == 2
    assert "Means over 2 slices" in printed.out


def test_a_noise_level_is_kept_as_a_number() -> None:
    levels = (np.float32(0.25), torch.tensor(0.25), 0.25)
    kept = [InverseProblem(ghost(4).operator, level).noise_level for level in levels]
    assert kept == [0.25] * 3 and {type(level) for level in kept} == {float}


def test_a_digest_of_a_study_knows_the_settings_of_an_operator() -> None:
    from ippy.studies.definition import Job, digest, names

    study = names()[0]

    def of(operator: object) -> str:
        return digest(study, Job(None, Recipe(), problem=InverseProblem(operator, 0.01)), {})

    assert of(ParallelBeam(16, 4)) == of(ParallelBeam(16, 4)) != of(ParallelBeam(16, 6))
    assert of(Ghost(4)) != of(Ghost(5))
    assert of(Blurring(kernel=[[1.0]])) != of(Ghost(4))


def test_scores_are_in_the_table_even_where_their_record_fails(
    monkeypatch, tmp_path, capsys
) -> None:
    monkeypatch.setattr(manifest, "weights_dir", lambda: tmp_path)
    monkeypatch.setattr("ippy.quality.metrics.features_available", lambda: False)
    monkeypatch.setattr(evaluate_command, "TotalVariation", partial(TotalVariation, steps=1))

    def fails(*_: object) -> None:
        raise ValueError("CNN.pth was replaced meanwhile")

    monkeypatch.setattr(evaluate_command, "amend", fails)
    save_checkpoint(build("CNN", seed=0), tmp_path / "ghost" / "CNN.pth")
    file = tmp_path / "scores.csv"
    command = ["evaluate", "--task", "ghost", "--first", "1", "--csv", str(file), "--record"]
    command += ["--data", str(as_if_real(tmp_path))]
    assert command_line.main(command) == 2
    assert "replaced meanwhile" in capsys.readouterr().err
    assert len(pd.read_csv(file)) == 4
    monkeypatch.setattr(evaluate_command, "is_writable", lambda folder: folder == tmp_path)
    assert command_line.main(command) == 2
    assert "--record: nothing can be written in" in capsys.readouterr().err
