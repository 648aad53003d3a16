"""Typical wrong answers of students are recognised, and told what is off."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ippy import exercises
from ippy.exercises import EXERCISES, judge
from ippy.models import build
from ippy.models.vit import ViTReconstructor, patchify
from ippy.operators import Ghost


def split(x: Tensor, P: int) -> Tensor:
    B, C, H, W = x.shape
    return x.reshape(B, C, H // P, P, W // P, P)


def rows_of_pixels(x: Tensor, P: int) -> Tensor:
    B, C, H, W = x.shape
    return x.reshape(B, H * W // P**2, C * P * P)


def transposed_patches(x: Tensor, P: int) -> Tensor:
    return split(x, P).permute(0, 2, 4, 1, 5, 3).flatten(3).flatten(1, 2)


def column_by_column(x: Tensor, P: int) -> Tensor:
    return split(x, P).permute(0, 4, 2, 1, 3, 5).flatten(3).flatten(1, 2)


def channels_last(x: Tensor, P: int) -> Tensor:
    return split(x, P).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def unfolded(x: Tensor, P: int) -> Tensor:
    return F.unfold(x, P, stride=P)


def spread_over_rows(patches: Tensor, P: int, grid: tuple[int, int]) -> Tensor:
    return patches.reshape(len(patches), -1, grid[0] * P, grid[1] * P)


def not_interleaved(patches: Tensor, P: int, grid: tuple[int, int]) -> Tensor:
    x = patches.reshape(len(patches), *grid, -1, P, P).permute(0, 3, 1, 2, 4, 5)
    return x.reshape(len(patches), -1, grid[0] * P, grid[1] * P)


def grid_exchanged(patches: Tensor, P: int, grid: tuple[int, int]) -> Tensor:
    x = patches.reshape(len(patches), grid[1], grid[0], -1, P, P).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(len(patches), -1, grid[1] * P, grid[0] * P)


def transposed_back(patches: Tensor, P: int, grid: tuple[int, int]) -> Tensor:
    x = patches.reshape(len(patches), *grid, -1, P, P).permute(0, 3, 1, 5, 2, 4)
    return x.reshape(len(patches), -1, grid[0] * P, grid[1] * P)


def heads_by_reshape(z: Tensor, h: int) -> Tensor:
    return z.reshape(z.shape[0], h, z.shape[1], -1)


def heads_not_moved(z: Tensor, h: int) -> Tensor:
    return z.reshape(*z.shape[:2], h, -1)


def heads_interleaved(z: Tensor, h: int) -> Tensor:
    return z.reshape(*z.shape[:2], -1, h).permute(0, 3, 1, 2)


def attend(scale: Callable[[Tensor, Tensor], float], dim: int = -1) -> Callable[..., Tensor]:
    return lambda Q, K, V: (Q @ K.mT * scale(Q, K)).softmax(dim) @ V


def overflowing(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    weights = torch.exp(Q @ K.mT / math.sqrt(Q.shape[-1]))
    return weights / weights.sum(-1, keepdim=True) @ V


def resized(image: Tensor, grid: tuple[int, int], **options: Any) -> Tensor:
    return F.interpolate(image, size=grid, **options).flatten(2).transpose(1, 2)


def as_image(positions: Tensor) -> Tensor:
    G = math.isqrt(positions.shape[1])
    return positions.transpose(1, 2).reshape(1, -1, G, G)


def scrambled_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    return resized(positions.reshape(as_image(positions).shape), grid, mode="bicubic")


def corner_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    return resized(as_image(positions), grid, mode="bicubic", align_corners=True)


def bilinear_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    return resized(as_image(positions), grid, mode="bilinear")


def positions_along_the_sequence(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    return F.interpolate(positions.mT, size=grid[0] * grid[1], mode="linear").mT


def carried_over(
    positions: Callable[[Tensor, int], Tensor] | None,
) -> Callable[[ViTReconstructor, int], ViTReconstructor]:
    """Start a model for another patch size, with positions made in a student's way."""

    def answer(trained: ViTReconstructor, P: int) -> ViTReconstructor:
        model = ViTReconstructor(patch_size=P)
        old, new = trained.state_dict(), model.state_dict()
        same = {name: value for name, value in old.items() if value.shape == new[name].shape}
        if positions:
            same["pos_embed"] = positions(old["pos_embed"], 256 // P)
        model.load_state_dict(new | same)
        return model

    return answer


def bicubic_positions(positions: Tensor, side: int) -> Tensor:
    return resized(as_image(positions), (side, side), mode="bicubic")


def shared_blocks(trained: ViTReconstructor, P: int) -> ViTReconstructor:
    model = carried_over(bicubic_positions)(trained, P)
    model.encoder = trained.encoder
    return model


def psnr(x_hat: Tensor, x: Tensor, R: float) -> Tensor:
    return 10 * torch.log10(R**2 / (x_hat - x).square().mean((1, 2, 3)))


def ssim(
    *,
    gaussian: bool = True,
    padding: int = 0,
    C: Callable[[float], tuple[float, float]] | None = None,
) -> Callable[[Tensor, Tensor, float], Tensor]:
    offsets = torch.arange(-5.0, 6)
    profile = torch.exp(-(offsets**2) / 4.5) if gaussian else torch.ones(11)
    window = torch.outer(profile, profile)[None, None] / profile.sum() ** 2

    def answer(a: Tensor, b: Tensor, R: float) -> Tensor:
        def mean(t: Tensor) -> Tensor:
            return F.conv2d(t, window, padding=padding)

        C1, C2 = C(R) if C else ((0.01 * R) ** 2, (0.03 * R) ** 2)
        var = mean(a * a) - mean(a) ** 2 + mean(b * b) - mean(b) ** 2
        cov = mean(a * b) - mean(a) * mean(b)
        top = (2 * mean(a) * mean(b) + C1) * (2 * cov + C2)
        return (top / ((mean(a) ** 2 + mean(b) ** 2 + C1) * (var + C2))).mean((1, 2, 3))

    return answer


def step(
    *,
    clear: str = "before",
    see: str = "y",
    exchange: bool = False,
    move: bool = True,
    train: bool = True,
    number: bool = True,
) -> Callable[..., Any]:
    def answer(model: Any, optimizer: Any, loss: Any, x: Tensor, y: Tensor) -> Any:
        if train:
            model.train()
        if clear == "before":
            optimizer.zero_grad()
        x_hat = model(y if see == "y" else x)
        value = loss(x, x_hat) if exchange else loss(x_hat, x)
        value.backward()
        if clear == "too late":
            optimizer.zero_grad()
        if move:
            optimizer.step()
        return value.item() if number else value

    return answer


def stepped_first(model: Any, optimizer: Any, loss: Any, x: Tensor, y: Tensor) -> float:
    step()(model, optimizer, loss, x, y)
    with torch.no_grad():
        return loss(model(y), x).item()


def switched_too_late(model: Any, optimizer: Any, loss: Any, x: Tensor, y: Tensor) -> float:
    value = step(train=False)(model, optimizer, loss, x, y)
    model.train()
    return value


def around_the_hooks(model: Any, optimizer: Any, loss: Any, x: Tensor, y: Tensor) -> float:
    return step(train=False)(model.forward, optimizer, loss, x, y)


def detached(model: Any, optimizer: Any, loss: Any, x: Tensor, y: Tensor) -> Tensor:
    return step(number=False)(model, optimizer, loss, x, y).detach()


def passing(
    *,
    low: bool = False,
    norm: str = "ortho",
    shifted: bool = False,
    per_pixel: bool = True,
    zeros: bool = False,
    moduli: bool = False,
) -> Callable[[Tensor, Tensor, float], Tensor]:
    def answer(x_hat: Tensor, x: Tensor, cutoff: float) -> Tensor:
        H, W = x.shape[-2:]
        radius = torch.hypot(
            torch.fft.fftfreq(H, 1.0 if per_pixel else 1 / H)[:, None],
            torch.fft.fftfreq(W, 1.0 if per_pixel else 1 / W),
        )
        mask = radius < cutoff if low else radius >= cutoff
        mask = torch.fft.fftshift(mask) if shifted else mask
        a, b = (torch.fft.fft2(image, norm=norm) for image in (x_hat, x))
        size = (a.abs() - b.abs()).abs() if moduli else (a - b).abs()
        return (size * mask).mean() if zeros else size[..., mask].mean()

    return answer


def by_the_exchanged_line(X: Tensor, m: int) -> Tensor:
    f = torch.arange(X.shape[-1])
    return torch.fft.ifft(X[..., f, -m * f % len(f)]).real


# The exercise, what a student wrote, words of the explanation (| where two would do).
WRONG: list[tuple[str, Any, str]] = [
    ("patchify", rows_of_pixels, "a piece of a row of pixels"),
    ("patchify", transposed_patches, "are transposed"),
    ("patchify", column_by_column, "numbered column by column"),
    ("patchify", channels_last, "channels come last"),
    ("patchify", unfolded, "F.unfold"),
    ("unpatchify", spread_over_rows, "over whole rows"),
    ("unpatchify", not_interleaved, "not interleaved"),
    ("unpatchify", grid_exchanged, "fill the grid|Height and width"),
    ("unpatchify", transposed_back, "transposed"),
    ("split-heads", heads_by_reshape, "mixes the tokens"),
    ("split-heads", heads_not_moved, "before the tokens"),
    ("split-heads", heads_interleaved, "every M-th number"),
    ("attention", attend(lambda Q, K: 1), "not scaled"),
    ("attention", attend(lambda Q, K: 1 / Q.shape[-1]), "square root"),
    ("attention", attend(lambda Q, K: Q.shape[-1] ** -0.5, dim=-2), "over the queries"),
    ("attention", attend(lambda Q, K: K.shape[-2] ** -0.5), "number of tokens"),
    ("attention", overflowing, "overflows"),
    ("positions", scrambled_positions, "scrambles"),
    ("positions", corner_positions, "align_corners"),
    ("positions", bilinear_positions, "bilinear"),
    ("positions", positions_along_the_sequence, "along the sequence"),
    ("patch-size", carried_over(None), "start from zero"),
    ("patch-size", carried_over(lambda e, side: e[:, : side**2]), "cut off"),
    ("patch-size", lambda trained, P: ViTReconstructor(patch_size=P), "start from zero"),
    ("patch-size", shared_blocks, "The two models share"),
    ("patch-size", lambda trained, P: trained, "itself"),
    ("patch-size", lambda trained, P: build("UNet"), "ViTReconstructor"),
    ("psnr", lambda a, b, R: psnr(a, b, 1.0), "data range is ignored"),
    ("psnr", lambda a, b, R: psnr(a, b, R).mean(), "mean of the images' PSNRs"),
    ("psnr", lambda a, b, R: 10 * torch.log10(R**2 / F.mse_loss(a, b)), "PSNR of the mean MSE"),
    ("psnr", lambda a, b, R: psnr(a, b, math.sqrt(R)), "not squared"),
    ("psnr", lambda a, b, R: psnr(a, b, R) * math.log(10), "base 10"),
    ("psnr", lambda a, b, R: psnr(a, b, R).clamp(max=100), "ceiling"),
    ("ssim", ssim(gaussian=False), "uniform"),
    ("ssim", ssim(padding=5), "border"),
    ("ssim", ssim(C=lambda R: (1e-4, 9e-4)), "data range"),
    ("ssim", ssim(C=lambda R: (0.01 * R, 0.03 * R)), "not squared"),
    ("ssim", lambda a, b, R: ssim()(a, b, R).mean(), "one number for each image"),
    ("standard-error", lambda a, b: ((a.var() + b.var()) / len(a)).sqrt(), "different slices"),
    ("standard-error", lambda a, b: (a - b).std(), "varies less"),
    ("standard-error", lambda a, b: (a - b).std(correction=0) / len(a) ** 0.5, "n − 1"),
    ("standard-error", lambda a, b: (a - b).mean(), "mean gain"),
    ("data-step", lambda x, y, K, t: x + t * K.T(K(x) - y), "uphill"),
    ("data-step", lambda x, y, K, t: x - t * K(K(x) - y), "needs the adjoint"),
    ("data-step", lambda x, y, K, t: x - t * (K(x) - y), "adjoint is missing"),
    ("data-step", lambda x, y, K, t: x - 2 * t * K.T(K(x) - y), "factor 2"),
    ("ghost-adjoint", lambda y, d, a: Ghost(d, a)(y), "This is K itself"),
    ("ghost-adjoint", lambda y, d, a: Ghost(d, a).T(y.mT).mT, "along the columns"),
    ("ghost-adjoint", lambda y, d, a: y + a * y.roll(-d, dims=2), "missing. A number before K"),
    ("ghost-attention", lambda m, n, up: torch.eye(m * n).roll(up * n, dims=1), "look down"),
    ("ghost-attention", lambda m, n, up: torch.eye(m * n).roll(up, dims=1), "along the sequence"),
    ("ghost-attention", lambda m, n, up: 50 * torch.eye(m * n).roll(up * n, 0), "These are scores"),
    ("fourier-slice", lambda X, m: torch.fft.ifft2(X).real.sum(-2), "view of m = 0"),
    ("fourier-slice", lambda X, m: torch.fft.ifft(X[..., 0, :]), "or `.real`"),
    ("fourier-slice", by_the_exchanged_line, "exchanged"),
    ("l1", lambda a, b: F.mse_loss(a, b), "still the MSE"),
    ("l1", lambda a, b: (a - b).abs().sum(), "You sum over the pixels"),
    ("l1", lambda a, b: (a - b).mean(), "cancel"),
    ("l1", lambda a, b: (a - b).square().mean().sqrt(), "root of the MSE"),
    ("l1", lambda a, b: (a - b).square().sqrt().mean(), "no derivative at 0"),
    ("training-step", step(clear="never"), "Old gradients are added"),
    ("training-step", step(clear="too late"), "have not moved|only old"),
    ("training-step", step(move=False), "have not moved"),
    ("training-step", step(see="x"), "shown the truth"),
    ("training-step", step(exchange=True), "arguments of the loss"),
    ("training-step", step(train=False), "evaluation mode"),
    ("training-step", step(number=False), "graph"),
    ("training-step", stepped_first, "after the step"),
    ("training-step", switched_too_late, "evaluation mode"),
    ("training-step", around_the_hooks, "evaluation mode"),
    ("training-step", detached, "a tensor"),
    ("high-pass", passing(low=True), "turned round"),
    ("high-pass", passing(norm="backward"), "orthonormal"),
    ("high-pass", passing(shifted=True), "fftshift"),
    ("high-pass", passing(per_pixel=False), "cycles per image"),
    ("high-pass", passing(zeros=True), "zeros included"),
    ("high-pass", passing(moduli=True), "moduli only"),
    ("chain-parameters", lambda n, q, L: n * q * q * (2 + (L - 2) * n), "biases are missing"),
    ("flat-ssim", lambda a, b: (2 * a * b + 9e-4) / (a * a + b * b + 9e-4), "C2"),
    ("ambiguity", lambda p, a, b: p * a + (1 - p) * b, "value that the network draws"),
    ("step-size", lambda norm: 2 / norm, "squared"),
    ("step-size", lambda norm: 3 / norm**2, "too large"),
    ("crossover", 256, "alone"),
    ("rounding", 20 * math.log10(255), "half a step"),
    ("rounding", 58.6, "Very close"),
    ("how-many-slices", 61, "still holds 0"),
    ("many-tests", 2.1, "twice"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "wrong", "words"), WRONG, ids=[f"{name}-{words[:20]}" for name, _, words in WRONG]
)
def test_a_typical_wrong_answer_is_recognised(name: str, wrong: Any, words: str) -> None:
    exercises._wrong_tries.clear()
    feedback = judge(name, wrong)
    assert feedback.verdict == "wrong"
    assert any(word in feedback.text for word in words.split("|")), str(feedback)
    assert feedback.hint == f"Hint 1 of {len(EXERCISES[name].hints)}: {EXERCISES[name].hints[0]}"

    exercises._wrong_tries.clear()
    assert str(judge(name, wrong)) == str(feedback)  # other inputs, the same words


def test_each_code_exercise_has_three_wrong_answers() -> None:
    for name, exercise in EXERCISES.items():
        if exercise.kind == "code":
            assert sum(name == tried for tried, _, _ in WRONG) >= 3, name


def mirrored(x, P):
    """Right, but its gradient goes to the mirrored pixels."""
    other = patchify(x.flip(-1), P)
    return other + (patchify(x, P) - other).detach()


def a_tenth_too_steep(x, P):
    patches = patchify(x, P)
    return 1.1 * patches - 0.1 * patches.detach()


def test_a_gradient_at_other_pixels_or_a_little_off_is_not_right():
    for answer in (mirrored, a_tenth_too_steep):
        assert "but the gradient is not" in judge("patchify", answer).text


def test_a_formula_a_little_off_is_not_right():
    assert judge("step-size", lambda norm: 2.0001 / norm**2).verdict == "wrong"


def test_a_network_half_in_training_mode():
    def answer(model, optimizer, loss, x, y):
        model.training = True  # its layers stay as they are
        optimizer.zero_grad()
        value = loss(model(y), x)
        value.backward()
        optimizer.step()
        return value.item()

    assert "evaluation mode" in judge("training-step", answer).text
