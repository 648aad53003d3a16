"""Whatever the caller has switched on or off, fit trains the same, and changes the model alone."""

import copy
import dataclasses
import random
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from ippy.models.base import unwrap
from ippy.models.cnn import SimpleCNN
from ippy.models.vit import ViTReconstructor
from ippy.operators import Blurring
from ippy.problems import InverseProblem
from ippy.train import Recipe, fit
from ippy.train import loop as training
from ippy.train.pairs import TrainingPairs
from ippy.weights import load_checkpoint

CPU = torch.device("cpu")
RECIPE = Recipe(steps=6, batch_size=2, crop=16, lr=1e-2)
PROBLEM = InverseProblem(Blurring(kernel_type="motion", kernel_size=5, motion_angle=0), 0.01)
SLICES = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
PRECISIONS = ["no", "bf16"]


def small(name="CNN"):
    """A network of a few hundred weights, none of them zero, positions included."""
    model = SimpleCNN(1, 1, 4) if name == "CNN" else ViTReconstructor(32, 8, 1, 1, 8, 1, 2, 8)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))
    return model


def train(model, slices=SLICES, recipe=RECIPE, **options):
    settings = {"device": CPU, "validation": SLICES[:1], "progress": False}
    return fit(model, slices, PROBLEM, recipe, **settings | options)


def settings():
    """What of PyTorch, NumPy and Python a cell might find changed."""
    kinds = ("cpu", "cuda")
    return {
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "autocast": [(torch.is_autocast_enabled(k), torch.get_autocast_dtype(k)) for k in kinds],
        "autocast cache": torch.is_autocast_cache_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomalies": torch.is_anomaly_enabled(),
        "threads": torch.get_num_threads(),
        "random": torch.get_rng_state().tolist(),
        "NumPy's random": str(np.random.get_state()),  # noqa: NPY002
        "Python's random": random.getstate(),
    }


@contextmanager
def switched(switch, on, off):
    switch(on)
    try:
        yield
    finally:
        switch(off)


def autocast_everywhere(on):
    torch.set_autocast_enabled("cpu", on)
    torch.set_autocast_dtype("cpu", torch.bfloat16)


STATES = {
    "as it starts": nullcontext,
    "gradients off": torch.no_grad,
    "gradients off for good": lambda: switched(torch.set_grad_enabled, False, True),
    "inference mode": torch.inference_mode,
    "float64": lambda: switched(torch.set_default_dtype, torch.float64, torch.float32),
    "float16": lambda: switched(torch.set_default_dtype, torch.float16, torch.float32),
    "a device": lambda: switched(torch.set_default_device, "meta", None),
    "a device's block": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast off": lambda: torch.autocast("cpu", enabled=False),
    "autocast left on": lambda: switched(autocast_everywhere, True, False),
    "coarse products": lambda: switched(torch.set_float32_matmul_precision, "medium", "highest"),
    "deterministic": lambda: switched(torch.use_deterministic_algorithms, True, False),
    "anomalies": torch.autograd.detect_anomaly,
}


class MadeWhenRead:
    """Slices that are made of numbers when their turn comes, of no type and on no device."""

    def __init__(self):
        self.numbers = SLICES.tolist()

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        return torch.tensor(self.numbers[index])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_training_is_the_same_whatever_is_switched_on(state, precision, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", precision)
    expected, model, slices = small(), small(), MadeWhenRead()
    outside = settings()
    history = train(expected)
    assert settings() == outside
    with STATES[state]():
        before = settings()
        result = train(model, slices)
        assert settings() == before
    assert result.loss == history.loss
    assert [entry[::2] for entry in result.validation] == [e[::2] for e in history.validation]
    for one, other in zip(model.parameters(), expected.parameters(), strict=True):
        assert one.equal(other) and one.grad is None and one.requires_grad


def test_matrices_that_coarse_products_would_round_are_multiplied_as_ever(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    layers = nn.Conv2d(1, 256, 1), nn.Conv2d(256, 256, 1), nn.Conv2d(256, 1, 1)
    model = nn.Sequential(*layers)
    same = copy.deepcopy(model)
    train(model)
    with STATES["coarse products"]():
        train(same)
    assert flat(model).equal(flat(same))


def test_what_is_switched_on_comes_back_after_an_error_too():
    model = small()
    with STATES["gradients off for good"](), STATES["float64"](), STATES["coarse products"]():
        before = settings()
        with pytest.raises(TypeError, match="recipe is a dict"):
            train(model, recipe={})
        assert settings() == before


def flat(model):
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def dropping():
    """A network that draws random numbers while it is trained."""
    return nn.Sequential(
        small(), nn.Conv2d(1, 4, 3, padding=1), nn.Dropout(0.5), nn.Conv2d(4, 1, 1)
    )


def test_what_a_model_draws_follows_from_seed_and_step(monkeypatch, tmp_path):
    first = dropping()
    models = [copy.deepcopy(first) for _ in range(4)]
    for seed, model in enumerate(models[:2]):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        train(model)
        assert torch.get_rng_state().equal(before)
    train(models[2], recipe=dataclasses.replace(RECIPE, seed=1))

    def stop(run):
        if run.done == 3:
            raise ValueError("stop here")
        plain(run)

    plain = training.Run.step
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="stop here"):
        patch.setattr(training.Run, "step", stop)
        train(copy.deepcopy(first), save_to=tmp_path / "m.pth")
    train(models[3], save_to=tmp_path / "m.pth", resume=True)
    assert flat(models[0]).equal(flat(models[1])) and flat(models[0]).equal(flat(models[3]))
    assert not flat(models[0]).equal(flat(models[2]))


def test_frozen_weights_stay_as_they_are_and_count_for_nothing():
    model, same = small(), small()
    for one in (model, same):
        one.conv1.requires_grad_(False)
    stale = torch.full_like(model.conv1.weight, 1e3)
    model.conv1.weight.grad = stale.clone()
    model.conv2.weight.grad = torch.full_like(model.conv2.weight, 1e3)
    before = copy.deepcopy(model)
    for one in (model, same):
        train(one)
        assert [w.requires_grad for w in one.parameters()] == [False] * 2 + [True] * 4
    assert model.conv1.weight.equal(before.conv1.weight)
    assert model.conv1.weight.grad.equal(stale)
    assert flat(model).equal(flat(same)) and not flat(model).equal(flat(before))


def test_a_part_in_evaluation_mode_stays_in_it():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.BatchNorm2d(1)).train()
    model[1].eval()
    frozen, moving = (copy.deepcopy(part.running_mean) for part in model[1:])
    train(model)
    assert model[1].running_mean.equal(frozen) and not model[2].running_mean.equal(moving)
    given_for_use = copy.deepcopy(model).eval()
    train(given_for_use)
    assert not given_for_use[1].running_mean.equal(frozen)


