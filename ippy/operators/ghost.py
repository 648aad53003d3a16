"""A ghost: an image and a fainter copy of it some way off, as in echo-planar MRI."""

from __future__ import annotations

from torch import Tensor

from ippy.base.checks import LARGEST_COUNT, check_integer, check_number
from ippy.operators.linear import LinearOperator, accumulator


class Ghost(LinearOperator):
    """y = (x + a S x) / (1 + a), where S moves an image down by ``shift`` rows, circularly.

    With half of the image's height it is the Nyquist ghost of echo-planar MRI, where odd and even
    lines of the spectrum disagree (Bernstein, King and Zhou, Handbook of MRI Pulse Sequences, 2004,
    chapter 16). The further the ghost, the further off a pixel lies the information that
    removes it.

    Args:
        shift: Distance of the ghost in pixels, down; negative for up.
        strength: Its brightness a as a fraction of the image's, from 0 to 1. At 1 some frequencies
            vanish.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(self, shift: int, strength: float = 0.7) -> None:
        self.shift = check_integer("shift", shift, least=-LARGEST_COUNT, most=LARGEST_COUNT)
        self.strength = check_number("strength", strength, least=0, most=1)

    def _forward(self, x: Tensor) -> Tensor:
        return self._with_ghost(x, self.shift)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._with_ghost(y, -self.shift)

    def _with_ghost(self, x: Tensor, shift: int) -> Tensor:
        image = x.to(accumulator(x.dtype))
        both = image + self.strength * image.roll(shift, dims=-2)
        return (both / (1 + self.strength)).to(x.dtype)
