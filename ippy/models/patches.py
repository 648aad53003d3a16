"""Images as patches and back: P is a patch's side in pixels, N = H_p * W_p their number."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def patchify(x: Tensor, patch_size: int) -> Tensor:
    """Cut images into patches without overlap, row by row, each flattened.

    Args:
        x: Images (B, C, H, W), H and W multiples of P.
        patch_size: P, in pixels.

    Returns:
        Patches (B, N, C*P*P).
    """
    (B, C, H, W), P = x.shape, patch_size
    x = x.reshape(B, C, H // P, P, W // P, P)  # (B, C, H_p, P, W_p, P)
    x = x.permute(0, 2, 4, 1, 3, 5)  # (B, H_p, W_p, C, P, P)
    return x.reshape(B, (H // P) * (W // P), C * P * P)  # (B, N, C*P*P)


def unpatchify(
    patches: Tensor,
    patch_size: int,
    grid: tuple[int, int],
) -> Tensor:
    """Put patches back in their places: the inverse of :func:`patchify`.

    Args:
        patches: Patches (B, N, C*P*P).
        patch_size: P, in pixels.
        grid: (H_p, W_p), with H_p * W_p = N.

    Returns:
        Images (B, C, H_p*P, W_p*P).
    """
    (B, _, length), P, (H_p, W_p) = patches.shape, patch_size, grid
    C = length // (P * P)
    x = patches.reshape(B, H_p, W_p, C, P, P)  # (B, H_p, W_p, C, P, P)
    x = x.permute(0, 3, 1, 4, 2, 5)  # (B, C, H_p, P, W_p, P)
    return x.reshape(B, C, H_p * P, W_p * P)  # (B, C, H, W)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad images (B, C, H, W) below and to the right until ``multiple`` divides H and W.

    The border is reflected, or repeated where the image is too small for that.
    """
    H, W = x.shape[-2:]
    bottom, right = -H % multiple, -W % multiple
    if bottom == 0 and right == 0:
        return x
    mode = "reflect" if bottom < H and right < W else "replicate"
    return F.pad(x, (0, right, 0, bottom), mode=mode)
