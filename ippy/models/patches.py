"""Images as patches and back: P is a patch's side in pixels, N = H_p * W_p their number."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from ippy.base.checks import check_counts, check_tensor


def patchify(x: Tensor, patch_size: int) -> Tensor:
    """Cut images into patches that do not overlap, row by row, each flattened.

    Args:
        x: Images (B, C, H, W), H and W multiples of P.
        patch_size: P, in pixels.

    Returns:
        Patches (B, N, C*P*P).

    Raises:
        TypeError: ``x`` is not a tensor of floating-point numbers, or P not a whole number.
        ValueError: ``x`` is not (B, C, H, W), or H or W is not a multiple of P.
    """
    check_tensor("x", x, axes=(4,), expected="(B, C, H, W)")
    check_divides(patch_size, x)
    (B, C, H, W), P = x.shape, patch_size
    x = x.reshape(B, C, H // P, P, W // P, P)  # (B, C, H_p, P, W_p, P)
    x = x.permute(0, 2, 4, 1, 3, 5)  # (B, H_p, W_p, C, P, P)
    return x.reshape(B, (H // P) * (W // P), C * P * P)  # (B, N, C*P*P)


def unpatchify(patches: Tensor, patch_size: int, grid: tuple[int, int]) -> Tensor:
    """Put patches back in their places: the inverse of :func:`patchify`.

    Args:
        patches: Patches (B, N, C*P*P).
        patch_size: P, in pixels.
        grid: (H_p, W_p), with H_p * W_p = N.

    Returns:
        Images (B, C, H_p*P, W_p*P).

    Raises:
        TypeError: ``patches`` is not a tensor of floating-point numbers, or another argument is of
            the wrong type.
        ValueError: The patches do not fill the grid, or their length is not a multiple of P*P.
    """
    check_tensor("patches", patches, axes=(3,), expected="(B, N, C*P*P)")
    check_counts(patch_size=patch_size)
    check_grid(grid)
    (B, N, length), P, (H_p, W_p) = patches.shape, patch_size, grid
    if N != H_p * W_p or length % (P * P):
        raise ValueError(
            f"patches have shape {tuple(patches.shape)}; expected (B, {H_p * W_p}, C*{P * P}) "
            f"for a grid of {H_p}x{W_p} patches of {P}x{P} pixels"
        )
    C = length // (P * P)
    x = patches.reshape(B, H_p, W_p, C, P, P)  # (B, H_p, W_p, C, P, P)
    x = x.permute(0, 3, 1, 4, 2, 5)  # (B, C, H_p, P, W_p, P)
    return x.reshape(B, C, H_p * P, W_p * P)  # (B, C, H, W)


def check_divides(patch_size: int, x: Tensor) -> None:
    """Check that images ``x``, (B, C, H, W), can be cut into whole patches.

    Raises:
        TypeError: ``patch_size`` is not a whole number.
        ValueError: It is out of range, or does not divide H and W.
    """
    check_counts(patch_size=patch_size)
    (H, W), P = x.shape[2:], patch_size
    if H % P or W % P:
        raise ValueError(f"x is {H}x{W} pixels; expected multiples of the patch_size {P}")


def check_grid(grid: tuple[int, int]) -> None:
    """Check the argument ``grid``: a pair (H_p, W_p) of whole numbers, 1 or more.

    Raises:
        TypeError: It is not a pair of whole numbers.
        ValueError: A number is out of range.
    """
    if not isinstance(grid, (tuple, list)) or len(grid) != 2:
        raise TypeError(f"grid is a {type(grid).__name__}; expected a pair (H_p, W_p)")
    check_counts(**{"grid[0]": grid[0], "grid[1]": grid[1]})


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
