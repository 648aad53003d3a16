"""What one training step does, written a second time in plain torch; and what is in its pairs."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ippy.base.device import memory_format
from ippy.models.cnn import SimpleCNN
from ippy.models.vit import ViTReconstructor
from ippy.operators import Blurring
from ippy.problems import InverseProblem
from ippy.quality import CombinedLoss
from ippy.train import Recipe, fit
from ippy.train.muon import orthogonalise
from ippy.train.pairs import TrainingPairs
from ippy.weights import read_manifest

CPU = torch.device("cpu")
BLUR = Blurring(kernel_type="motion", kernel_size=5, motion_angle=20)
LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss}
GRIDS = {"CNN": 1, "ViT": 8}


@pytest.fixture(autouse=True)
def plain_arithmetic(monkeypatch):
    """Float32 on one thread: sums round alike."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def random_slices(count, *size):
    return torch.rand(count, 1, *size, generator=torch.Generator().manual_seed(0))


def small(name):
    """A network of a few hundred weights, none of them zero, positions included."""
    model = SimpleCNN(1, 1, 4) if name == "CNN" else ViTReconstructor(64, 8, 1, 1, 8, 1, 2, 8)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))
    if name == "ViT":  # the keys' bias is of no effect: its gradient is rounding, and nothing else
        model.encoder[0].attn.in_proj_bias.requires_grad_(False)
    return model.to(memory_format=memory_format(CPU))


def train_by_hand(model, grid, slices, problem, recipe, rates):
    """Take a step for each of the rates; return the losses and the gradients' norms."""
    pairs = TrainingPairs(slices, problem, crop=16, seed=recipe.seed, grid=grid, device=CPU)
    weights = [w for w in model.parameters() if w.requires_grad]
    matrices = [w for w in weights if w.ndim > 1 and min(w.shape[:2]) > 1]
    others = [w for w in weights if w.ndim == 1 or min(w.shape[:2]) == 1]
    momenta = [torch.zeros_like(w) for w in matrices]
    settings = {"betas": (0.9, 0.95), "eps": 1e-10, "weight_decay": 5 * recipe.weight_decay}
    adamw = torch.optim.AdamW(others, **settings)
    losses, norms = [], []
    for step, rate in enumerate(rates):
        x, y, origin = pairs.batch(range(step * recipe.batch_size, (step + 1) * recipe.batch_size))[
            :3
        ]
        loss = LOSSES[recipe.loss](model(y, origin) if grid > 1 else model(y), x)
        model.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        lr = recipe.lr * rate
        adamw.param_groups[0]["lr"] = 0.2 * lr
        adamw.step()
        with torch.no_grad():
            for w, momentum in zip(matrices, momenta, strict=True):
                momentum.lerp_(w.grad, 0.1)
                direction = orthogonalise(w.grad.lerp(momentum, 0.9))
                width = max(len(w), w[0].numel())
                w.mul_(1 - lr * recipe.weight_decay).sub_(0.2 * lr * math.sqrt(width) * direction)
        losses.append(loss.item())
        norms.append(norm.item())
    return losses, norms


WARM_AND_FALLING = [1, 1, 2 / 3, 1 / 3]  # of four steps the first is spent on warming up


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(
    ("options", "rates"),
    [
        pytest.param({"loss": "mse"}, WARM_AND_FALLING, id="mse"),
        pytest.param({"loss": "l1", "batch_size": 2}, WARM_AND_FALLING, id="l1"),
        pytest.param({"clip": "some steps"}, WARM_AND_FALLING, id="clipped"),
        pytest.param({"weight_decay": 4.0}, WARM_AND_FALLING, id="decay"),
        pytest.param({"warmup": 0.5}, [1 / 2, 1, 1, 1 / 2], id="warm-up of two steps"),
        pytest.param({"warmup": 1}, [1 / 4, 2 / 4, 3 / 4, 1], id="warm-up of all steps"),
    ],
)
def test_training_does_what_a_plain_loop_does(name, options, rates):
    contrast = torch.tensor([1.0, 0.1, 0.8, 0.1, 0.2])[:, None, None, None]
    slices, problem = contrast * random_slices(5, 40, 64), InverseProblem(BLUR, 0.05)
    plain = {"steps": 4, "batch_size": 1, "crop": 16, "lr": 1e-2, "loss": "mse", "clip": 1e6}
    by_hand = GRIDS[name], slices, problem
    if "clip" in options:
        _, norms = train_by_hand(small(name), *by_hand, Recipe(**plain), rates)
        assert min(norms) < 0.8 * max(norms)  # momentum would not notice if all were cut alike:
        options = {"clip": 0.45 * max(norms)}  # of this and of its double, they are not
    recipe = Recipe(**plain | options)
    ours, theirs = small(name), small(name)
    losses, _ = train_by_hand(theirs, *by_hand, recipe, rates)
    history = fit(ours, slices, problem, recipe, device=CPU, progress=False)
    assert history.loss == pytest.approx(losses, rel=1e-4)
    expected = theirs.state_dict()
    for key, weight in ours.state_dict().items():  # they moved by some thousandths
        torch.testing.assert_close(weight, expected[key], rtol=0, atol=5e-5)


