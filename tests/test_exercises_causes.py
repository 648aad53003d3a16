"""A wrong answer is told its true cause, or shown what it returns and what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.exercises import EXERCISES, judge
from ippy.exercises.judging import Code
from ippy.exercises.patch_size import EXERCISES as PATCH_SIZE
from ippy.exercises.positions import antialiased, resize_positions
from ippy.exercises.psnr import mse
from ippy.exercises.ssim import COUNT, gaussian_window, of_each, ssim_map
from ippy.models.vit import ViTReconstructor, patchify, unpatchify

CODES = {name: e.judge for name, e in EXERCISES.items() if isinstance(e.judge, Code)}
MISTAKES = [
    pytest.param(name, text, function, id=f"{name}-{text[:30]}")
    for name, code in CODES.items()
    for text, functions in code.mistakes.items()
    for function in (functions if isinstance(functions, tuple) else (functions,))
]


@pytest.mark.parametrize(("name", "text", "function"), MISTAKES)
def test_every_known_mistake_is_refused_by_its_own_name(
    name: str, text: str, function: Callable
) -> None:
    for _ in range(2):
        feedback = judge(name, function)
        assert (feedback.verdict, feedback.text) == ("wrong", text)


def test_all_code_is_tried_on_batches_of_one_and_several_and_on_both_signs() -> None:
    assert len(CODES) == 14  # the other two change a model
    for name, code in CODES.items():
        inputs = list(code.inputs())
        results = [code.right(**each) for each in inputs]
        first = next(iter(inputs[0].values()))
        if isinstance(first, Tensor) and first.ndim > 1 and name != "positions":
            batches = {len(next(iter(each.values()))) for each in inputs}
            assert 1 in batches and max(batches) > 1, name
        if not code.number and name != "ghost-attention":  # weights are not negative
            assert min(r.min() for r in results) < 0 < max(r.max() for r in results), name


# The order of calls in a training step


def train_step(*order: str) -> Callable[..., float]:
    def answer(model: Any, optimizer: Any, loss: Any, x: Tensor, y: Tensor) -> float:
        model.train()
        value = loss(model(y), x)
        calls = {
            "zero_grad": optimizer.zero_grad,
            "zeros": lambda: optimizer.zero_grad(set_to_none=False),
            "backward": value.backward,
            "step": optimizer.step,
            "clip": lambda: nn.utils.clip_grad_norm_(model.parameters(), 1.0),
            "halve": lambda: [p.grad.mul_(0.5) for p in model.parameters()],
        }
        for name in order:
            calls[name]()
        return value.item()

    return answer


def part_of_the_batch(model: Any, optimizer: Any, loss: Any, x: Tensor, y: Tensor) -> float:
    optimizer.zero_grad()
    value = loss(model.train()(y[:2]), x[:2])
    value.backward()
    optimizer.step()
    return value.item()


def twice_the_loss(model: Any, optimizer: Any, loss: Any, x: Tensor, y: Tensor) -> float:
    return 2 * train_step("zero_grad", "backward", "step")(model, optimizer, loss, x, y)


def closure_that_clears(model: Any, optimizer: Any, loss: Any, x: Tensor, y: Tensor) -> float:
    def closure() -> Tensor:
        value = loss(model(y), x)
        value.backward()
        optimizer.zero_grad()
        return value

    return optimizer.step(closure).item()


# Vision Transformers


def without(*skipped: str) -> Callable[[ViTReconstructor, int], ViTReconstructor]:
    """Carry a ViT over, but for the weights whose name holds one of these words."""

    def answer(trained: ViTReconstructor, P: int) -> ViTReconstructor:
        model = ViTReconstructor(patch_size=P)
        state = model.state_dict()
        for name, value in trained.state_dict().items():
            if name == "pos_embed":
                state[name] = resize_positions(value, (256 // P,) * 2)
            elif value.shape == state[name].shape and not any(word in name for word in skipped):
                state[name] = value
        model.load_state_dict(state)
        return model

    return answer


def changed(change: Callable[[ViTReconstructor, ViTReconstructor], Any]) -> Callable:
    def answer(trained: ViTReconstructor, P: int) -> ViTReconstructor:
        model = without()(trained, P)
        with torch.no_grad():
            change(model, trained)
        return model

    return answer


def kernels_resized(new: ViTReconstructor, old: ViTReconstructor) -> None:
    size = new.patch_embed.proj.kernel_size
    kernel = F.interpolate(old.patch_embed.proj.weight, size=size, mode="bilinear")
    new.patch_embed.proj.weight.copy_(kernel)


def share_a_norm(new: ViTReconstructor, old: ViTReconstructor) -> None:
    new.encoder[3].norm2.bias = old.encoder[3].norm2.bias


def share_the_last_layer(new: ViTReconstructor, old: ViTReconstructor) -> None:
    new.decoder[-1].weight.data = old.decoder[-1].weight.data


def positions_flipped(new: ViTReconstructor, old: ViTReconstructor) -> None:
    new.pos_embed.copy_(new.pos_embed.flip(1))


def deeper(new: ViTReconstructor, old: ViTReconstructor) -> None:
    new.encoder.append(new.encoder[0])


def attend(change: Callable[[Tensor], Tensor], *, by: str = "k") -> Callable[..., Tensor]:
    def answer(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
        d = {"k": Q, "v": V}[by].shape[-1]
        return change(Q @ K.mT / math.sqrt(d)).softmax(-1) @ V

    return answer


def overflows(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    weights = torch.exp(Q @ K.mT / math.sqrt(Q.shape[-1]))
    return weights / weights.sum(-1, keepdim=True) @ V


def overflows_to_zero(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    return overflows(Q, K, V).nan_to_num()


# Metrics and losses


def channels_averaged(x_hat: Tensor, x: Tensor, R: float) -> Tensor:
    return 10 * torch.log10(R**2 / (x_hat - x).mean(dim=1).square().mean(dim=(1, 2)))


def psnr(x_hat: Tensor, x: Tensor, R: float) -> Tensor:
    return 10 * torch.log10(R**2 / mse(x_hat, x))


def in_float32(**options: Any) -> Callable[..., Tensor]:
    def answer(x_hat: Tensor, x: Tensor, R: float) -> Tensor:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Tensor, "double", lambda self: self)
            window = {"window": lambda: gaussian_window().float()}
            return ssim_map(x_hat, x, R, **window, **options).mean((1, 2, 3))

    return answer


def first_channel(x_hat: Tensor, x: Tensor, R: float) -> Tensor:
    return psnr(x_hat[:, :1], x[:, :1], R)


def along_one_axis(x_hat: Tensor, x: Tensor, cutoff: float) -> Tensor:
    size = torch.fft.fft(x_hat - x, norm="ortho").abs()
    return size[..., torch.fft.fftfreq(x.shape[-1]).abs() >= cutoff].mean()


def above(x_hat: Tensor, x: Tensor, cutoff: float) -> Tensor:
    f, g = torch.fft.fftfreq(x.shape[-2])[:, None], torch.fft.fftfreq(x.shape[-1])
    return torch.fft.fft2(x_hat - x, norm="ortho").abs()[..., (f**2 + g**2).sqrt() > cutoff].mean()


def descend(x: Tensor, y: Tensor, K: Any, t: float) -> Tensor:
    return x - t * K.T(K(x) - y)


SHOWN = ("For ", "; expected ")
FALSE = (
    "constant factor", "constant that is added", "near the border", "cut off from", "wrong order",
    "told the optimiser", "numbers are not", "first image",
)  # fmt: skip

# The exercise, a wrong answer, what is said of it; SHOWN where no cause is named.
WRONG: list[tuple[str, Callable[..., Any], Any]] = [
    ("training-step", train_step("backward", "zero_grad", "step"), "cleared after `backward()`"),
    ("training-step", train_step("backward", "zeros", "step"), "cleared after `backward()`"),
    ("training-step", closure_that_clears, "cleared after `backward()`"),
    ("training-step", train_step("zero_grad", "step", "backward"), "step comes before `backward"),
    ("training-step", train_step("step", "zero_grad", "backward"), "had stepped before `backward"),
    ("training-step", train_step("step", "backward"), "had stepped before `backward"),
    ("training-step", train_step("zero_grad", "backward"), "nobody told the optimiser"),
    ("training-step", train_step(), "nobody told the optimiser"),
    ("training-step", train_step("zero_grad", "step"), "`backward()`, which computes the new"),
    ("training-step", train_step("step"), "only old gradients: `backward()`, which"),
    ("training-step", train_step("backward", "step"), "Old gradients are added"),
    ("training-step", train_step("zero_grad", "backward", "clip", "step"), "clipped to a norm"),
    ("training-step", train_step("zero_grad", "backward", "halve", "step"), "becomes 1.865; "),
    ("training-step", train_step("zero_grad", "backward", "step", "step"), "moved twice"),
    ("training-step", part_of_the_batch, "for a batch of three it is not"),
    ("training-step", twice_the_loss, "the number is"),
    ("standard-error", lambda a, b: a.std() / len(a) ** 0.5, SHOWN),
    ("standard-error", lambda a, b: (a - b).abs().std() / len(a) ** 0.5, "absolute values of"),
    ("standard-error", lambda a, b: (a - b).square().mean().sqrt() / len(a) ** 0.5, "squares of"),
    ("standard-error", lambda a, b: (a.sort()[0] - b.sort()[0]).std() / len(a) ** 0.5, SHOWN),
    ("standard-error", lambda a, b: (a - b).std() / 12**0.5, SHOWN),
    ("standard-error", lambda a, b: 1.96 * (a - b).std() / len(a) ** 0.5, "constant factor, 1.96"),
    ("psnr", channels_averaged, SHOWN),
    ("psnr", first_channel, SHOWN),
    ("psnr", lambda a, b, R: psnr(a, b, R).squeeze(), "has shape (); expected (1,)"),
    ("psnr", lambda a, b, R: psnr(a.clamp(0, R), b, R), "clamp the estimate"),
    ("psnr", lambda a, b, R: 10 * torch.log10(R**2 / (mse(a, b) + 1e-8)), "puts a ceiling"),
    ("psnr", lambda a, b, R: 20 * torch.log10(R / (a - b).abs().mean((1, 2, 3))), "absolute err"),
    ("psnr", lambda a, b, R: psnr(a, b, R) * 1.0003, "constant factor, 1.0003"),
    ("psnr", lambda a, b, R: psnr(a, b, R) + 0.02, "constant that is added everywhere, 0.02"),
    ("psnr", lambda a, b, R: psnr(a, b, R) * (1 + 0.003 * R / 255), SHOWN),
    ("ssim", of_each(correction=COUNT / (COUNT - 1)), "larger by 121/120"),
    ("ssim", of_each(luminance=False), "compares the means is missing"),
    ("ssim", of_each(lambda m: m.clamp(0, 1)), "set to 0"),
    ("ssim", of_each(constants=(0.01, 0.02)), SHOWN),
    ("ssim", in_float32(constants=(0.03, 0.01)), "constants are exchanged"),
    ("ssim", in_float32(constants=(0.0, 0.0)), "constants are missing"),
    ("ssim", of_each(correction=1.05), SHOWN),
    ("data-step", lambda *inputs: descend(*inputs).relu(), "set to zero"),
    ("data-step", lambda *inputs: descend(*inputs).clamp(0, 1), "cut off to [0, 1]"),
    ("data-step", lambda *inputs: descend(*inputs).clamp(max=1), SHOWN),
    ("data-step", lambda *inputs: descend(*inputs).abs(), SHOWN),
    ("data-step", lambda x, y, K, t: x - t * K.T(K(x) - y).relu(), "free to go both ways"),
    ("data-step", lambda x, y, K, t: x - t * K.T(K(x) - y) / K.kernel.sum(), SHOWN),
    ("data-step", lambda x, y, K, t: x - t**2 * K.T(K(x) - y), SHOWN),
    ("ghost-adjoint", lambda y, d, a: (y + a * y.roll(-d, 1)) / (1 + a), SHOWN),
    ("ghost-adjoint", lambda y, d, a: (y + a * y.flip(2)) / (1 + a), SHOWN),
    ("ghost-adjoint", lambda y, d, a: (y + a**2 * y.roll(-d, 2)) / (1 + a), SHOWN),
    ("ghost-attention", lambda m, n, up: torch.ones(m * n, m * n) / (m * n), SHOWN),
    ("ghost-attention", lambda m, n, up: torch.eye(m * n)[:n], "expected (24, 24)"),
    ("fourier-slice", lambda X, m: torch.fft.ifft2(X).real.sum(-2).cumsum(-1), SHOWN),
    ("fourier-slice", lambda X, m: torch.fft.ifft2(X).real, "expected (2, 1, 9)"),
    ("l1", lambda a, b: F.smooth_l1_loss(a, b), "smooth L1"),
    ("l1", lambda a, b: F.huber_loss(a, b), "smooth L1"),
    ("l1", lambda a, b: F.huber_loss(a, b, delta=0.5), SHOWN),
    ("l1", lambda a, b: ((a - b) ** 2 + 1e-9).sqrt().mean(), "under the root"),
    ("l1", lambda a, b: ((a - b) ** 2 + 3e-9).sqrt().mean(), SHOWN),
    ("l1", lambda a, b: (a - b).abs().median(), "median"),
    ("l1", lambda a, b: (a - b).abs().max(), "largest absolute error"),
    ("l1", lambda a, b: (a - b).abs().mean() ** 2, "square of the mean"),
    ("l1", lambda a, b: (a - b).abs().sqrt().mean(), SHOWN),
    ("l1", lambda a, b: torch.log(torch.cosh(a - b)).mean(), SHOWN),
    ("l1", lambda a, b: 0.5 * (a - b).abs().mean(), "constant factor, 0.5"),
    ("l1", lambda a, b: (a - b).relu().mean(), "Only errors of one sign"),
    ("l1", lambda a, b: torch.norm(a - b), SHOWN),
    ("high-pass", above, "it is `>=`, not `>`"),
    ("high-pass", along_one_axis, "along one axis only"),
    ("high-pass", lambda a, b, c: torch.fft.fft2(a - b).real.abs().mean(), SHOWN),
    ("attention", attend(lambda s: s, by="v"), "divide by √d_v"),
    ("attention", overflows, "exp() overflows"),
    ("attention", overflows_to_zero, SHOWN),
    ("attention", attend(lambda s: s.clamp(max=80)), SHOWN),
    ("attention", attend(lambda s: s - s.triu(1) * 1e9), SHOWN),
    ("attention", attend(torch.relu), "entry "),
    ("positions", lambda p, grid: resize_positions(p, grid).clamp(0, 1), SHOWN),
    ("positions", lambda p, grid: antialiased(p, grid).relu(), "entry |For "),
    ("patchify", lambda x, P: patchify(x, P).clamp(0, 1), SHOWN),
    ("patchify", lambda x, P: patchify(x, P).abs(), "entry "),
    ("patchify", lambda x, P: patchify(x, P).squeeze(0), "has shape"),
    ("unpatchify", lambda p, P, grid: unpatchify(p, P, grid).clamp(min=0), "entry "),
    ("patch-size", without("norm"), "training is lost"),
    ("patch-size", without("in_proj_bias"), "training is lost"),
    ("patch-size", without("encoder.3"), "training is lost"),
    ("patch-size", changed(share_a_norm), "share `encoder.3.norm2.bias`"),
    ("patch-size", changed(share_the_last_layer), "share `decoder.6.weight`"),
    ("patch-size", changed(kernels_resized), "not as it was initialised"),
    ("patch-size", changed(lambda new, old: new.decoder[0].weight.zero_()), "not as it was init"),
    ("patch-size", changed(lambda new, old: new.decoder[0].bias.fill_(3)), "training is lost"),
    ("patch-size", changed(positions_flipped), "the first four rows have"),
    ("patch-size", changed(deeper), "more layers"),
    ("patch-size", changed(lambda new, old: new.double()), "stops "),
    ("patch-size", changed(lambda new, old: new.requires_grad_(False)), "new model is frozen"),
    ("patch-size", changed(lambda new, old: old.requires_grad_(False)), "a weight of it is froz"),
    ("patch-size", changed(lambda new, old: old.eval()), "in another mode"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "answer", "words"), WRONG, ids=[f"{i}-{name}" for i, (name, *_) in enumerate(WRONG)]
)
def test_the_cause_is_true_or_the_difference_is_shown(
    name: str, answer: Callable[..., Any], words: Any
) -> None:
    for _ in range(2):
        feedback = judge(name, answer)
        assert feedback.verdict == "wrong", str(feedback)
        if words == SHOWN:
            assert all(word in feedback.text for word in SHOWN), str(feedback)
            assert feedback.text.startswith(("For ", "Small inputs come out right. For "))
        else:
            assert any(word in feedback.text for word in words.split("|")), str(feedback)
        assert not [f for f in FALSE if f in feedback.text and f not in words], str(feedback)


def test_what_is_shown_is_small() -> None:
    text = judge("l1", lambda a, b: (a - b).abs().sqrt().mean()).text
    assert text == (
        "For `x_hat` = [[[[0.1, 0.7]]]] and `x` = [[[[0.2, 0.4]]]] the result is 0.432; "
        "expected 0.2."
    )


def test_patch_size_tries_weights_that_no_initialisation_makes() -> None:
    assert [exercise.name for exercise in PATCH_SIZE] == ["patch-size"]
    assert judge("patch-size", without()).verdict == "right"
