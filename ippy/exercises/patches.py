"""Exercises on Vision Transformers in code: cutting, joining, and another patch size."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.exercises.calling import call
from ippy.exercises.core import Exercise, Wrong
from ippy.exercises.judging import check_gradient, compare, fresh, fresh_integer
from ippy.models import build
from ippy.models.vit import ViTReconstructor, patchify, unpatchify


def judge_patchify(answer: Callable[[Tensor, int], Tensor]) -> None:
    """Images (B, C, H, W) -> (B, N, C*P*P); patches and their pixels row by row, channels first."""
    for B, C, H_p, W_p, P in ((2, 1, 3, 3, 4), (2, 3, 2, 4, 5)):
        x = fresh(B, C, H_p * P, W_p * P)
        cut = x.reshape(B, C, H_p, P, W_p, P)
        shape = (B, H_p * W_p, C * P * P)
        compare(
            call(answer, x=x, patch_size=P),
            patchify(x, P),
            mistakes={
                "A `reshape` alone leaves the numbers in the order in which they lie in memory: "
                "each of your patches is a piece of a row of pixels, not a square.": (
                    x.reshape(shape)
                ),
                "The patches are numbered column by column; expected row by row.": (
                    cut.permute(0, 4, 2, 1, 3, 5).reshape(shape)
                ),
                "The patches are transposed: inside a patch the pixels run column by column.": (
                    cut.permute(0, 2, 4, 1, 5, 3).reshape(shape)
                ),
                "Both the patches and their pixels run column by column: rows and columns are "
                "exchanged throughout.": cut.permute(0, 4, 2, 1, 5, 3).reshape(shape),
                "The channels come last within a patch; expected all pixels of the first channel, "
                "then all of the second.": cut.permute(0, 2, 4, 3, 5, 1).reshape(shape),
                "The axes are exchanged: each patch is a column of your result. This is the order "
                "in which `F.unfold` gives them.": patchify(x, P).transpose(1, 2),
                "The channels became patches of their own; expected all channels of a patch in "
                "one row.": (cut.permute(0, 1, 2, 4, 3, 5).reshape(B, C * H_p * W_p, P * P)),
            },
        )
    check_gradient(answer, patchify, x=fresh(1, 2, 8, 12).requires_grad_(), patch_size=4)


def judge_unpatchify(answer: Callable[[Tensor, int, tuple[int, int]], Tensor]) -> None:
    """(B, N, C*P*P) -> images (B, C, H, W), the inverse of patchify."""
    for B, C, H_p, W_p, P in ((2, 3, 2, 4, 5), (2, 1, 3, 3, 4)):
        patches = fresh(B, H_p * W_p, C * P * P)
        laid = patches.reshape(B, H_p, W_p, C, P, P)
        shape = (B, C, H_p * P, W_p * P)
        compare(
            call(answer, patches=patches, patch_size=P, grid=(H_p, W_p)),
            unpatchify(patches, P, (H_p, W_p)),
            mistakes={
                "A `reshape` alone spreads every patch over whole rows of the image instead of "
                "over a square.": patches.reshape(shape),
                "The rows of the grid and the rows inside a patch are not interleaved: before the "
                "last `reshape`, the axis of a patch's rows must follow that of the grid's rows.": (
                    laid.permute(0, 3, 1, 2, 4, 5).reshape(shape)
                ),
                "Every patch is in its place, but transposed.": (
                    laid.permute(0, 3, 1, 5, 2, 4).reshape(shape)
                ),
                "You fill the grid column by column; the patches come row by row.": (
                    patches.reshape(B, W_p, H_p, C, P, P).permute(0, 3, 2, 4, 1, 5).reshape(shape)
                ),
                "The channels are taken as the last axis of a patch; they are the first.": (
                    patches.reshape(B, H_p, W_p, P, P, C).permute(0, 5, 1, 3, 2, 4).reshape(shape)
                ),
                "Height and width of the grid are exchanged.": (
                    patches.reshape(B, W_p, H_p, C, P, P)
                    .permute(0, 3, 1, 4, 2, 5)
                    .reshape(B, C, W_p * P, H_p * P)
                ),
            },
        )
    check_gradient(
        answer, unpatchify, patches=fresh(1, 6, 32).requires_grad_(), patch_size=4, grid=(2, 3)
    )


def judge_patch_size(answer: Callable[[ViTReconstructor, int], nn.Module]) -> None:
    """A trained ViT (P = 8) -> a new one for P = 16 or 32 that keeps what does not depend on P."""
    trained = build("ViT", seed=fresh_integer(0, 10**6))
    trained.pos_embed.data.copy_(fresh(*trained.pos_embed.shape) - 0.5)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    for P in (16, 32):
        model = call(answer, trained=trained, patch_size=P)
        if not isinstance(model, ViTReconstructor):
            raise Wrong(f"Expected a `ViTReconstructor`, this is of type `{type(model).__name__}`.")
        if model is trained:
            raise Wrong("This is the trained model itself; expected a new one beside it.")
        if any(not torch.equal(v, before[n]) for n, v in trained.state_dict().items()):
            raise Wrong("Afterwards the trained model has other weights than before.")
        new, wanted = model.state_dict(), ViTReconstructor(patch_size=P).state_dict()
        for name, value in wanted.items():
            _compare_weights(name, new, value.shape, before, P)
        with torch.no_grad():
            new["pos_embed"].add_(1), new["encoder.0.norm1.weight"].add_(1)
        if any(not torch.equal(v, before[n]) for n, v in trained.state_dict().items()):
            raise Wrong(
                "The two models share tensors: training the new one would change the old one. "
                "Copy the numbers (`load_state_dict` does)."
            )
        y = fresh(1, 1, 96, 64)
        if tuple(model(y).shape) != tuple(y.shape):
            raise Wrong(f"A measurement of shape {tuple(y.shape)} comes back with another shape.")


def _compare_weights(
    name: str, new: dict[str, Tensor], shape: torch.Size, old: dict[str, Tensor], P: int
) -> None:
    """Compare one entry of the new model's weights with what it should be."""
    if name not in new or new[name].shape != shape:
        came = tuple(new[name].shape) if name in new else "nothing"
        raise Wrong(f"For P = {P}, `{name}` should have shape {tuple(shape)}; it has {came}.")
    if name == "pos_embed":
        image = old[name].transpose(1, 2).reshape(1, -1, 32, 32)
        image = F.interpolate(image, size=2 * (256 // P,), mode="bicubic", align_corners=False)
        if _close(new[name], image.flatten(2).transpose(1, 2)):
            return
        if _close(new[name], old[name][:, : shape[1]]):
            raise Wrong(
                "The positions are cut off: the new model gets those of the first rows of the old "
                "grid. They must be interpolated over the whole image."
            )
        if not new[name].any():
            raise Wrong("The positions start from zero again; what was learned is thrown away.")
        raise Wrong("The positions are not those of the trained model on the new grid.")
    if old[name].shape == shape and not _close(new[name], old[name]):
        raise Wrong(
            f"`{name}` has the same shape in both models, but other numbers: its training is lost."
        )


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-5)


EXERCISES = (
    Exercise(
        name="patchify",
        kind="code",
        hints=(
            "First split each of the two long axes in two, without moving anything: H into "
            "(H/P, P) and W into (W/P, P). That is one `reshape`.",
            "Then bring the six axes into the order in which they should vary: which of them "
            "number the patches, and which the pixels inside a patch?",
            "The slowest axis comes first: image, row of the grid, column of the grid, channel, "
            "row in the patch, column in the patch. One `permute`, then one `reshape`.",
        ),
        why="Every ViT begins with this line, and a mistake in it raises no error: a network "
        "trained on scrambled patches still trains, only worse.",
        judge=judge_patchify,
    ),
    Exercise(
        name="unpatchify",
        kind="code",
        hints=(
            "Go through your `patchify` from the last line to the first and undo each one.",
            "How many channels are there? The length of a patch and P say so.",
            "Unpack to (B, H/P, W/P, C, P, P). In the image, which two axes make up a row index? "
            "They must be neighbours before they are joined.",
        ),
        why="With its inverse at hand a reshape can be tested: cut, join, compare. That test is "
        "exact, since numbers are moved and nothing is computed.",
        judge=judge_unpatchify,
    ),
    Exercise(
        name="patch-size",
        kind="code",
        hints=(
            "Print the names and shapes of both models' `state_dict()`. Only three kinds of "
            "entries differ. Which, and why?",
            "Copy what has the same shape; leave the embedding and the first layer of the decoder "
            "as they were initialised.",
            "The positions have another number of tokens, but the same meaning: the exercise "
            "`positions` is what they need.",
        ),
        why="Fine-tuning at another patch size or resolution starts like this. What knows of "
        "pixels must be learned again; what knows only of tokens is kept.",
        judge=judge_patch_size,
    ),
)