def test_a_loss_of_the_callers_own_takes_the_place_of_the_recipes(tmp_path):
    slices, problem = random_slices(5, 32, 32), InverseProblem(BLUR, 0.05)
    recipe = Recipe(steps=3, crop=16, lr=1e-2, loss="mse", warmup=1)
    own = CombinedLoss({"L1": (0.5, nn.L1Loss()), "more": (0.5, nn.L1Loss())})  # L1, in two parts
    ours, theirs = small("CNN"), small("CNN")
    target = tmp_path / "own.pth"
    history = fit(
        ours, slices, problem, recipe, loss=own, device=CPU, save_to=target, progress=False
    )
    assert train_by_hand(theirs, 1, slices, problem, replace(recipe, loss="l1"), [1 / 3, 2 / 3, 1])[
        0
    ] == pytest.approx(history.loss, rel=1e-4)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=5e-5)
    named = read_manifest(tmp_path)["own"]["recipe"]["loss"]  # and not the recipe's
    assert "CombinedLoss" in named and "'more': 0.5" in named and "L1Loss()" in named
    with pytest.raises(
        TypeError, match=r"loss is a str; expected a torch.nn.Module, e\.g\. SSIMLoss\(\)"
    ):
        fit(ours, slices, problem, recipe, loss="ssim", device=CPU, progress=False)


def test_the_four_flips_are_equally_frequent_and_are_measured_as_they_are_seen():
    slices = random_slices(8, 16, 16)
    pairs = TrainingPairs(slices, InverseProblem(BLUR, 0.0), crop=16, seed=0, grid=1, device=CPU)
    x, y, _ = pairs.batch(range(800))[:3]  # whole slices
    flipped = torch.stack([slices.flip(axes) for axes in ((), (2,), (3,), (2, 3))])
    found = [(flipped == image).flatten(2).all(2).nonzero().tolist() for image in x]
    assert all(len(matches) == 1 for matches in found)
    flips = Counter(flip for ((flip, _),) in found)
    assert len(flips) == 4 and all(150 < count < 250 for count in flips.values())
    assert len({(flip, index) for ((flip, index),) in found}) == 4 * 8  # of every slice
    torch.testing.assert_close(y, BLUR(x))


def test_every_pair_has_noise_of_its_own_and_all_have_the_same_level():
    slices, problem = random_slices(6, 32, 32), InverseProblem(BLUR, 0.03)
    noises = []
    for seed in (0, 1):
        pairs = TrainingPairs(slices, problem, crop=32, seed=seed, grid=1, device=CPU)
        x, y, _ = pairs.batch(range(3 * 6))[:3]  # three epochs of whole slices
        noise = (y - BLUR(x)).flatten(1)
        torch.testing.assert_close(
            noise.norm(dim=1) / BLUR(x).flatten(1).norm(dim=1),
            torch.full((18,), 0.03),
            rtol=1e-3,
            atol=0,
        )
        noises.append(noise / noise.norm(dim=1, keepdim=True))
    noise = torch.cat(noises)
    correlations = noise @ noise.T - torch.eye(36)
    assert correlations.abs().max() < 0.2  # of 1024 independent numbers each: 0.03 is usual


def test_a_crop_is_the_busiest_of_three_places():
    falling = 1 - (torch.arange(216) / 215) ** 2  # the darker, the steeper
    slices = falling.expand(4, 1, 16, 216)
    pairs = TrainingPairs(slices, InverseProblem(BLUR, 0.01), crop=16, seed=0, grid=1, device=CPU)
    x, _, origin = pairs.batch(range(1000))[:3]
    place = origin[:, 1] / 200  # from the left, in parts of the room
    mirrored = x[:, 0, 0, 0] < x[:, 0, 0, -1]
    place[mirrored] = 1 - place[mirrored]
    # The largest of three even numbers; of two it has a mean of 2/3, of four 4/5.
    assert place.mean().item() == pytest.approx(3 / 4, abs=0.03)
    assert (place < 0.5).float().mean().item() == pytest.approx(1 / 8, abs=0.04)
