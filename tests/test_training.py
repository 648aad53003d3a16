"""The training loop learns, repeats itself, and measures before it crops."""

import dataclasses
import itertools

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from ippy import training
from ippy.checkpoints import load_checkpoint, read_manifest
from ippy.models import NAMES, build
from ippy.operators import Blurring
from ippy.problem import InverseProblem
from ippy.training import RECIPES, Recipe, crop, fit

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
    assert history.seconds > 0 and history.images_per_second > 0
    assert not model.training
    x = torch.rand(1, 1, 32, 32)
    saved = load_checkpoint(build("ResCNN"), tmp_path / "m.pth")
    torch.testing.assert_close(saved(x), model.cpu()(x), rtol=1e-5, atol=1e-6)
    assert read_manifest(tmp_path)["m"]["recipe"]["steps"] == 30


def test_the_same_seed_gives_the_same_run(problem):
    before = torch.get_rng_state()
    runs = [
        fit(build("CNN", seed=0), Blobs(), problem, SHORT, device=CPU, progress=False).loss
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert torch.get_rng_state().equal(before)
    other = dataclasses.replace(SHORT, seed=1)
    assert runs[0] != fit(build("CNN", seed=0), Blobs(), problem, other, progress=False).loss


def test_measured_on_the_whole_slice_and_cropped_afterwards(problem):
    noiseless = InverseProblem(problem.operator, 0.0)
    recipe = dataclasses.replace(SHORT, steps=5)
    slices = Blobs()
    inside_only = 0
    for x, y, _ in training._training_pairs(slices, noiseless, recipe, None, CPU):
        candidates = torch.cat([slices.slices.flip(dims) for dims in ((), (2,), (3,), (2, 3))])
        whole = problem.operator(candidates).unfold(2, 32, 1).unfold(3, 32, 1)
        truth = candidates.unfold(2, 32, 1).unfold(3, 32, 1)
        for truth_crop, measured_crop in zip(x, y, strict=True):
            found = (truth == truth_crop[:, None, None]).all(dim=(-1, -2)).nonzero()
            assert len(found) >= 1
            place = tuple(found[0].tolist())
            torch.testing.assert_close(whole[place], measured_crop[0])
            inside_only += not torch.allclose(problem.operator(truth_crop[None]), measured_crop)
    assert inside_only > 0  # blurring the crop alone would have given another measurement


def test_a_model_with_patches_gets_aligned_crops_and_their_place(problem):
    recipe = dataclasses.replace(SHORT, steps=4)
    for x, _, where in training._training_pairs(Blobs(), problem, recipe, 8, CPU):
        assert x.shape == (4, 1, 32, 32)
        assert where["origin"].shape == (4, 2)
        assert (where["origin"] <= torch.tensor([2, 4])).all()


def test_crop_takes_the_named_squares():
    x = torch.arange(2 * 5 * 6).reshape(2, 1, 5, 6)
    squares = crop(x, torch.tensor([[0, 0], [2, 3]]), 3)
    assert squares[0].equal(x[0, :, :3, :3])
    assert squares[1].equal(x[1, :, 2:5, 3:6])


def test_the_rate_warms_up_and_falls_to_nothing():
    recipe = Recipe(steps=100, warmup=0.1)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[10] == max(rates) == 1.0
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert rates[-1] < 1e-3


def test_bad_data_and_a_diverging_run_are_explained(problem, tmp_path):
    with pytest.raises(ValueError, match="crops of 128 pixels"):
        fit(build("CNN"), Blobs(), problem, Recipe(), progress=False)
    with pytest.raises(ValueError, match="python -m ippy prepare"):
        fit(build("CNN"), Blobs(0), problem, SHORT, progress=False)

    class Exploding(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(float("inf")))

        def forward(self, x):
            return x * self.weight

    with pytest.raises(FloatingPointError, match="nothing was saved"):
        fit(Exploding(), Blobs(), problem, SHORT, save_to=tmp_path / "m.pth", progress=False)
    assert not list(tmp_path.iterdir())


def test_every_compared_model_has_a_recipe():
    assert tuple(RECIPES) == NAMES
