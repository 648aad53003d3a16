"""Sampling of the Fourier transform, as in MRI, and masks that say which lines are sampled."""

from __future__ import annotations

import torch
from torch import Tensor

from ippy.base.checks import check_generator, check_number, check_sides, check_type
from ippy.base.images import REAL, check_tensor
from ippy.operators.linear import LinearOperator, accumulator


class FourierSampling(LinearOperator):
    """The coefficients of an image's Fourier transform that a mask selects.

    The transform is orthonormal, so coefficients have the units of the image, and white noise on
    them is white noise in the image. They are given as pairs of real numbers, (..., H, W) ->
    (..., M, 2) with M the number of samples: a measurement then is a real tensor as all others are,
    and its noise falls on what is measured alone. ``torch.view_as_complex`` makes them complex.

    ``direct`` gives the zero-filled image: what was not sampled counts as 0. Images are real.
    (Those of MRI are complex; there, coefficients of opposite frequencies are not each other's
    conjugates.)

    Args:
        mask: Which frequencies are sampled, boolean (H, W), with frequency 0 at row H // 2 and
            column W // 2, as spectra are drawn.

    Attributes:
        mask: The mask.

    Raises:
        ValueError: ``mask`` is not (H, W), or selects nothing.
    """

    dtypes = REAL
    direct_name = "Zero-filled"

    def __init__(self, mask: Tensor) -> None:
        check_type("mask", mask, Tensor, "regular_lines((256, 256))")
        check_tensor("mask", mask, axes=(2,), expected="(H, W)", dtypes=(torch.bool,))
        self.mask = mask.detach().cpu()
        self._samples = torch.fft.ifftshift(self.mask).flatten().nonzero()[:, 0]  # (M,)
        if not len(self._samples):
            raise ValueError("mask selects no frequency; expected True at one or more")
        self.in_shape, self.out_shape = tuple(mask.shape), (len(self._samples), 2)

    def direct(self, y: Tensor) -> Tensor:
        """Return the zero-filled image, (..., H, W).

        Raises:
            ValueError: ``y`` is not (..., M, 2), or holds NaN or infinity.
        """
        self.T._check_input("y", y)
        return self._adjoint(y)

    def _forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.fft2(x.to(accumulator(x.dtype)), norm="ortho").flatten(-2)
        sampled = spectrum.index_select(-1, self._samples.to(x.device))  # (..., M)
        return torch.view_as_real(sampled).to(x.dtype)

    def _adjoint(self, y: Tensor) -> Tensor:
        sampled = torch.view_as_complex(y.to(accumulator(y.dtype)).contiguous())
        spectrum = sampled.new_zeros(*y.shape[:-2], self.mask.numel())
        spectrum = spectrum.index_add(-1, self._samples.to(y.device), sampled)
        image = torch.fft.ifft2(spectrum.unflatten(-1, self.mask.shape), norm="ortho")
        return image.real.to(y.dtype)


def regular_lines(
    shape: tuple[int, int] = (256, 256), *, factor: float = 4.0, centre: float = 0.08
) -> Tensor:
    """Return a mask of evenly spaced rows around a dense centre.

    Args:
        shape: Height and width (H, W).
        factor: How many times fewer rows than H, the centre included.
        centre: Fraction of all rows that is sampled without gaps, around frequency 0.

    Returns:
        Boolean mask (H, W), with frequency 0 at row H // 2.

    Raises:
        ValueError: An argument is out of range, or the centre alone has more rows than ``factor``
            leaves.
    """
    outer, wanted = _split(shape, factor, centre)
    places = ((torch.arange(wanted, device="cpu") + 0.5) * (len(outer) / max(wanted, 1))).long()
    return _rows(shape, outer, outer[places])


def random_lines(
    shape: tuple[int, int] = (256, 256),
    *,
    factor: float = 4.0,
    centre: float = 0.08,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return a mask of rows drawn at random around a dense centre.

    Args:
        shape: Height and width (H, W).
        factor: How many times fewer rows than H, the centre included.
        centre: Fraction of all rows that is sampled without gaps, around frequency 0.
        generator: Source of randomness, on the CPU; torch's global one if None.

    Returns:
        Boolean mask (H, W), with frequency 0 at row H // 2.

    Raises:
        ValueError: An argument is out of range, or the centre alone has more rows than ``factor``
            leaves.
    """
    check_generator(generator)
    outer, wanted = _split(shape, factor, centre)
    order = torch.randperm(len(outer), generator=generator, device="cpu")
    return _rows(shape, outer, outer[order[:wanted]])


def _split(shape: tuple[int, int], factor: float, centre: float) -> tuple[Tensor, int]:
    """Return the rows outside the centre, and how many of them are to be sampled."""
    check_sides("shape", shape)
    rows = shape[0]
    factor = check_number("factor", factor, least=1, most=rows)
    dense = round(check_number("centre", centre, least=0, most=1) * rows)
    wanted = round(rows / factor) - dense
    if wanted < 0:
        raise ValueError(
            f"centre is {centre}, {dense} rows, and factor {factor} leaves {round(rows / factor)}; "
            "expected a smaller one"
        )
    number = torch.arange(rows, device="cpu")
    start = rows // 2 - dense // 2
    return number[(number < start) | (number >= start + dense)], wanted


def _rows(shape: tuple[int, int], outer: Tensor, chosen: Tensor) -> Tensor:
    """Return the mask of all rows that are not among the outer ones, and of the chosen ones."""
    rows = torch.ones(shape[0], dtype=torch.bool, device="cpu")
    rows[outer] = False
    rows[chosen] = True
    return rows[:, None].expand(*shape).clone()
