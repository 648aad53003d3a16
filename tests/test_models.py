"""The models against their reference: keys, shapes, and the mathematics written a second time."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ippy.base.paths import weights_dir
from ippy.models import LABELS, NAMES, build
from ippy.models.catalogue import spec
from ippy.models.cnn import LossStudyCNN, ResCNN, SimpleCNN
from ippy.models.patches import pad_to_multiple
from ippy.models.unet import AttentionUNet, ResidualUNet, SimpleUNet, UNetPP
from ippy.models.vit import (
    PatchEmbed,
    TransformerEncoderBlock,
    ViTReconstructor,
    patchify,
    unpatchify,
)

REFERENCE = json.loads((Path(__file__).parent / "state_dicts.json").read_text(encoding="utf-8"))
EVERY_NAME = (*NAMES, "LossStudyCNN")
SIZES = [(256, 256), (100, 131), (40, 24)]
State = dict[str, Tensor]


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def models() -> dict[str, torch.nn.Module]:
    """Every model, in eval mode, the ViT with positions that are not zero."""
    built = {name: build(name, seed=1).eval() for name in EVERY_NAME}
    generator = torch.Generator().manual_seed(2)
    torch.nn.init.normal_(built["ViT"].pos_embed, std=0.5, generator=generator)
    return built


# The reference: each architecture as plain functions of its state dict.


def conv(s: State, key: str, x: Tensor) -> Tensor:
    weight = s[f"{key}.weight"]
    return F.conv2d(x, weight, s[f"{key}.bias"], padding=weight.shape[-1] // 2)


def cnn(s: State, x: Tensor) -> Tensor:
    h = conv(s, "conv1", x).clamp(min=0)
    return conv(s, "conv3", conv(s, "conv2", h).clamp(min=0))


def rescnn(s: State, x: Tensor) -> Tensor:
    return torch.tanh(cnn(s, x)) + x


def loss_study_cnn(s: State, x: Tensor) -> Tensor:
    h = conv(s, "net.0", x).clamp(min=0)
    return conv(s, "net.4", conv(s, "net.2", h).clamp(min=0))


def conv_block(s: State, key: str, x: Tensor) -> Tensor:
    return conv(s, f"{key}.2", conv(s, f"{key}.0", x).clamp(min=0)).clamp(min=0)


def residual_block(s: State, key: str, x: Tensor) -> Tensor:
    h = conv(s, f"{key}.conv2", conv(s, f"{key}.conv1", x).clamp(min=0))
    return (h + conv(s, f"{key}.shortcut", x)).clamp(min=0)


def resize(x: Tensor, skip: Tensor) -> Tensor:
    return F.interpolate(x, skip.shape[2:], mode="bilinear", align_corners=False)


def unet(
    s: State, x: Tensor, block: Callable = conv_block, suffix: str = ".block", gated: bool = False
) -> Tensor:
    skips = [block(s, f"enc1{suffix}", x)]
    for key in ("enc2", "enc3", "bottleneck"):
        skips.append(block(s, f"{key}.block{suffix}", F.max_pool2d(skips[-1], 2)))
    h = skips.pop()
    for key in ("dec3", "dec2", "dec1"):
        skip = skips.pop()
        up = F.conv_transpose2d(h, s[f"{key}.up.weight"], s[f"{key}.up.bias"], stride=2)
        if up.shape != skip.shape:
            up = resize(up, skip)
        if gated:
            g = conv(s, f"{key}.attn.gate_proj", up) + conv(s, f"{key}.attn.skip_proj", skip)
            skip = torch.sigmoid(conv(s, f"{key}.attn.psi", g.clamp(min=0))) * skip
        h = block(s, f"{key}.block{suffix}", torch.cat([skip, up], 1))
    return conv(s, "out_conv", h)


def residual_unet(s: State, x: Tensor) -> Tensor:
    return unet(s, x, residual_block, "")


def attention_unet(s: State, x: Tensor) -> Tensor:
    return unet(s, x, gated=True)


def unetpp(s: State, x: Tensor) -> Tensor:
    def node(name: str, *inputs: Tensor) -> Tensor:
        return conv_block(s, f"{name}.block", torch.cat(inputs, 1))

    x00 = node("x0_0", x)
    x10 = node("x1_0", F.max_pool2d(x00, 2))
    x20 = node("x2_0", F.max_pool2d(x10, 2))
    x01 = node("x0_1", x00, resize(x10, x00))
    x11 = node("x1_1", x10, resize(x20, x10))
    return conv(s, "out_conv", node("x0_2", x00, x01, resize(x11, x00)))


def attention(s: State, key: str, x: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    B, N, d = x.shape
    qkv = x @ s[f"{key}.in_proj_weight"].T + s[f"{key}.in_proj_bias"]
    q, k, v = (part.reshape(B, N, heads, -1).transpose(1, 2) for part in qkv.split(d, dim=2))
    weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(d // heads), dim=-1)
    out = (weights @ v).transpose(1, 2).reshape(B, N, d)
    return out @ s[f"{key}.out_proj.weight"].T + s[f"{key}.out_proj.bias"], weights


def vit(s: State, x: Tensor) -> Tensor:
    def norm(key: str, h: Tensor) -> Tensor:
        mean, var = h.mean(-1, keepdim=True), h.var(-1, keepdim=True, unbiased=False)
        return (h - mean) / (var + 1e-5).sqrt() * s[f"{key}.weight"] + s[f"{key}.bias"]

    h = F.conv2d(x, s["patch_embed.proj.weight"], s["patch_embed.proj.bias"], stride=8)
    grid = h.shape[2:]
    h = h.flatten(2).transpose(1, 2) + s["pos_embed"]
    for i in range(4):
        key = f"encoder.{i}"
        h = h + attention(s, f"{key}.attn", norm(f"{key}.norm1", h), heads=4)[0]
        m = norm(f"{key}.norm2", h) @ s[f"{key}.mlp.0.weight"].T + s[f"{key}.mlp.0.bias"]
        m = 0.5 * m * (1 + torch.erf(m / math.sqrt(2)))
        h = h + m @ s[f"{key}.mlp.2.weight"].T + s[f"{key}.mlp.2.bias"]
    h = h.transpose(1, 2).unflatten(2, grid)
    h = F.conv_transpose2d(h, s["decoder.0.weight"], s["decoder.0.bias"], stride=8).clamp(min=0)
    h = conv(s, "decoder.4", conv(s, "decoder.2", h).clamp(min=0)).clamp(min=0)
    return conv(s, "decoder.6", h) + x


FORWARD = {
    "CNN": cnn,
    "ResCNN": rescnn,
    "UNet": unet,
    "ResidualUNet": residual_unet,
    "AttentionUNet": attention_unet,
    "UNetPP": unetpp,
    "ViT": vit,
    "LossStudyCNN": loss_study_cnn,
}


@pytest.mark.parametrize("name", EVERY_NAME)
def test_state_dict_is_the_reference_one(models: dict, name: str) -> None:
    state = {key: list(value.shape) for key, value in models[name].state_dict().items()}
    assert list(state.items()) == list(REFERENCE[name].items())


@pytest.mark.parametrize(
    ("name", "size"),
    [(name, size) for name in EVERY_NAME for size in SIZES if name != "ViT" or size == (256, 256)],
)
def test_forward_is_the_reference_one(models: dict, name: str, size: tuple[int, int]) -> None:
    x = images(1, 1, *size)
    with torch.no_grad():
        expected = FORWARD[name](models[name].state_dict(), x)
        torch.testing.assert_close(models[name](x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", EVERY_NAME)
def test_training_and_channels_last_give_the_same_image(models: dict, name: str) -> None:
    x = images(1, 1, 64, 64)
    with torch.no_grad():
        expected = models[name](x)
    model = build(name).train().to(memory_format=torch.channels_last)
    model.load_state_dict(models[name].state_dict())
    x_hat = model(x)
    torch.testing.assert_close(x_hat, expected, rtol=0, atol=1e-5)
    x_hat.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", EVERY_NAME)
def test_a_batch_is_its_images_one_by_one(models: dict, name: str) -> None:
    x = images(3, 1, 48, 72)
    with torch.no_grad():
        alone = torch.cat([models[name](image[None]) for image in x])
        torch.testing.assert_close(models[name](x), alone, rtol=0, atol=1e-5)


def test_the_names_are_those_of_the_reference_and_of_the_shipped_checkpoints() -> None:
    assert list(EVERY_NAME) == list(REFERENCE)
    assert {path.stem for path in weights_dir().glob("*.pth")} >= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_shows_each_model_by_its_label_and_its_size(root: Path, name: str) -> None:
    size = sum(weight.numel() for weight in build(name).parameters())
    assert f"| {LABELS[name]} | {size:,} |" in (root / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "architecture",
    [SimpleUNet, ResidualUNet, AttentionUNet, UNetPP, ViTReconstructor, PatchEmbed, LossStudyCNN],
)
def test_the_defaults_are_the_sizes_of_the_course(architecture: type, models: dict) -> None:
    parts = [part for model in models.values() for part in model.modules()]
    (course,) = (part for part in parts if type(part) is architecture)
    shapes = {key: value.shape for key, value in architecture().state_dict().items()}
    assert shapes == {key: value.shape for key, value in course.state_dict().items()}


def test_what_the_catalogue_says_of_a_model_stays() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec("CNN").label = "another"


def test_unknown_name_lists_the_names() -> None:
    with pytest.raises(ValueError, match=r"name is 'Unet'.*'CNN'.*'UNetPP', 'ViT'"):
        build("Unet")


@pytest.mark.parametrize("name", EVERY_NAME)
def test_seed_decides_the_weights_and_leaves_the_global_one(name: str) -> None:
    before = torch.get_rng_state()
    first, again, other = (build(name, seed=seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", EVERY_NAME)
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(256, 256), ValueError, r"shape \(256, 256\); expected \(B, 1, H, W\)"),
        (torch.zeros(1, 3, 64, 64), ValueError, r"\(1, 3, 64, 64\); expected \(B, 1, H, W\)"),
        (torch.zeros(1, 1, 64, 64, dtype=torch.uint8), TypeError, "x holds torch.uint8; expected"),
    ],
    ids=["no batch", "colour", "bytes"],
)
def test_wrong_input_is_explained(
    models: dict, name: str, x: Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        models[name](x)


def test_numbers_of_another_type_than_the_weights_are_explained(models: dict) -> None:
    with pytest.raises(TypeError, match=r"x holds torch\.float64, .* weights torch\.float32"):
        models["CNN"](torch.zeros(1, 1, 8, 8, dtype=torch.float64))


def test_a_unet_says_how_small_an_image_may_be(models: dict) -> None:
    with pytest.raises(ValueError, match="x is 7x64 pixels; expected 8x8 at least"):
        models["UNet"](torch.zeros(1, 1, 7, 64))
    with pytest.raises(ValueError, match="expected 4x4 at least"):
        models["UNetPP"](torch.zeros(1, 1, 8, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SimpleCNN(1, 1, 4, kernel_size=4), "kernel_size is 4"),
        (lambda: ResCNN(1, 2, 4), "in_ch is 1 and out_ch is 2"),
        (lambda: ViTReconstructor(img_size=30), "img_size 30 is not a multiple of patch_size 8"),
        (lambda: ViTReconstructor(embed_dim=30), "embed_dim 30 is not a multiple of num_heads 4"),
        (lambda: ViTReconstructor(in_ch=0, out_ch=0), "in_ch is 0; expected 1 to"),
        (lambda: SimpleCNN(1, 1, 0), "n_filters is 0; expected 1 to"),
        (lambda: LossStudyCNN(n_filters=0), "n_filters is 0; expected 1 to"),
        (lambda: SimpleUNet(base_ch=0), "base_ch is 0; expected 1 to"),
        (lambda: UNetPP(in_ch=0), "in_ch is 0; expected 1 to"),
        (lambda: UNetPP(out_ch=0), "out_ch is 0; expected 1 to"),
        (lambda: ViTReconstructor(out_ch=2), "in_ch is 1 and out_ch is 2"),
        (lambda: PatchEmbed(embed_dim=0), "embed_dim is 0; expected 1 to"),
        (lambda: TransformerEncoderBlock(8, 2, 0), "mlp_dim is 0; expected 1 to"),
    ],
)
def test_wrong_settings_are_explained(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# The Vision Transformer's parts.


@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (1, 3, 24, 40)])
def test_patchify_is_unfold_and_unpatchify_its_inverse(shape: tuple[int, ...]) -> None:
    x = images(*shape)
    patches = patchify(x, 8)
    assert torch.equal(patches, F.unfold(x, 8, stride=8).transpose(1, 2))
    assert torch.equal(unpatchify(patches, 8, (shape[2] // 8, shape[3] // 8)), x)


@pytest.mark.parametrize("width", [8, 11, 16])
@pytest.mark.parametrize("height", [2, 7, 8, 15, 16])
def test_padding_reflects_the_border_where_it_can_and_only_as_far_as_it_must(
    height: int, width: int
) -> None:
    x = images(2, 1, height, width)
    padded = pad_to_multiple(x, 8)
    bottom, right = -height % 8, -width % 8
    assert padded.shape == (2, 1, height + bottom, width + right)
    mode = "reflect" if height > bottom else "edge"
    border = [(0, 0), (0, 0), (0, bottom), (0, right)]
    assert torch.equal(padded, torch.from_numpy(np.pad(x.numpy(), border, mode)))


def test_images_that_do_not_fit_patches_are_explained() -> None:
    with pytest.raises(
        ValueError, match="x is 30x32 pixels; expected multiples of the patch_size 8"
    ):
        PatchEmbed()(torch.zeros(1, 1, 30, 32))
    with pytest.raises(ValueError, match="x is 4x32 pixels; expected 8x8 at least"):
        PatchEmbed()(torch.zeros(1, 1, 4, 32))


def test_tokens_of_another_width_are_explained() -> None:
    block = TransformerEncoderBlock(32, 4, 64)
    for call in (block, block.attention_weights):
        with pytest.raises(ValueError, match=r"\(1, 10, 16\); expected tokens \(B, N, 32\)"):
            call(torch.zeros(1, 10, 16))


def test_patch_embed_is_one_matrix_on_every_patch() -> None:
    embed = PatchEmbed(3, 20, 8)
    x = images(2, 3, 16, 40)
    tokens, grid = embed(x)
    assert grid == (2, 5)
    E = embed.proj.weight.flatten(1)  # (d, C*P*P)
    torch.testing.assert_close(tokens, patchify(x, 8) @ E.T + embed.proj.bias)


def test_attention_weights_are_those_of_the_reference() -> None:
    block = TransformerEncoderBlock(32, 4, 64)
    x = images(2, 10, 32)
    weights = block.attention_weights(x)
    assert weights.shape == (2, 4, 10, 10)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 10))
    state = {f"attn.{key}": value for key, value in block.attn.state_dict().items()}
    out, expected = attention(state, "attn", block.norm1(x), heads=4)
    torch.testing.assert_close(weights, expected)
    x = x + out
    torch.testing.assert_close(block(images(2, 10, 32)), x + block.mlp(block.norm2(x)))


def test_attention_is_that_of_the_library_bit_for_bit() -> None:
    block = TransformerEncoderBlock(128, 4, 256)
    h = images(
        1, 1024, 128
    )  # at the training size; with gradients the library calls the same kernel
    assert torch.equal(block.attention(h), block.attn(h, h, h, need_weights=False)[0])


def test_attention_does_not_store_its_weights() -> None:
    block, h = TransformerEncoderBlock(32, 4, 64).eval(), images(1, 2048, 32)
    with torch.no_grad(), torch.profiler.profile(profile_memory=True) as record:
        block(h)
    largest = max(event.self_cpu_memory_usage for event in record.events())
    assert largest < 2048 * 2048  # bytes; all weights would take 16 times as many


def test_attention_maps_follow_the_tokens_through_the_blocks(models: dict) -> None:
    vit = models["ViT"]
    x = images(1, 1, 64, 48)
    with torch.no_grad():
        maps = vit.attention_maps(x)
        tokens, grid = vit.embed(x)
        assert grid == (8, 6)
        for block, found in zip(vit.encoder, maps, strict=True):
            assert found.shape == (1, 4, 48, 48)
            torch.testing.assert_close(found, block.attention_weights(tokens))
            tokens = block(tokens)


def test_positions_of_a_crop_are_a_window_of_the_grid(models: dict) -> None:
    vit = models["ViT"]
    learned = vit.pos_embed.unflatten(1, (32, 32))  # (1, 32, 32, d)
    found = vit.positions((4, 5), torch.tensor([[3, 7], [28, 0]]))
    assert torch.equal(found[0], learned[0, 3:7, 7:12].flatten(0, 1))
    assert torch.equal(found[1], learned[0, 28:32, 0:5].flatten(0, 1))
    whole = vit.positions((32, 32), torch.zeros(1, 2, dtype=torch.long))
    assert torch.equal(whole, vit.positions((32, 32)))


@pytest.mark.parametrize(
    ("origin", "error", "message"),
    [
        ([[29, 0]], ValueError, r"origin\[:, 0\] holds values from 29 to 29; expected .* 0 to 28"),
        ([[0, -1]], ValueError, r"origin\[:, 1\] holds values from -1 to -1; expected .* 0 to 28"),
        ([[0, 0], [0, 0]], ValueError, "origin has 2 rows for 1 images x"),
        ([0, 0], ValueError, r"origin has shape \(2,\); expected \(B, 2\)"),
        ([[0.0, 0.0]], TypeError, "origin holds torch.float32; expected integers"),
    ],
)
def test_crops_that_do_not_fit_the_grid_are_refused(
    models: dict, origin: list, error: type[Exception], message: str
) -> None:
    vit, x = models["ViT"], torch.zeros(1, 1, 32, 32)
    for call in (vit, vit.embed):
        with pytest.raises(error, match=message):
            call(x, torch.tensor(origin))


@pytest.mark.parametrize("grid", [(4, 5, 6), (0, 4), 4, (4.0, 4.0)])
def test_a_grid_is_a_pair_of_counts(models: dict, grid: object) -> None:
    with pytest.raises((TypeError, ValueError), match="grid"):
        models["ViT"].positions(grid)


def test_positions_are_interpolated_in_half_precision_too(models: dict) -> None:
    vit = copy.deepcopy(models["ViT"])
    wanted = vit.positions((9, 7))
    found = vit.bfloat16().positions((9, 7))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, atol=0.02, rtol=0.02)


def test_positions_of_another_size_are_interpolated(models: dict) -> None:
    vit = models["ViT"]
    flat = ViTReconstructor()
    torch.nn.init.constant_(flat.pos_embed, 0.25)
    found = flat.positions((13, 50))
    torch.testing.assert_close(found, torch.full((1, 650, 128), 0.25))
    assert not torch.equal(vit.positions((16, 16)), vit.pos_embed[:, :256])
    # a grid of half the size averages its vectors instead of leaving three of four out
    torch.nn.init.normal_(flat.pos_embed, generator=torch.Generator().manual_seed(0))
    assert flat.positions((16, 16)).std() < 0.7 < flat.positions((48, 48)).std()
    assert flat.positions((32, 16)).std() > 0.7  # one side stays: nothing is averaged


@pytest.mark.parametrize("size", [(250, 256), (100, 131), (8, 8), (5, 300), (1, 1)])
def test_vit_takes_any_size(models: dict, size: tuple[int, int]) -> None:
    x = images(1, 1, *size)
    with torch.no_grad():
        x_hat = models["ViT"](x)
    assert x_hat.shape == x.shape and x_hat.isfinite().all()


def test_vit_pads_by_reflection_and_crops(models: dict) -> None:
    x = images(1, 1, 60, 64)
    padded = torch.cat([x, x[:, :, -5:-1].flip(2)], dim=2)  # (1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(models["ViT"](x), models["ViT"](padded)[:, :, :60])


def test_vit_starts_without_positions() -> None:
    assert not build("ViT").pos_embed.any()


def test_a_seed_draws_on_the_cpu_whatever_the_default_device() -> None:
    with torch.device("meta"):
        model = build("CNN", seed=3)
    for drawn, expected in zip(model.parameters(), build("CNN", seed=3).parameters(), strict=True):
        assert drawn.equal(expected)


def test_shapes_may_be_found_without_values() -> None:
    model = build("UNet").to("meta")
    assert model(torch.empty(1, 1, 32, 40, device="meta")).shape == (1, 1, 32, 40)
    with pytest.raises(TypeError, match=r"x holds torch\.float16"):
        model(torch.empty(1, 1, 32, 40, device="meta", dtype=torch.float16))
