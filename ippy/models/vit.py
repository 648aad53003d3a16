"""A Vision Transformer that maps an image to an image.

Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021. In the shape comments P is the patch's
side in pixels, H_p x W_p the grid of patches, N = H_p * W_p the tokens and d the embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.base.checks import LARGEST_COUNT, check_counts, check_integer, check_sides
from ippy.base.images import check_match, check_tensor, check_values
from ippy.models.attention import attend
from ippy.models.base import Model, check_same_channels, entry
from ippy.models.patches import pad_to_multiple, patchify, unpatchify

__all__ = [
    "PatchEmbed",
    "TransformerEncoderBlock",
    "ViTReconstructor",
    "patchify",
    "unpatchify",
]


class PatchEmbed(Model):
    """Embed each patch by one linear map: a convolution, stride = kernel = P.

    Args:
        in_ch: Channels of the images.
        embed_dim: d, the length of a token.
        patch_size: P, in pixels.

    Raises:
        ValueError: A number is out of range; or P does not divide H and W.
    """

    def __init__(
        self,
        in_ch: int = 1,
        embed_dim: int = 128,
        patch_size: int = 8,
    ) -> None:
        super().__init__()
        self.patch_size = self.min_size = patch_size
        self.proj = nn.Conv2d(in_ch, embed_dim, patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Map (B, in_ch, H, W) to tokens (B, N, d) and a grid (H_p, W_p)."""
        h = self.proj(x)  # (B, d, H_p, W_p)
        tokens = h.flatten(2).transpose(1, 2)  # (B, N, d)
        return tokens, (h.shape[2], h.shape[3])

    def check_input(self, x: Tensor) -> None:
        """Check that ``x`` is images that can be cut into whole patches."""
        super().check_input(x)
        (H, W), P = x.shape[2:], self.patch_size
        if H % P or W % P:
            wanted = f"expected multiples of the patch_size {P}"
            raise ValueError(f"x is {H}x{W} pixels; {wanted}")

    check_settings = staticmethod(check_counts)


