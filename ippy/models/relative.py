"""Attention that knows how far apart its tokens lie: a learned number for each offset.

The relative position bias is that of Liu et al., Swin Transformer, ICCV 2021; there it is for the
tokens of fixed windows, here for a window around each token. Shapes are named as in
:mod:`ippy.models.vit`.
"""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.base.checks import check_counts
from ippy.models.attention import weights
from ippy.models.base import Model, entry
from ippy.models.hybrid import ViTBesideGated
from ippy.models.patches import pad_to_multiple, unpatchify
from ippy.models.vit import PatchEmbed, TransformerEncoderBlock

PACE = 16  # of the bias: AdamW moves it by 0.0005 a step, and a softmax wants differences of 5
LARGEST = 2**26  # attention weights made at a time; for a gradient all of them are kept


class RelativeBlock(TransformerEncoderBlock):
    """A transformer block whose heads learn, for each offset, how much a token there counts.

    Its attention is softmax(Q K^T / sqrt(d_k) + b) V, where b_ij depends on nothing but how many
    rows and columns lie from token i to token j. So what one token learns of an offset holds for
    all of them.

    Args:
        embed_dim: d, the length of a token.
        num_heads: Heads, each with queries, keys and values of d / num_heads numbers.
        mlp_dim: Width of the MLP's hidden layer.
        reach: Rows and columns of tokens that a token looks, each way. What lies farther has no
            weight, so the attention of an image of any size is that of a window.

    Raises:
        ValueError: ``embed_dim`` is not a multiple of ``num_heads``, or a number is out of range.
    """

    def __init__(self, embed_dim: int, num_heads: int, mlp_dim: int, reach: int) -> None:
        super().__init__(embed_dim, num_heads, mlp_dim)
        self.reach = reach
        self.offsets = nn.Parameter(torch.zeros(1, num_heads, 2 * reach + 1, 2 * reach + 1))

    def forward(self, x: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Map tokens (B, N, d) of a grid (H_p, W_p), or of a square, to tokens (B, N, d)."""
        x = x + self.attention(self.norm1(x), grid)  # (B, N, d)
        return x + self.mlp(self.norm2(x))  # (B, N, d)

    def attention(self, h: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Map (B, N, d) to (B, N, d): the weights times the values, joined.

        The weights of an image of many tokens are made for a few of its rows at a time.
        """
        q, k, v = self.queries_keys_values(h)  # (B, heads, N, d_k)
        H_p, W_p = grid = grid or _square(h)
        at_a_time = max(1, LARGEST // (W_p * k[..., 0].numel()))
        by_rows = q.unflatten(2, grid)  # (B, heads, H_p, W_p, d_k)
        parts = [
            weights(by_rows[:, :, rows].flatten(2, 3), k, self.bias(grid, rows)) @ v
            for rows in (slice(row, row + at_a_time) for row in range(0, H_p, at_a_time))
        ]
        return self.join(torch.cat(parts, dim=2))  # (B, N, d)

    @entry("check_input")
    def attention_weights(self, x: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Map (B, N, d) to softmax(Q K^T / sqrt(d_k) + b), (B, heads, N, N)."""
        q, k, _ = self.queries_keys_values(self.norm1(x))
        return weights(q, k, self.bias(grid or _square(x)))

    def bias(self, grid: tuple[int, int], rows: slice = slice(None)) -> Tensor:
        """Return b for the tokens of a grid (H_p, W_p), or of its rows: (heads, N, N).

        Beyond the reach it is minus infinity.
        """
        down, right = (self._offsets(side) for side in grid)
        table = F.pad(PACE * self.offsets[0], (1, 1, 1, 1), value=-torch.inf)  # with what is beyond
        by_places = table[:, down[rows, None, :, None], right[None, :, None, :]]
        return by_places.flatten(3, 4).flatten(1, 2)  # from (heads, H_p, W_p, H_p, W_p)

    def check_input(self, x: Tensor, grid: tuple[int, int] | None = None) -> None:
        """Check that ``x`` is tokens (B, N, d), and that they fill the grid."""
        super().check_input(x)
        H_p, W_p = grid or _square(x)
        if H_p * W_p != x.shape[1]:
            given = "no grid is given; expected a square number" if grid is None else f"{grid=}"
            raise ValueError(f"x has {x.shape[1]} tokens, and {given}")

    def _offsets(self, side: int) -> Tensor:
        """Return where in the table the offset from i to j stands, (side, side)."""
        place = torch.arange(side, device=self.offsets.device)
        beyond = self.reach + 1
        return (place - place[:, None]).clamp(-beyond, beyond) + beyond

    @staticmethod
    def check_settings(*, reach: int, **of_block: int) -> None:
        """Check that all settings are counts, and heads of equal length."""
        check_counts(reach=reach)
        TransformerEncoderBlock.check_settings(**of_block)


def _square(tokens: Tensor) -> tuple[int, int]:
    """Return the grid of the tokens (B, N, d) of a square image."""
    side = isqrt(tokens.shape[1])
    return side, side


class RelativeViT(Model):
    """Patches -> tokens -> blocks that know offsets -> pixels by one linear map, plus the input.

    It has no positions, so it need not know where a crop lies.

    Args:
        img_size: Side in pixels of the images, or of the crops, that it is trained on. No offset
            beyond it is ever learned, so no token looks farther, in larger images either.
        patch_size: P, in pixels.
        in_ch: Channels of the input, and of the output.
        embed_dim: d, the length of a token.
        depth: Number of blocks.
        num_heads: Attention heads of each block.
        mlp_dim: Width of the MLP's hidden layer in each block.
        reach: Rows and columns of tokens that a token looks, each way; if None, as far as two
            tokens of an image of ``img_size`` can lie apart.

    Raises:
        ValueError: ``embed_dim`` is not a multiple of ``num_heads``, or a number is out of range.
    """

    def __init__(
        self,
        img_size: int = 256,
        patch_size: int = 8,
        in_ch: int = 1,
        embed_dim: int = 128,
        depth: int = 2,
        num_heads: int = 4,
        mlp_dim: int = 256,
        reach: int | None = None,
    ) -> None:
        super().__init__()
        if reach is None:
            reach = max(1, img_size // patch_size - 1)
        self.patch_embed = PatchEmbed(in_ch, embed_dim, patch_size)
        self.encoder = nn.ModuleList(
            RelativeBlock(embed_dim, num_heads, mlp_dim, reach) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(embed_dim)
        self.to_pixels = nn.Linear(embed_dim, in_ch * patch_size**2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W), for any H and W."""
        (H, W), P = x.shape[2:], self.patch_embed.patch_size
        h, grid = self.patch_embed(pad_to_multiple(x, P))  # (B, N, d)
        for block in self.encoder:
            h = block(h, grid)  # (B, N, d)
        patches = self.to_pixels(self.norm(h))  # (B, N, C*P*P)
        return x + unpatchify(patches, P, grid)[..., :H, :W]  # (B, C, H, W)

    @staticmethod
    def check_settings(*, reach: int | None, **counts: int) -> None:
        """Check that the others are counts; the blocks check their heads and their reach."""
        check_counts(**counts)


class RelativeHybrid(ViTBesideGated):
    """A gated U-Net that gets the image of a relative ViT beside its input: for far and near.

    Args:
        img_size: Side in pixels of the images, or of the crops, that it is trained on.
        reach: Rows and columns of tokens that a token looks, each way; if None, as far as two
            tokens of an image of ``img_size`` can lie apart.

    Raises:
        ValueError: ``img_size`` or ``reach`` is out of range.
    """

    def __init__(self, img_size: int = 256, reach: int | None = None) -> None:
        super().__init__(RelativeViT(img_size, reach=reach))
