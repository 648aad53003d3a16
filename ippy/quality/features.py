"""The pretrained AlexNet features behind LPIPS and the perceptual loss, where they can be had.

torchvision keeps the file (233 MB, downloaded once) in its cache, in ``TORCH_HOME`` if that is set.
"""

from __future__ import annotations

import functools
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import torch
from torch import Tensor, nn

MISSING_FEATURES = (
    "The pretrained AlexNet features are missing, so LPIPS and the perceptual loss are left out. "
    "To get them (233 MB, once), run this with a network connection: "
    "python -c \"from torchvision.models import alexnet; alexnet(weights='DEFAULT')\""
)
MIN_SIZE = 31
"""Smallest height and width, in pixels, that the five layers can take."""

CONNECTION_TIMEOUT = 10.0  # seconds


class AlexNetFeatures(nn.Module):
    """The outputs of AlexNet's five ReLUs after its convolutions, without gradients of their own.

    Krizhevsky et al., ImageNet classification with deep convolutional neural networks, NIPS 2012.
    """

    def __init__(self) -> None:
        from torchvision.models import alexnet  # seconds of importing

        super().__init__()
        self.layers = alexnet().features[:12]  # the last pooling is not used

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map ImageNet-normalised images (B, 3, H, W) to 5 tensors (B, C_l, H_l, W_l)."""
        outputs = []
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                outputs.append(x)
        return tuple(outputs)


def features_available() -> bool:
    """Say whether the features are there or can be downloaded; print nothing either way.

    The first call downloads them where that is possible; the answer is remembered.
    """
    return _pretrained() is not None


def alexnet_features() -> AlexNetFeatures:
    """Return the pretrained features, frozen, on the CPU.

    Raises:
        FileNotFoundError: They are not there and can't be downloaded.
    """
    pretrained = _pretrained()
    if pretrained is None:
        raise FileNotFoundError(MISSING_FEATURES)
    with torch.device("meta"):  # no random initialisation of weights that are replaced at once
        network = AlexNetFeatures()
    network.layers.load_state_dict(
        {key: value.clone() for key, value in pretrained.items()}, assign=True
    )
    return network.eval().requires_grad_(False)


def check_colours(x: Tensor) -> None:
    """Check that the images ``x``, (B, C, H, W), are grey or red, green and blue.

    Raises:
        ValueError: C is neither 1 nor 3.
    """
    if not torch.jit.is_tracing() and x.shape[1] not in (1, 3):
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (B, 1, H, W) or (B, 3, H, W)")


def _pretrained() -> dict[str, Tensor] | None:
    """Return the state of AlexNet's convolutions, or None where it can't be had."""
    from torchvision.models import AlexNet_Weights

    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(AlexNet_Weights.DEFAULT.url).name
    return _loaded(file.stat().st_mtime_ns if file.is_file() else None)


@functools.cache
def _loaded(written: int | None) -> dict[str, Tensor] | None:
    """Load the file, or download it; a failure is remembered until the file is another one.

    Args:
        written: When the file was, or None if there is none.
    """
    from torchvision.models import AlexNet_Weights

    try:
        with _quiet(), _connection_timeout(CONNECTION_TIMEOUT):
            state = AlexNet_Weights.DEFAULT.get_state_dict(
                progress=False, check_hash=True, map_location="cpu", weights_only=True
            )
        prefix = "features."
        state = {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
        with torch.device("meta"):
            AlexNetFeatures().layers.load_state_dict(state, assign=True)
    except Exception:  # no network, or a file that is cut short: each loader raises what it likes
        return None
    return state


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the loader's words, which name the reader's folders, out of a notebook's output."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


@contextmanager
def _connection_timeout(seconds: float) -> Iterator[None]:
    """Give up on a network that does not answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