def test_places_of_crops_are_looked_at_where_no_device_has_to_wait(monkeypatch):
    sent = []
    send = TrainingPairs._send
    monkeypatch.setattr(TrainingPairs, "_send", lambda self, x: sent.append(x) or send(self, x))
    train(small("ViT"))
    assert sent and all(part.is_floating_point() for part in sent)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_slices_of_other_floats_are_taken_as_float32(dtype, tmp_path):
    model, same = small(), small()
    slices = SLICES.to(dtype)
    history = train(model, slices, validation=slices[:1], save_to=tmp_path / "m.pth")
    assert history.loss == train(same, slices.float(), validation=slices[:1].float()).loss
    assert flat(model).equal(flat(same)) and model.conv1.weight.dtype == torch.float32


def test_a_precision_set_by_the_other_interface_stays_as_it_is():
    matmul = torch.backends.cuda.matmul  # a setting that is there without a GPU, too
    matmul.fp32_precision = "tf32"
    try:
        with pytest.raises(RuntimeError, match="mix of the legacy and new APIs"):
            torch.get_float32_matmul_precision()  # which is how fit would ask for it
        history = train(small("CNN"))
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = "none"
    assert history.loss == pytest.approx(train(small("CNN")).loss)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_model_of_float64_stays_one(precision, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", precision)
    model, same = small().double(), small()
    losses, expected = train(model).loss, train(same).loss
    assert losses == pytest.approx(expected, rel=1e-4 if precision == "no" else 0.02)
    assert model.conv1.weight.dtype == torch.float64


@pytest.mark.parametrize(
    ("made", "error", "says"),
    [
        (lambda: small().half(), TypeError, r"has torch\.float16 weights; expected float32"),
        (lambda: small().to("meta"), ValueError, "is on the device 'meta' and has no values"),
        (torch.inference_mode()(small), ValueError, r"was made under torch\.inference_mode"),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused(made, error, says):
    with pytest.raises(error, match=f"model, a SimpleCNN, {says}"):
        train(made())


@pytest.fixture
def group(tmp_path):
    """This process as a group of its own, which DistributedDataParallel asks for."""
    torch.distributed.init_process_group(
        "gloo", init_method=(tmp_path / "group").as_uri(), rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def compiled(model):
    return torch.compile(model, backend="eager")


DDP = nn.parallel.DistributedDataParallel
WRAPPERS = {
    "compile": [compiled],
    "DataParallel": [nn.DataParallel],
    "DistributedDataParallel": [DDP],
    "compile in DataParallel": [compiled, nn.DataParallel],
    "DistributedDataParallel in compile": [DDP, compiled],
    "an average of weights": [torch.optim.swa_utils.AveragedModel],  # of a copy
}


@pytest.mark.parametrize("name", ["CNN", "ViT"])
@pytest.mark.parametrize("wrappers", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.usefixtures("group")
def test_a_wrapped_model_trains_and_is_saved_as_the_one_inside(
    name, wrappers, monkeypatch, tmp_path
):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    wrapped = small(name)
    for wrap in wrappers:
        wrapped = wrap(wrapped)
    inside, plain = unwrap(wrapped), small(name)
    expected = train(plain).loss
    assert train(wrapped, save_to=tmp_path / "m.pth").loss == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(flat(inside), flat(plain), rtol=0, atol=1e-5)
    assert not any(module.training for module in wrapped.modules())
    assert torch.load(tmp_path / "m.pth").keys() == plain.state_dict().keys()
    assert flat(load_checkpoint(small(name), tmp_path / "m.pth")).equal(flat(inside))


def test_a_wrapper_within_the_model_stays():
    parts = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)
    plain = nn.Sequential(*parts)
    model = copy.deepcopy(nn.Sequential(parts[0], nn.DataParallel(parts[1])))
    assert train(model).loss == train(plain).loss
    assert isinstance(model[1], nn.DataParallel) and flat(model).equal(flat(plain))


def test_crops_must_fit_the_patches_of_a_wrapped_model():
    model = nn.DataParallel(ViTReconstructor(32, 16, 1, 1, 8, 1, 2, 8))
    with pytest.raises(ValueError, match="crop is 24; expected a multiple of 16 pixels"):
        train(model, recipe=dataclasses.replace(RECIPE, crop=24))


def test_a_compiled_model_is_trained_compiled():
    calls = []

    def backend(graph, inputs):
        return lambda *args: (calls.append(1), graph(*args))[1]

    train(torch.compile(small(), backend=backend), validation=None)
    assert len(calls) >= RECIPE.steps
