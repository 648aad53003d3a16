"""What the models share: one look at the input, where a reader calls, and a way into wrappers."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ippy.base.images import check_batch, check_match

HOLD_A_MODULE = (
    nn.DataParallel,
    nn.parallel.DistributedDataParallel,
    torch.optim.swa_utils.AveragedModel,
)

_thread = threading.local()  # its ``checked`` is true inside a call whose input was checked


def entry(check: str) -> Callable[[Callable], Callable]:
    """Make a method an entry: the module's method ``check`` sees its arguments first.

    Inside an entry, others check nothing: what comes there is the model's own. Nothing is checked
    either while a program is traced, exported or compiled.
    """

    def decorate(method: Callable) -> Callable:
        @functools.wraps(method)
        def checked(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling() or torch.jit.is_tracing():
                return method(self, *args, **kwargs)
            if getattr(_thread, "checked", False):
                return method(self, *args, **kwargs)
            getattr(self, check)(*args, **kwargs)
            _thread.checked = True
            try:
                return method(self, *args, **kwargs)
            finally:
                _thread.checked = False

        return checked

    return decorate


def _checked_first(init: Callable[..., None], check: Callable[..., None]) -> Callable[..., None]:
    """Return an ``__init__`` whose arguments, defaults among them, are checked before."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def checked(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        check(**{name: value for name, value in bound.arguments.items() if name != "self"})
        init(self, *args, **kwargs)

    return checked


class Model(nn.Module):
    """A network on images (B, C, H, W), which are checked once, at the outermost call.

    ``forward`` and the blocks that it calls trust their arguments. So does an ``__init__``: a class
    that has a static method ``check_settings`` lets it see the arguments, by name, before.

    Attributes:
        min_size: Smallest height and width in pixels.
    """

    min_size = 1

    __call__ = entry("check_input")(nn.Module.__call__)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "check_settings" in vars(cls):
            cls.__init__ = _checked_first(cls.__init__, cls.check_settings)

    def check_input(self, x: Tensor) -> None:
        """Check that ``x`` is a batch of images that the first convolution can take.

        Raises:
            TypeError: It does not hold the type of numbers that the weights hold.
            ValueError: It has another number of axes or channels, is empty, too small, on another
                device, or not finite.
        """
        first = next(layer for layer in self.modules() if isinstance(layer, nn.Conv2d))
        check_batch("x", x, first.in_channels, min_size=self.min_size)
        check_match("x", x, first.weight)


def check_same_channels(in_ch: int, out_ch: int) -> None:
    """Check the channels of a model that adds its input to its output.

    Raises:
        ValueError: ``in_ch`` and ``out_ch`` differ.
    """
    if in_ch != out_ch:
        raise ValueError(
            f"in_ch is {in_ch} and out_ch is {out_ch}; the model adds its input to its output, "
            "so they must be equal"
        )


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside any wrappers that ``torch.compile`` and parallel training add.

    A wrapper has the model's outputs, but not its attributes, such as ``patch_size``, and puts a
    prefix before the keys of its state dict.
    """
    while True:
        if "_orig_mod" in model._modules:  # torch.compile; its class takes seconds to import
            model = model._orig_mod
        elif isinstance(model, HOLD_A_MODULE):
            model = model.module
        else:
            return model