class TransformerEncoderBlock(Model):
    """x + attention(norm(x)), then x + MLP(norm(x)), with an exact GELU.

    Vaswani et al., Attention is all you need, NeurIPS 2017.

    Args:
        embed_dim: d, the length of a token.
        num_heads: Heads, each with queries, keys and values of d / num_heads numbers.
        mlp_dim: Width of the MLP's hidden layer.

    Raises:
        ValueError: ``embed_dim`` is not a multiple of ``num_heads``, or a
            number is out of range.
    """

    def __init__(self, embed_dim: int, num_heads: int, mlp_dim: int) -> None:
        super().__init__()
        d = embed_dim
        self.norm1 = nn.LayerNorm(d)
        self.attn = nn.MultiheadAttention(d, num_heads, batch_first=True)
        self.norm2 = nn.LayerNorm(d)
        self.mlp = nn.Sequential(
            nn.Linear(d, mlp_dim),
            nn.GELU(),
            nn.Linear(mlp_dim, d),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, N, d) to tokens (B, N, d)."""
        x = x + self.attention(self.norm1(x))  # (B, N, d)
        return x + self.mlp(self.norm2(x))  # (B, N, d)

    def attention(self, h: Tensor) -> Tensor:
        """Map (B, N, d) to (B, N, d) as ``self.attn`` does, in less memory.

        Without gradients, ``nn.MultiheadAttention`` stores all N x N weights.
        """
        return self.join(attend(*self.queries_keys_values(h)))

    def queries_keys_values(self, h: Tensor) -> Tensor:
        """Map (B, N, d) to Q, K and V, (3, B, heads, N, d_k)."""
        (B, N, d), heads = h.shape, self.attn.num_heads
        qkv = F.linear(h, self.attn.in_proj_weight, self.attn.in_proj_bias)
        return qkv.view(B, N, 3, heads, d // heads).permute(2, 0, 3, 1, 4)

    def join(self, heads: Tensor) -> Tensor:
        """Map what the heads give, (B, heads, N, d_k), to tokens (B, N, d)."""
        return self.attn.out_proj(heads.transpose(1, 2).flatten(2))  # (B, N, d)

    @staticmethod
    def check_settings(*, embed_dim: int, num_heads: int, mlp_dim: int) -> None:
        """Check that all settings are counts, and heads of equal length."""
        check_counts(mlp_dim=mlp_dim)
        check_multiple(embed_dim=embed_dim, num_heads=num_heads)

    @entry("check_input")
    def attention_weights(self, x: Tensor) -> Tensor:
        """Map (B, N, d) to softmax(Q K^T / sqrt(d_k)), (B, heads, N, N).

        Row i says how much token i takes from each token; it sums to 1.
        """
        h = self.norm1(x)  # (B, N, d)
        return self.attn(h, h, h, average_attn_weights=False)[1]

    def check_input(self, x: Tensor) -> None:
        """Check that ``x`` is a batch of tokens (B, N, d)."""
        (d,) = self.norm1.normalized_shape
        expected = f"tokens (B, N, {d})"
        check_tensor("x", x, axes=(3,), expected=expected, sizes={2: d})
        check_match("x", x, self.norm1.weight)
        check_values("x", x)


class ViTReconstructor(Model):
    """Patches -> tokens with positions -> encoder -> convolutional decoder, plus the input.

    Args:
        img_size: Nominal side of the images in pixels; it sets the grid of positions.
        patch_size: P, in pixels.
        in_ch: Channels of the input.
        out_ch: Channels of the output, equal to ``in_ch`` because the input is added.
        embed_dim: d, the length of a token.
        depth: Number of encoder blocks.
        num_heads: Attention heads of each block.
        mlp_dim: Width of the MLP's hidden layer in each block.

    Raises:
        ValueError: ``img_size`` is not a multiple of ``patch_size``, ``embed_dim`` is not one of
            ``num_heads`` or below 4, ``in_ch`` and ``out_ch`` differ, or a number is out of range.
    """

    def __init__(
        self,
        img_size: int = 256,
        patch_size: int = 8,
        in_ch: int = 1,
        out_ch: int = 1,
        embed_dim: int = 128,
        depth: int = 4,
        num_heads: int = 4,
        mlp_dim: int = 256,
    ) -> None:
        super().__init__()
        self.patch_size = P = patch_size
        self.grid_size = img_size // P
        d = embed_dim
        self.patch_embed = PatchEmbed(in_ch, d, P)
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid_size**2, d))
        self.encoder = nn.ModuleList(
            TransformerEncoderBlock(d, num_heads, mlp_dim) for _ in range(depth)
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(d, d // 2, P, stride=P),
            nn.ReLU(),
            nn.Conv2d(d // 2, d // 2, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(d // 2, d // 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(d // 4, out_ch, 1),
        )

    def forward(self, x: Tensor, origin: Tensor | None = None) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W), for any H and W.

        Args:
            x: Images; sides that are no multiples of P are padded, then cropped.
            origin: Where crops lie: row and column of their first patch in the
                nominal grid, (B, 2) integers; None where the images are whole.

        Raises:
            ValueError: ``x`` or ``origin`` has another shape, ``x`` holds NaN
                or infinity, or a crop is not inside the nominal grid.
        """
        h, (H_p, W_p) = self.embed(x, origin)  # (B, N, d)
        for block in self.encoder:
            h = block(h)  # (B, N, d)
        h = h.mT.reshape(-1, h.shape[2], H_p, W_p)  # (B, d, H_p, W_p)
        H, W = x.shape[2:]
        return x + self.decoder(h)[..., :H, :W]  # (B, C, H, W)

    @entry("check_input")
    def embed(self, x: Tensor, origin: Tensor | None = None) -> tuple[Tensor, tuple[int, int]]:
        """Return the tokens that the encoder starts from, (B, N, d), and their grid (H_p, W_p)."""
        tokens, grid = self.patch_embed(pad_to_multiple(x, self.patch_size))
        return tokens + self.positions(grid, origin), grid  # (B, N, d)

    @entry("check_positions")
    def positions(self, grid: tuple[int, int], origin: Tensor | None = None) -> Tensor:
        """Return the position vectors for a grid of patches.

        Args:
            grid: (H_p, W_p).
            origin: (B, 2), as for :meth:`forward`.

        Returns:
            (B, N, d): the window of the learned grid that starts at ``origin``. Without an origin
            (1, N, d): the learned grid, interpolated (bicubic, averaged first if both sides shrink)
            where ``grid`` is another.

        Raises:
            ValueError: A window is not inside the learned grid.
        """
        G, d = self.grid_size, self.pos_embed.shape[2]
        if origin is None and tuple(grid) == (G, G):
            return self.pos_embed  # (1, N, d)
        if origin is None:
            image = self.pos_embed.transpose(1, 2).reshape(1, d, G, G)  # (1, d, G, G)
            exact = image.to(torch.promote_types(image.dtype, torch.float32))
            exact = F.interpolate(exact, size=grid, mode="bicubic", antialias=max(grid) < G)
            return exact.to(image.dtype).flatten(2).transpose(1, 2)  # (1, N, d)
        origin = origin.to(self.pos_embed.device)
        rows = origin[:, :1] + torch.arange(grid[0], device=origin.device)  # (B, H_p)
        cols = origin[:, 1:] + torch.arange(grid[1], device=origin.device)  # (B, W_p)
        index = rows[:, :, None] * G + cols[:, None, :]  # (B, H_p, W_p)
        return self.pos_embed[0, index.flatten(1)]  # (B, N, d)

    @entry("check_input")
    def attention_maps(self, x: Tensor) -> list[Tensor]:
        """Return the attention weights of each block, (B, heads, N, N), for images (B, C, H, W)."""
        h, _ = self.embed(x)  # (B, N, d)
        maps = []
        for block in self.encoder:
            maps.append(block.attention_weights(h))  # (B, heads, N, N)
            h = block(h)  # (B, N, d)
        return maps

    @staticmethod
    def check_settings(
        *,
        img_size: int,
        patch_size: int,
        in_ch: int,
        out_ch: int,
        embed_dim: int,
        depth: int,
        **of_blocks: int,
    ) -> None:
        """Check sides, channels and counts; the encoder's blocks check heads and MLP."""
        check_multiple(img_size=img_size, patch_size=patch_size)
        check_counts(in_ch=in_ch, out_ch=out_ch, depth=depth)
        check_same_channels(in_ch, out_ch)
        check_integer("embed_dim", embed_dim, least=4, most=LARGEST_COUNT)  # decoded from d // 4

    def check_input(self, x: Tensor, origin: Tensor | None = None) -> None:
        """Check images, and the places of their crops."""
        super().check_input(x)
        if origin is not None:
            P = self.patch_size
            self.check_positions((-(-x.shape[2] // P), -(-x.shape[3] // P)), origin)
            if len(origin) not in (1, len(x)):
                raise ValueError(f"origin has {len(origin)} rows for {len(x)} images x")

    def check_positions(self, grid: tuple[int, int], origin: Tensor | None = None) -> None:
        """Check that there are positions for a grid of patches, and for windows of that size."""
        check_sides("grid", grid)
        if origin is not None:
            integers = (torch.int64, torch.int32)
            check_tensor(
                "origin", origin, axes=(2,), expected="(B, 2)", sizes={1: 2}, dtypes=integers
            )
            for axis, side in enumerate(grid):
                last = self.grid_size - side
                check_values(f"origin[:, {axis}]", origin[:, axis], least=0, most=last, wait=True)


def check_multiple(**sides: int) -> None:
    """Check two counts by name, the first of which is a multiple of the second.

    Raises:
        ValueError: It is not, or one is out of range.
    """
    check_counts(**sides)
    (name, value), (divisor_name, divisor) = sides.items()
    if value % divisor:
        raise ValueError(f"{name} {value} is not a multiple of {divisor_name} {divisor}")
