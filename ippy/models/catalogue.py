"""The models by name, and how each is shown and made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ippy.base.checks import check_choice, check_integer
from ippy.models.cnn import LossStudyCNN, ResCNN, SimpleCNN
from ippy.models.gated import GatedUNet
from ippy.models.hybrid import HybridUNet
from ippy.models.relative import RelativeHybrid
from ippy.models.unet import AttentionUNet, ResidualUNet, SimpleUNet, UNetPP
from ippy.models.vit import ViTReconstructor


@dataclass(frozen=True)
class ModelSpec:
    """How a model is shown and how it is made: ``cls(**kwargs)``."""

    label: str
    cls: type[nn.Module]
    kwargs: Mapping[str, Any]


_CNN = {"in_ch": 1, "out_ch": 1, "n_filters": 32}
_UNET = {"in_ch": 1, "out_ch": 1, "base_ch": 32}
_GATED = {"in_ch": 1, "out_ch": 1, "base_ch": 24}
_VIT = {
    "img_size": 256,
    "patch_size": 8,
    "in_ch": 1,
    "out_ch": 1,
    "embed_dim": 128,
    "depth": 4,
    "num_heads": 4,
    "mlp_dim": 256,
}

_COMPARED = {
    "CNN": ModelSpec("CNN", SimpleCNN, _CNN),
    "ResCNN": ModelSpec("ResCNN", ResCNN, _CNN),
    "UNet": ModelSpec("UNet", SimpleUNet, _UNET),
    "ResidualUNet": ModelSpec("Residual UNet", ResidualUNet, _UNET),
    "AttentionUNet": ModelSpec("Attention UNet", AttentionUNet, _UNET),
    "UNetPP": ModelSpec("UNet++", UNetPP, _UNET),
    "ViT": ModelSpec("ViT", ViTReconstructor, _VIT),
}
_SPECS = {
    **_COMPARED,
    "GatedUNet": ModelSpec("Gated UNet", GatedUNet, _GATED),
    "HybridUNet": ModelSpec("Hybrid UNet", HybridUNet, _GATED),
    "RelativeHybrid": ModelSpec("Relative hybrid", RelativeHybrid, {"img_size": 256}),
    "LossStudyCNN": ModelSpec(
        "Loss study CNN", LossStudyCNN, {"in_ch": 1, "out_ch": 1, "n_filters": 16}
    ),
}

NAMES: tuple[str, ...] = tuple(_COMPARED)
"""The seven models that are trained and compared, in the order in which they are shown."""

LABELS: dict[str, str] = {name: entry.label for name, entry in _SPECS.items()}
"""What a figure or a table shows for each name."""


def spec(name: str) -> ModelSpec:
    """Return the label, the class and the arguments of a model.

    Args:
        name: One of :data:`NAMES`, "GatedUNet", "HybridUNet", "RelativeHybrid" or "LossStudyCNN".

    Raises:
        ValueError: There is no model of that name.
    """
    check_choice("name", name, tuple(_SPECS))
    return _SPECS[name]


def build(name: str, *, seed: int | None = None) -> nn.Module:
    """Build a model with fresh weights.

    Args:
        name: One of :data:`NAMES`, "GatedUNet", "HybridUNet", "RelativeHybrid" or "LossStudyCNN".
        seed: Seed of the initial weights; PyTorch's global random state is left as it was. None
            draws them from that global state, as PyTorch does.

    Raises:
        ValueError: There is no model of that name, or ``seed`` is negative.
    """
    entry = spec(name)
    if seed is None:
        return entry.cls(**entry.kwargs)
    return seeded(lambda: entry.cls(**entry.kwargs), check_integer("seed", seed))


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return what ``make`` returns with torch's global random state at a seed; it is put back."""
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):  # drawn there, on any machine
        torch.default_generator.manual_seed(seed)
        return make()
