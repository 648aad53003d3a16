"""Attention by torch's fused kernel, with the derivatives that the kernel lacks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax(q k^T / sqrt(d_k)) v, (B, heads, N, d_k) like each argument.

    The fused kernel never holds all N x N weights. It has no forward-mode derivative and no second
    one, so those are taken of the formula itself, with its weights in memory.
    """
    if torch.compiler.is_compiling():
        return F.scaled_dot_product_attention(q, k, v)
    return _Attention.apply(q, k, v)


def weights(q: Tensor, k: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    """Return softmax(q k^T / sqrt(d_k) + bias), (B, heads, N, N), all of it in memory."""
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5 + bias, dim=-1)


def _formula(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return weights(q, k) @ v


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v)

    @staticmethod
    def setup_context(
        ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: Tensor
    ) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, ...]:
        twice = torch.is_grad_enabled()  # the gradient is to be differentiated in its turn
        function = _formula if twice else F.scaled_dot_product_attention
        return torch.func.vjp(function, *ctx.saved_tensors)[1](grad)

    @staticmethod
    def jvp(ctx: torch.autograd.function.FunctionCtx, dq: Tensor, dk: Tensor, dv: Tensor) -> Tensor:
        q, k, v = ctx.saved_tensors
        A = weights(q, k)  # (B, heads, N, N)
        dscores = (dq @ k.mT + q @ dk.mT) / q.shape[-1] ** 0.5
        dA = A * (dscores - (A * dscores).sum(-1, keepdim=True))
        return dA @ v + A @ dv

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Tensor, int]:
        batches = [
            x.expand(info.batch_size, *x.shape) if axis is None else x.movedim(axis, 0)
            for x, axis in zip(inputs, in_dims, strict=True)
        ]  # (V, B, heads, N, d_k) each
        out = _Attention.apply(*(x.flatten(0, 1) for x in batches))  # (V*B, heads, N, d_k)
        return out.unflatten(0, batches[0].shape[:2]), 0
