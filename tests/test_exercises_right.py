"""Answers that are right in another way than the solutions are taken."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.exercises import judge
from ippy.exercises.l1 import L1
from ippy.exercises.positions import as_image
from ippy.exercises.ssim import SSIM, gaussian_window, of_each
from ippy.models.vit import ViTReconstructor
from ippy.operators import Ghost

# l1: other formulas, each with a gradient of its own where the error is zero


class MeanAbsolute(nn.Module):
    def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
        return torch.linalg.vector_norm(x_hat - x, ord=1) / x.numel()


def l1_loss(x_hat: Tensor, x: Tensor) -> Tensor:
    """Has the name of PyTorch's own."""
    return (x_hat - x).abs().mean()


def in_place(x_hat: Tensor, x: Tensor) -> Tensor:
    error = x_hat - x
    return error.abs_().mean()


# patches: loops, views, other libraries' order


def patchify_by_loops(x: Tensor, P: int) -> Tensor:
    rows = [
        [x[:, :, i : i + P, j : j + P].flatten(1) for j in range(0, x.shape[3], P)]
        for i in range(0, x.shape[2], P)
    ]
    return torch.stack([patch for row in rows for patch in row], dim=1)


def patchify_in_place(x: Tensor, P: int) -> Tensor:
    B, C, H, W = x.shape
    patches = torch.empty(B, H // P * (W // P), C * P * P)
    for n in range(patches.shape[1]):
        i, j = n // (W // P) * P, n % (W // P) * P
        patches[:, n] = x[:, :, i : i + P, j : j + P].flatten(1)
    return patches


def unpatchify_by_fold(patches: Tensor, P: int, grid: tuple[int, int]) -> Tensor:
    return F.fold(patches.mT, (grid[0] * P, grid[1] * P), P, stride=P)


def unpatchify_by_cat(patches: Tensor, P: int, grid: tuple[int, int]) -> Tensor:
    squares = patches.unflatten(2, (-1, P, P)).unbind(1)
    width = grid[1]
    rows = [torch.cat(squares[i * width : (i + 1) * width], dim=3) for i in range(grid[0])]
    return torch.cat(rows, dim=2)


# attention


def attention_by_einsum(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    scores = torch.einsum("bhnd,bhmd->bhnm", Q, K) * Q.shape[-1] ** -0.5
    return torch.einsum("bhnm,bhmd->bhnd", F.softmax(scores, -1), V)


def attention_by_hand(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    scores = (Q / math.sqrt(Q.size(-1))) @ K.transpose(2, 3)
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return weights / weights.sum(-1, keepdim=True) @ V


def attention_in_float64(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    scores = Q.double() @ K.double().mT / Q.shape[-1] ** 0.5
    return (scores.softmax(-1) @ V.double()).to(Q.dtype)


# positions and patch size


def positions_without_gradient(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    with torch.no_grad():
        image = F.interpolate(as_image(positions), size=grid, mode="bicubic")
    return image.flatten(2).mT


def positions_antialiased(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    image = F.interpolate(as_image(positions), size=grid, mode="bicubic", antialias=True)
    return image.flatten(2).permute(0, 2, 1)


def by_the_models_own_positions(trained: ViTReconstructor, P: int) -> ViTReconstructor:
    model = ViTReconstructor(patch_size=P)
    new = model.state_dict()
    state = {n: v for n, v in trained.state_dict().items() if v.shape == new[n].shape}
    state["pos_embed"] = trained.positions((256 // P, 256 // P))
    model.load_state_dict(state, strict=False)
    return model


def layers_as_initialised(trained: ViTReconstructor, P: int) -> ViTReconstructor:
    """Leave the embedding and the decoder's first layer alone, biases and all."""
    model = ViTReconstructor(patch_size=P)
    model.encoder.load_state_dict(trained.encoder.state_dict())
    for new, old in zip(model.decoder[1:], trained.decoder[1:], strict=True):
        new.load_state_dict(old.state_dict())
    model.pos_embed = nn.Parameter(trained.positions((256 // P,) * 2).detach().clone())
    return model


# metrics


def psnr_in_float64(x_hat: Tensor, x: Tensor, R: float) -> Tensor:
    mse = ((x_hat - x).double() ** 2).flatten(1).mean(1)
    return 20 * math.log10(R) - 10 * mse.log10()


def psnr_by_loop(x_hat: Tensor, x: Tensor, R: float) -> Tensor:
    scores = []
    for a, b in zip(x_hat, x, strict=True):
        mse = F.mse_loss(a, b).item()
        scores.append(math.inf if mse == 0 else 10 * math.log10(R * R / mse))
    return torch.tensor(scores)


def ssim_in_float64(x_hat: Tensor, x: Tensor, R: float) -> Tensor:
    return of_each()(x_hat, x, R)


def ssim_by_differences(x_hat: Tensor, x: Tensor, R: float) -> Tensor:
    """Variances as means of squared differences from the mean, window by window."""
    window = gaussian_window().flatten().float()[None, :, None]
    a, b = F.unfold(x_hat, 11), F.unfold(x, 11)  # (B, 121, windows)
    mu_a, mu_b = (a * window).sum(1, keepdim=True), (b * window).sum(1, keepdim=True)
    var = ((a - mu_a) ** 2 * window).sum(1) + ((b - mu_b) ** 2 * window).sum(1)
    cov = ((a - mu_a) * (b - mu_b) * window).sum(1)
    mu_a, mu_b = mu_a[:, 0], mu_b[:, 0]
    C1, C2 = (0.01 * R) ** 2, (0.03 * R) ** 2
    top = (2 * mu_a * mu_b + C1) * (2 * cov + C2)
    return (top / ((mu_a**2 + mu_b**2 + C1) * (var + C2))).mean(1)


# the data step


def step_by_autograd(x: Tensor, y: Tensor, K: Any, t: float) -> Tensor:
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(0.5 * (K(x) - y).square().sum(), x)
    return (x - t * gradient).detach()


def step_without_gradient(x: Tensor, y: Tensor, K: Any, t: float) -> Tensor:
    with torch.no_grad():
        return x + t * (K.T @ (y - K @ x))


def step_in_place(x: Tensor, y: Tensor, K: Any, t: float) -> Tensor:
    new = x.clone()
    new -= t * K.T(K(x).sub_(y))
    return new


# the training step


def step_that_restores(model: Any, optimizer: Any, loss: Any, x: Tensor, y: Tensor) -> float:
    before = model.training
    model.train()
    optimizer.zero_grad(set_to_none=False)
    value = loss(model(y), x)
    value.backward()
    optimizer.step()
    model.train(before)
    return float(value.detach())


def step_by_closure(model: Any, optimizer: Any, loss: Any, x: Tensor, y: Tensor) -> float:
    model.train()

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(model(y), x)
        value.backward()
        return value

    return optimizer.step(closure).item()


def step_by_hand(model: Any, optimizer: Any, loss: Any, x: Tensor, y: Tensor) -> Any:
    model.train(True)
    value = loss(model.forward(y), x)
    gradients = torch.autograd.grad(value, list(model.parameters()))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    return np.float32(value.detach().numpy())


# the high-pass loss


def high_pass_shifted(x_hat: Tensor, x: Tensor, cutoff: float) -> Tensor:
    H, W = x.shape[-2:]
    rows = torch.fft.fftshift(torch.fft.fftfreq(H, dtype=torch.float64))
    columns = torch.fft.fftshift(torch.fft.fftfreq(W, dtype=torch.float64))
    mask = (rows[:, None] ** 2 + columns**2).sqrt() >= cutoff
    a, b = (torch.fft.fft2(image.double(), norm="ortho") for image in (x_hat, x))
    error = torch.fft.fftshift(a - b, dim=(-2, -1)).abs() * mask
    return error.sum() / (mask.sum() * x.shape[0] * x.shape[1])


def high_pass_by_hand(x_hat: Tensor, x: Tensor, cutoff: float) -> Tensor:
    H, W = x.shape[-2:]
    F_H, F_W = (torch.fft.fft(torch.eye(n)) / math.sqrt(n) for n in (H, W))
    size = (F_H @ (x_hat - x).to(F_H.dtype) @ F_W.mT).abs()
    f = torch.minimum(torch.arange(H), H - torch.arange(H)) / H
    g = torch.minimum(torch.arange(W), W - torch.arange(W)) / W
    return size[:, :, f[:, None] ** 2 + g**2 >= cutoff**2].mean()


# ghosts: the operator of the course, autograd, loops


def adjoint_by_autograd(y: Tensor, d: int, a: float) -> Tensor:
    x = torch.zeros_like(y).requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad((Ghost(d, a)(x) * y).sum(), x)
    return gradient


def look_up_by_loops(rows: int, columns: int, up: int) -> Tensor:
    weights = torch.zeros(rows * columns, rows * columns)
    for row in range(rows):
        for column in range(columns):
            weights[row * columns + column, (row - up) % rows * columns + column] = 1
    return weights


# views: sums along lines, with all of the spectrum transformed back; the sum of the definition


def sums_along_lines(X: Tensor, m: int) -> Tensor:
    x = torch.fft.ifft2(X).real
    return torch.stack([x[..., i, :].roll(-m * i, -1) for i in range(x.shape[-1])]).sum(0)


def view_by_exponentials(X: Tensor, m: int) -> Tensor:
    n = X.shape[-1]
    waves = [
        X[..., -m * f % n, f, None] * torch.exp(2j * math.pi * f * torch.arange(n) / n)
        for f in range(n)
    ]
    return sum(waves).real / n


RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("l1", l1_loss),
    ("l1", lambda a, b: l1_loss(a, b)),
    ("l1", lambda a, b: torch.where(a >= b, a - b, b - a).mean()),
    ("l1", lambda a, b: torch.where(a > b, a - b, b - a).mean()),
    ("l1", lambda a, b: torch.maximum(a - b, b - a).mean()),
    ("l1", lambda a, b: (torch.maximum(a, b) - torch.minimum(a, b)).mean()),
    ("l1", lambda a, b: (F.relu(a - b) + F.relu(b - a)).mean()),
    ("l1", lambda a, b: ((a - b) * (a - b).sign()).mean()),
    ("l1", lambda a, b: (a.double() - b).abs().mean()),
    ("l1", lambda a, b: (a - b).abs().sum()[None] / b.numel()),
    ("l1", lambda a, b: torch.stack([(p - q).abs().mean() for p, q in zip(a, b)]).mean()),  # noqa: B905
    ("l1", in_place),
    ("l1", MeanAbsolute()),
    ("patchify", patchify_by_loops),
    ("patchify", patchify_in_place),
    ("patchify", lambda x, P: F.unfold(x, P, stride=P).mT.contiguous()),
    ("patchify", lambda x, P: x.unfold(2, P, P).unfold(3, P, P).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)),  # noqa: E501
    ("unpatchify", unpatchify_by_fold),
    ("unpatchify", unpatchify_by_cat),
    ("split-heads", lambda z, h: torch.stack(z.chunk(h, dim=-1), dim=1)),
    ("split-heads", lambda z, h: z.unflatten(-1, (h, -1)).movedim(2, 1)),
    ("attention", attention_by_einsum),
    ("attention", attention_by_hand),
    ("attention", attention_in_float64),
    ("positions", positions_without_gradient),
    ("positions", positions_antialiased),
    ("patch-size", by_the_models_own_positions),
    ("patch-size", layers_as_initialised),
    ("psnr", psnr_in_float64),
    ("psnr", psnr_by_loop),
    ("ssim", ssim_in_float64),
    ("ssim", lambda a, b, R: ssim_in_float64(a, b, R).float()),
    ("ssim", ssim_by_differences),
    ("standard-error", lambda a, b: (a - b).std().item() / math.sqrt(len(a))),
    ("standard-error", lambda a, b: np.std((b - a).numpy(), ddof=1) / np.sqrt(len(a))),
    ("standard-error", lambda a, b: ((a - b).double().var(keepdim=True) / len(a)).sqrt()),
    ("standard-error", lambda a, b: ((a - b).std() / len(a) ** 0.5).numpy()),
    ("data-step", step_by_autograd),
    ("data-step", step_without_gradient),
    ("data-step", step_in_place),
    ("ghost-adjoint", lambda y, d, a: Ghost(d, a).T(y)),
    ("ghost-adjoint", lambda y, d, a: Ghost(-d, a)(y)),
    ("ghost-adjoint", adjoint_by_autograd),
    ("ghost-attention", look_up_by_loops),
    ("ghost-attention", lambda m, n, up: torch.eye(m * n).roll(up * n, dims=0)),
    ("fourier-slice", sums_along_lines),
    ("fourier-slice", view_by_exponentials),
    ("training-step", step_that_restores),
    ("training-step", step_by_closure),
    ("training-step", step_by_hand),
    ("high-pass", high_pass_shifted),
    ("high-pass", high_pass_by_hand),
    ("chain-parameters", lambda n, q, L: np.int64(n) * (q * q + 1) + (L - 2) * n * (n * q * q + 1) + n * q * q + 1),  # noqa: E501
    ("flat-ssim", lambda a, b: torch.tensor((2 * a * b + 1e-4) / (a * a + b * b + 1e-4))),
    ("reach", lambda c, L: c * 2**L + sum(2 * c * 2**level for level in range(int(L)))),
    ("step-size", lambda norm: np.float32(2) / np.float32(norm) ** 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "answer"), RIGHT, ids=[f"{name}-{i}" for i, (name, _) in enumerate(RIGHT)]
)
def test_another_right_answer_is_taken(name: str, answer: Callable[..., Any]) -> None:
    for _ in range(3):
        feedback = judge(name, answer)
        assert feedback.verdict == "right", str(feedback)


def test_subgradients_are_free_at_ties_only() -> None:
    class Elsewhere(torch.autograd.Function):
        """The mean absolute error, with a gradient that is off where there is an error."""

        @staticmethod
        def forward(ctx: Any, x_hat: Tensor, x: Tensor) -> Tensor:
            ctx.save_for_backward(x_hat, x)
            return (x_hat - x).abs().mean()

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
            x_hat, x = ctx.saved_tensors
            return grad * torch.where(x_hat == x, 0.0, 0.5 * (x_hat - x).sign()) / x.numel(), None

    feedback = judge("l1", Elsewhere.apply)
    assert "gradient is not. For `x_hat` = [[[[0.1, 0.7]]]]" in feedback.text
    assert "is [[[[-0.25, 0.25]]]]; expected [[[[-0.5, 0.5]]]]" in feedback.text

    def too_steep(a: Tensor, b: Tensor) -> Tensor:
        return ((a - b).abs() + torch.where(a == b, 2 * (a - b), 0.0)).mean()

    assert "gradient is not" in judge("l1", too_steep).text
    assert any((i["x_hat"] == i["x"]).any() for i in L1.examples())


def test_the_ssim_for_gradients_is_that_of_scikit_image() -> None:
    for inputs in (*SSIM.inputs(), *SSIM.examples()):
        torch.testing.assert_close(
            SSIM.right(**inputs).double(), SSIM.differentiable(**inputs), rtol=0, atol=1e-6
        )
