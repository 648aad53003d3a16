"""Restoring images of any size: shapes, seams, and what tiling costs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.data import MayoDataset, prepare_mayo
from ippy.models import NAMES, build
from ippy.models.unrolled import Unrolled
from ippy.models.vit import ViTReconstructor
from ippy.operators import Ghost, ParallelBeam
from ippy.problems import InverseProblem, Tikhonov, motion_deblurring
from ippy.quality import psnr, restore
from ippy.weights import load_checkpoint

from .callers import CALLERS_STATES


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def mosaic() -> tuple[Tensor, Tensor]:
    """Four generated slices side by side, cut to an odd size, and their measurement."""
    slices = MayoDataset(prepare_mayo(progress=False) / "test")
    four = torch.stack([slices[number] for number in (1, 5, 18, 25)])
    x = F.fold(four.reshape(1, 4, -1).transpose(1, 2), (512, 512), 256, stride=256)[..., :421, :300]
    return x, motion_deblurring().measure(x, torch.Generator().manual_seed(0))


class Moody(nn.Module):
    """Remembers whether it was asked in training mode, and what it was given."""

    def __init__(self, change=lambda x: x) -> None:
        super().__init__()
        self.change, self.asked = change, []

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append((self.training, *x.shape))
        return self.change(x)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (33, 32), (66, 67)], ids=str)
def test_every_model_restores_every_size(name: str, size: tuple[int, int]) -> None:
    model = build(name, seed=0)
    for tile in (None, 64):
        x_hat = restore(model, images(2, 1, *size), tile=tile, overlap=16)
        assert x_hat.shape == (2, 1, *size) and x_hat.isfinite().all()
    assert model.training and not x_hat.requires_grad


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(32, 1024), (1023, 517), (1024, 1024)], ids=str)
def test_every_model_restores_large_images(name: str, size: tuple[int, int]) -> None:
    model, y = build(name, seed=0).eval(), images(1, 1, *size)
    with torch.no_grad():
        assert model(y).shape == y.shape
    assert restore(model, y, tile=256).shape == y.shape


@pytest.mark.parametrize("name", NAMES)
def test_at_the_training_size_it_is_the_model(name: str) -> None:
    model, y = load_checkpoint(name), images(1, 1, 256, 256)
    with torch.no_grad():
        assert restore(model, y).equal(model(y))
        assert restore(model, y, tile=256).equal(model(y))


@pytest.mark.parametrize("overlap", [0, 8, 40, 64])
@pytest.mark.parametrize("size", [(128, 129), (300, 131), (64, 999)], ids=str)
def test_tiles_cover_each_pixel_once_and_fade(overlap: int, size: tuple[int, int]) -> None:
    model, y = Moody(), images(1, 2, *size)
    torch.testing.assert_close(restore(model, y, tile=128, overlap=overlap), y)
    assert all(max(shape) <= 128 for _, _, _, *shape in model.asked)
    assert not any(training for training, *_ in model.asked) and model.training


def test_a_tile_gives_way_to_the_next_along_a_ramp() -> None:
    model = Moody()
    model.change = lambda x: torch.full_like(x, len(model.asked) - 1)  # 0, 1, 2
    across = restore(model, images(1, 1, 16, 368), tile=128, overlap=8)[0, 0, 0]
    ramp, level = torch.arange(1, 9) / 9, torch.ones(112)
    expected = torch.cat([torch.zeros(120), ramp, level, 1 + ramp, 2 * torch.ones(120)])
    torch.testing.assert_close(across, expected)


def test_tiles_agree_with_the_whole_image(mosaic: tuple[Tensor, Tensor]) -> None:
    x, y = mosaic
    unet = load_checkpoint("UNet")
    whole, tiled = restore(unet, y), restore(unet, y, tile=256, overlap=32)
    difference = psnr(tiled.clamp(0, 1), x) - psnr(whole.clamp(0, 1), x)
    assert difference.abs() < 0.1
    assert psnr(tiled, whole) > 50


def test_padding_saves_a_unet_from_odd_sizes(mosaic: tuple[Tensor, Tensor]) -> None:
    x, y = mosaic
    unet = load_checkpoint("UNet")
    with torch.no_grad():
        resized = unet(y)  # 421 x 300: the features are resized to the skips
    assert psnr(restore(unet, y), x) > psnr(resized, x) + 2


def test_a_vit_needs_no_other_size_to_be_useful(mosaic: tuple[Tensor, Tensor]) -> None:
    x, y = mosaic
    vit = load_checkpoint("ViT")
    for tile in (None, 256, 128):
        gain = psnr(restore(vit, y, tile=tile).clamp(0, 1), x) - psnr(y, x)
        assert gain > 5


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_measurements_of_another_type_come_back_in_it(dtype: torch.dtype) -> None:
    model, y = build("CNN", seed=0), images(1, 1, 70, 80)
    x_hat = restore(model, y.to(dtype), tile=64, overlap=np.int64(16))
    assert x_hat.dtype == dtype
    expected = restore(model, y, tile=64, overlap=16)
    torch.testing.assert_close(x_hat.float(), expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("state", CALLERS_STATES.values(), ids=CALLERS_STATES)
def test_tiles_are_the_same_in_any_state(state: Callable) -> None:
    y = images(1, 1, 130, 100)
    expected = restore(Moody(), y, tile=64)
    with state():
        torch.testing.assert_close(restore(Moody(), y, tile=64), expected)


def test_a_wrapped_vit_is_tiled_on_its_patches() -> None:
    vit, y = ViTReconstructor(64, 16, embed_dim=8, depth=1), images(1, 1, 72, 90)
    expected = restore(vit, y)
    assert restore(torch.compile(vit, backend="eager"), y).equal(expected)
    assert restore(nn.DataParallel(vit), y).equal(expected)
    with pytest.raises(ValueError, match=r"expected multiples of 16"):
        restore(nn.DataParallel(vit), y, tile=72)


@pytest.mark.parametrize("name", ["Tikhonov", "Unrolled"])
def test_what_gets_the_operator_has_no_tiles(name: str) -> None:
    problem = motion_deblurring()
    model = Tikhonov(problem.operator) if name == "Tikhonov" else Unrolled(steps=1)
    with pytest.raises(ValueError, match=f"tile is 64, and a {name} restores measurements whole"):
        restore(model, images(1, 1, 80, 80), problem=problem, tile=64)
    with pytest.raises(ValueError, match="tile is 7; expected 64 or more"):
        restore(model, images(1, 1, 80, 80), problem=problem, tile=7)


def test_wrong_requests_are_explained() -> None:
    y, vit = images(1, 1, 80, 80), build("ViT", seed=0)
    for arguments, says in [
        ({"tile": 32}, "tile is 32; expected 64 or more"),
        ({"tile": 100}, "tile is 100, overlap is 32; expected multiples of 8"),
        ({"tile": 64, "overlap": 40}, "overlap is 40; expected 0 to 32"),
    ]:
        with pytest.raises(ValueError, match=says):
            restore(vit, y, **arguments)
    for overlap, error in [(-8, ValueError), ("32", TypeError)]:
        with pytest.raises(error, match="overlap is"):
            restore(vit, y, overlap=overlap)
    with pytest.raises(ValueError, match="expected one that keeps batch, height and width"):
        restore(Moody(lambda x: x[..., 1:]), y)
    with pytest.raises(TypeError, match="model returns None; expected one tensor"):
        restore(Moody(lambda x: None), y)
    with pytest.raises(ValueError, match="what model returns holds NaN"):
        restore(Moody(lambda x: x / 0 * 0), y)


def test_a_method_that_knows_its_operator_gets_measurements_as_they_are() -> None:
    beam = ParallelBeam(32, 5)
    for operator, y in (
        (beam, torch.rand(1, 1, 5, beam.bins)),
        (Ghost(4), torch.rand(1, 1, 9, 11)),
    ):
        method = Tikhonov(operator)
        assert restore(method, y).equal(method(y))
        assert restore(method, y, problem=InverseProblem(operator, 0.01)).equal(method(y))
