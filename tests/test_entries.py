"""Where models check their input: once, at the outermost call; and what wrappers hide."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ippy.models import NAMES, build
from ippy.models.base import Model, unwrap
from ippy.models.cnn import LossStudyCNN, ResCNN, SimpleCNN
from ippy.models.unet import AttentionGate, ResidualBlock, SimpleUNet, UNetPP
from ippy.models.vit import (
    PatchEmbed,
    TransformerEncoderBlock,
    ViTReconstructor,
    patchify,
    unpatchify,
)

MODELS = (*NAMES, "LossStudyCNN")
BAD = torch.full((1, 1, 16, 16), float("nan"))
every_model = pytest.mark.parametrize("name", MODELS)


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the tensors whose values were looked at."""
    seen = []

    def aminmax(x: Tensor) -> Any:
        seen.append(tuple(x.shape))
        return original(x)

    original = Tensor.aminmax
    monkeypatch.setattr(Tensor, "aminmax", aminmax)
    return seen


@every_model
def test_a_call_looks_once_at_the_values_of_its_input(name: str, looks: list) -> None:
    model, x = build(name), images(2, 1, 24, 16)
    for training in (False, True):
        model.train(training)(x)
        assert looks == [(2, 1, 24, 16)]
        looks.clear()


def test_every_entry_of_the_vit_looks_once(looks: list) -> None:
    vit, x = build("ViT"), images(1, 1, 24, 16)
    block = vit.encoder[0]
    tokens = images(1, 6, 128)
    calls: list[tuple[Callable, Tensor]] = [
        (vit.embed, x), (vit.attention_maps, x), (vit.patch_embed, x),
        (block, tokens), (block.attention_weights, tokens),
    ]  # fmt: skip
    for call, argument in calls:
        call(argument)
        assert looks == [tuple(argument.shape)]
        looks.clear()


@every_model
def test_what_is_refused_leaves_the_next_call_checked(name: str) -> None:
    model = build(name)
    for _ in range(2):
        with pytest.raises(ValueError, match="x holds NaN"):
            model(BAD)
    assert model(images(1, 1, 16, 16)).isfinite().all()
    with pytest.raises(RuntimeError, match="by a hook"):
        model.register_forward_hook(fail)
        model(images(1, 1, 16, 16))
    with pytest.raises(ValueError, match="x holds NaN"):
        model(BAD)


def fail(*_: Any) -> None:
    raise RuntimeError("by a hook")


def test_another_thread_is_checked_for_itself() -> None:
    outer, inner = build("CNN"), build("UNet")

    def call_elsewhere(*_: Any) -> None:
        with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="x holds NaN"):
            pool.submit(inner, BAD).result()
        finished.append(True)

    finished: list[bool] = []
    outer.register_forward_hook(call_elsewhere)
    outer(images(1, 1, 16, 16))
    assert finished == [True]


@pytest.mark.parametrize(
    "shown",
    [
        SimpleCNN.forward, ResCNN.forward, LossStudyCNN.forward, SimpleUNet.forward,
        UNetPP.forward, ResidualBlock.forward, AttentionGate.weights, PatchEmbed.forward,
        TransformerEncoderBlock.forward, TransformerEncoderBlock.attention,
        ViTReconstructor.forward, ViTReconstructor.embed, patchify, unpatchify,
    ],
    ids=lambda shown: shown.__qualname__,
)  # fmt: skip
def test_what_a_chapter_shows_holds_no_check(shown: Callable) -> None:
    tree = inspect.getsource(shown).split('"""')
    assert "check_" not in tree[-1] and "raise" not in tree[-1]


@every_model
def test_a_model_survives_copies_pickles_hooks_and_autocast(name: str) -> None:
    model, x = build(name, seed=0).eval(), images(1, 1, 16, 16)
    expected = model(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(other) is type(model) and torch.equal(other(x), expected)
        with pytest.raises(ValueError, match="x holds NaN"):
            other(BAD)
    seen: list[torch.Size] = []
    model.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape))
    assert torch.equal(nn.DataParallel(model)(x), expected) and seen == [x.shape]
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model(x.bfloat16()).float(), expected, rtol=0.1, atol=0.1)


@every_model
def test_a_replica_without_parameters_of_its_own_is_checked(name: str) -> None:
    model, x = build(name, seed=0).eval(), images(1, 1, 16, 16)
    replicas = {module: module._replicate_for_data_parallel() for module in model.modules()}
    for module, replica in replicas.items():  # as nn.DataParallel does on several GPUs
        for key, child in module._modules.items():
            replica._modules[key] = replicas.get(child)
        for key, weight in module._parameters.items():
            setattr(replica, key, None if weight is None else weight.detach())
    replica = replicas[model]
    assert not list(replica.parameters())
    torch.testing.assert_close(replica(x), model(x))
    with pytest.raises(ValueError, match="x holds NaN"):
        replica(BAD)


def test_a_model_of_ones_own_says_what_it_takes() -> None:
    class Halved(Model):
        min_size = 2

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 2, stride=2)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x)

    assert Halved()(images(1, 3, 2, 2)).shape == (1, 3, 1, 1)
    with pytest.raises(ValueError, match="x is 1x2 pixels; expected 2x2 at least"):
        Halved()(images(1, 3, 1, 2))
    with pytest.raises(ValueError, match=r"expected \(B, 3, H, W\)"):
        Halved()(images(1, 1, 2, 2))


def averaged(model: nn.Module) -> nn.Module:
    return torch.optim.swa_utils.AveragedModel(model)


@pytest.mark.parametrize(
    "wrappers",
    [
        [],
        [torch.compile],
        [nn.DataParallel],
        [averaged],
        [torch.compile, nn.DataParallel],
        [nn.DataParallel, torch.compile],
        [torch.compile, nn.DataParallel, averaged, torch.compile],
    ],
    ids=lambda wrappers: " ".join(wrapper.__name__ for wrapper in wrappers) or "bare",
)
def test_unwrap_finds_the_model_in_any_wrappers(wrappers: list[Callable]) -> None:
    model = wrapped = build("ViT", seed=0)
    for wrap in wrappers:
        wrapped = wrap(wrapped)
    found = unwrap(wrapped)
    assert found is model or averaged in wrappers  # which copies
    assert type(found) is ViTReconstructor and found.patch_size == 8
    assert found.state_dict().keys() == model.state_dict().keys()


def test_unwrap_leaves_a_module_that_holds_one_by_that_name() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Conv2d(1, 1, 1)

    holder = Holder()
    assert unwrap(holder) is holder
