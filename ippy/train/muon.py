"""Muon, an optimiser for weight matrices: momentum, made orthogonal before it is applied."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from ippy.train.recipe import Recipe

MOMENTUM = 0.9
STEP = 0.2  # how far a weight moves, in learning rates, as a root mean square
TURNS = 5
# The quintic that lifts small singular values fastest (Jordan et al., 2024): after five turns those
# above about 0.003 are between 0.7 and 1.2.
QUINTIC = (3.4445, -4.7750, 2.0315)


def make_optimizers(weights: Iterable[nn.Parameter], recipe: Recipe) -> list[Optimizer]:
    """Return Muon for the weights that are matrices, and AdamW for the others, where there are any.

    First and last layers of one channel, biases, norms and positions are AdamW's (Loshchilov and
    Hutter, Decoupled weight decay regularization, ICLR 2019), at 0.2 times the rate if the recipe
    does not say otherwise, which is how far Muon moves a weight: so biases don't run ahead of the
    weights, and fewer channels fall silent behind their ReLUs. Both decay a weight by the same
    fraction in a step. A recipe with AdamW alone gives it all weights, at the whole rate.

    Args:
        weights: What is trained.
        recipe: Says the optimiser, its rates and the decay, a fraction of ``recipe.lr``.
    """
    weights, alone = list(weights), recipe.optimizer == "adamw"
    matrices = [weight for weight in weights if is_matrix(weight) and not alone]
    others = [weight for weight in weights if alone or not is_matrix(weight)]
    optimizers: list[Optimizer] = []
    if matrices:
        optimizers.append(Muon(matrices, lr=recipe.lr, weight_decay=recipe.weight_decay))
    if others:
        part = 1.0 if alone else recipe.vector_lr
        decay = recipe.weight_decay / part  # a fraction of AdamW's own rate
        lr = part * recipe.lr
        adamw = AdamW(others, lr=lr, weight_decay=decay, betas=(0.9, 0.95), eps=1e-10)
        optimizers.append(adamw)
    return optimizers


def is_matrix(weight: Tensor) -> bool:
    """Say whether a weight maps several channels to several channels, and so is Muon's."""
    return weight.ndim >= 2 and min(weight.shape[:2]) > 1


class Muon(Optimizer):
    """Muon, for weights that are matrices; a convolution's is (M, C * h * w).

    A weight moves by ``0.2 * sqrt(max(M, N))`` times the rate along its orthogonalised momentum: by
    0.2 times the rate in the root mean square of its entries, as AdamW's steps often are (Liu et
    al., Muon is scalable for LLM training, 2025). ``torch.optim.Muon`` takes no convolutions.

    Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024.

    Args:
        params: Weights to train, of two axes or more.
        lr: Learning rate.
        weight_decay: Decoupled weight decay, as a fraction of the rate.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], *, lr: float, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """Move every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group["lr"], group["weight_decay"])

    def _move(self, weight: Tensor, lr: float, weight_decay: float) -> None:
        state, grad = self.state[weight], weight.grad
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum = state["momentum"].lerp_(grad, 1 - MOMENTUM)
        ahead = grad.lerp(momentum, MOMENTUM)  # Nesterov's
        width = max(len(weight), weight[0].numel())
        weight.mul_(1 - lr * weight_decay)
        weight.sub_(orthogonalise(ahead).mul_(math.sqrt(width)), alpha=STEP * lr)


def orthogonalise(update: Tensor) -> Tensor:
    r"""Return about :math:`U V^T` for :math:`G = U S V^T`: all singular values become about 1.

    Each Newton-Schulz turn maps :math:`X` to :math:`(a + b A + c A^2) X` with :math:`A = X X^T`.
    Every factor is a polynomial of the first :math:`A`, so the turns are taken on that small square
    matrix, and the wide :math:`X` is multiplied only before and after them (Zhang et al., Gram
    Newton-Schulz, 2026). That is done in float32, where the rounding is below a thousandth of the
    result; bfloat16, in which others iterate on :math:`X`, is emulated by many CPUs.

    Args:
        update: (M, N), or a convolution's (M, C, h, w), which is taken as (M, C * h * w).

    Returns:
        The same shape, float32.
    """
    x = update.flatten(1).float()
    tall = len(x) > x.shape[1]
    x = x.T if tall else x  # (m, n), m <= n
    x = x / x.norm().clamp_min(1e-12)
    a, b, c = QUINTIC
    identity = torch.eye(len(x), dtype=x.dtype, device=x.device)
    gram, factor = x @ x.T, identity  # (m, m) both
    for left in reversed(range(TURNS)):
        turn = a * identity + b * gram + c * gram @ gram  # (m, m)
        factor = turn if factor is identity else turn @ factor
        if left:
            gram = turn @ gram @ turn
    x = factor @ x  # (m, n)
    return (x.T if tall else x).reshape(update.shape)
