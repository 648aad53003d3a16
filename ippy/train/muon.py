"""Muon, an optimiser for weight matrices: momentum, made orthogonal before it is applied."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ippy.base.checks import check_integer

MOMENTUM = 0.9
STEP = 0.2  # how far a weight moves, in learning rates: as a root mean square, or at the most
BETAS, EPS = (0.9, 0.95), 1e-10  # AdamW's
TURNS, RESTART = 5, 2
# The quintic that lifts small singular values fastest (Jordan et al., 2024): after five turns those
# above about 0.003 are between 0.7 and 1.2.
QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalise(update: Tensor, *, coarse: bool = False) -> Tensor:
    r"""Return about :math:`U V^T` for :math:`G = U S V^T`: all singular values become about 1.

    Each Newton-Schulz turn maps :math:`X` to :math:`(a + b A + c A^2) X` with :math:`A = X X^T`.
    Every factor is a polynomial of the first :math:`A`, so the turns are taken on that small square
    matrix, and the wide :math:`X` is multiplied only before and after them (Zhang et al., Gram
    Newton-Schulz, 2026). That is done in float32, where the rounding is below a thousandth of the
    result; bfloat16, in which others iterate on :math:`X`, is emulated by many CPUs.

    Args:
        update: (M, N), or a convolution's (M, C, h, w), which is taken as (M, C * h * w).
        coarse: Float32 may be multiplied with fewer bits, as in TF32: begin anew from :math:`X`
            after two turns, lest the rounding of :math:`A` grow through all five.

    Returns:
        The same shape, float32.
    """
    x = update.flatten(1).float()
    tall = len(x) > x.shape[1]
    x = x.T if tall else x  # (m, n), m <= n
    x = x / x.norm().clamp_min(1e-12)
    a, b, c = QUINTIC
    identity = torch.eye(len(x), device=x.device)
    for turns in (RESTART, TURNS - RESTART) if coarse else (TURNS,):
        gram, factor = x @ x.T, identity  # (m, m) both
        for left in reversed(range(turns)):
            turn = a * identity + b * gram + c * gram @ gram  # (m, m)
            factor = turn if factor is identity else turn @ factor
            if left:
                gram = turn @ gram @ turn
        x = factor @ x  # (m, n)
    return (x.T if tall else x).reshape(update.shape)


def is_matrix(weight: Tensor) -> bool:
    """Say whether a weight maps several channels to several channels, and so is Muon's."""
    return weight.ndim >= 2 and min(weight.shape[:2]) > 1


class Muon(Optimizer):
    r"""Muon for the weights that are matrices, AdamW for the others.

    A matrix moves by ``0.2 * sqrt(max(M, N))`` times the rate along its orthogonalised momentum: by
    0.2 times the rate in the root mean square of its entries, as AdamW's steps often are (Liu et
    al., Muon is scalable for LLM training, 2025). First and last layers of one channel, biases,
    norms and positions are left to AdamW (Loshchilov and Hutter, Decoupled weight decay
    regularization, ICLR 2019), at 0.2 times the rate too, so that biases don't run ahead of the
    weights and fewer channels fall silent behind their ReLUs.

    Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024.

    Args:
        params: Weights to train.
        lr: Learning rate.
        weight_decay: Decoupled weight decay, as a fraction of the rate.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Move every weight that has a gradient.

        Args:
            closure: Computes the gradients anew and returns the loss, as for every optimiser.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                move = self._muon if is_matrix(weight) else self._adamw
                weight.sub_(move(weight), alpha=STEP * group["lr"])
        return loss

    def check_state(self) -> None:
        """Check that a state that was loaded fits the weights.

        Raises:
            KeyError: A weight's state lacks a part.
            TypeError: The number of its steps is no integer.
            ValueError: A part has another shape than its weight.
        """
        for weight, state in self.state.items():
            if not is_matrix(weight):
                check_integer("step", state["step"], least=1)
            for part in ("momentum",) if is_matrix(weight) else ("mean", "square"):
                if state[part].shape != weight.shape:
                    came, expected = tuple(state[part].shape), tuple(weight.shape)
                    raise ValueError(f"{part} has shape {came}; expected {expected}")

    def _muon(self, weight: Tensor) -> Tensor:
        state, grad = self.state[weight], weight.grad
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum = state["momentum"].lerp_(grad, 1 - MOMENTUM)
        ahead = grad.lerp(momentum, MOMENTUM)  # Nesterov's look ahead
        sides = len(weight), weight[0].numel()
        return orthogonalise(ahead, coarse=ahead.is_cuda).mul_(math.sqrt(max(sides)))

    def _adamw(self, weight: Tensor) -> Tensor:
        state, grad = self.state[weight], weight.grad
        if not state:
            state["step"] = 0
            state["mean"], state["square"] = torch.zeros_like(weight), torch.zeros_like(weight)
        state["step"] += 1
        (beta1, beta2), step = BETAS, state["step"]
        mean = state["mean"].lerp_(grad, 1 - beta1)
        square = state["square"].lerp_(grad * grad, 1 - beta2)
        scale = (square / (1 - beta2**step)).sqrt_().add_(EPS)
        return mean / scale / (1 - beta1**step)
