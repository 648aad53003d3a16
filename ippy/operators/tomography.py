"""Computed tomography with parallel beams: line integrals, their adjoint, filtered back-projection.

The geometry is that of Kak and Slaney, Principles of Computerized Tomographic Imaging, IEEE 1988:
the ray (theta, t) is the line u cos(theta) + v sin(theta) = t, where u points to larger columns, v
to smaller rows, and the image's centre is the origin. Lengths are in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from ippy.base.checks import check_choice, check_counts
from ippy.base.images import REAL
from ippy.operators.linear import LinearOperator, accumulator
from ippy.operators.sparse import SparseMatrix

FILTERS = ("ramp", "shepp-logan", "hann")
LARGEST_MATRIX = 2 * 10**8
IN_CACHE = 8  # images multiplied together: what the sums read stays in the cache

# A view at the angle a, 90 - a, 90 + a or 180 - a degrees is the view at a of the image turned or
# mirrored so. Each pair undoes the other; images are (B, n, n).
TURNS: tuple[tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]], ...] = (
    (lambda x: x, lambda x: x),
    (lambda x: x.mT.flip(-1, -2), lambda x: x.mT.flip(-1, -2)),
    (lambda x: x.mT.flip(-1), lambda x: x.flip(-1).mT),
    (lambda x: x.flip(-1), lambda x: x.flip(-1)),
)


class ParallelBeam(LinearOperator):
    """Projections of square images along parallel rays: (..., n, n) -> (..., views, bins).

    View k is at k * 180 / views degrees; rays are one pixel apart, the middle of the detector sees
    the middle of the image. A value is the integral along the ray, with the pixel as unit of
    length, of the image interpolated linearly across the rows it passes, or across the columns
    where it is flatter than 45 degrees (Joseph, An improved algorithm for reprojecting rays through
    pixel images, IEEE Trans. Medical Imaging 1982). ``K.T`` is the exact adjoint.

    Views from 0 to 45 degrees are stored as a sparse matrix and serve all others, of the image
    turned or mirrored: 29 MB, its transpose included, for 60 views of 256 pixels, 340 MB for 180
    views of 512.

    Args:
        n: Side of the images in pixels.
        views: Number of angles, evenly spaced over 180 degrees.
        bins: Number of rays a view. If None, as many as see the whole square, an even number more
            than n: at 0 and 90 degrees each ray then meets the centres of pixels.

    Raises:
        ValueError: A number is out of range.
    """

    dtypes = REAL
    direct_name = "FBP"

    def __init__(self, n: int = 256, views: int = 60, bins: int | None = None) -> None:
        check_counts(n=n, views=views)
        if bins is None:
            bins = n + 2 * math.ceil((math.sqrt(2) - 1) * n / 2)
        else:
            check_counts(bins=bins)
        if n * n * views > LARGEST_MATRIX:
            raise ValueError(
                f"n is {n} and views is {views}, too many to store; expected n * n * views of "
                f"{LARGEST_MATRIX:.0e} at most, which takes 5 GB"
            )
        self.n, self.views, self.bins = n, views, bins
        self.in_shape, self.out_shape = (n, n), (views, bins)
        self._angles, self._places = _symmetries(views)
        self._adjoint_matrix = _pixel_rows(n, bins, self._angles, joseph=True)
        self._matrix = self._adjoint_matrix.transposed()

    def fbp(self, y: Tensor, filter: str = "ramp") -> Tensor:
        """Reconstruct by filtered back-projection, in the units of the images.

        Each view is filtered with a ramp |f|, the back-projection interpolates linearly between
        rays. The ramp is made from its samples in space, and views are padded with zeros: one
        sampled in frequency loses the mean of the image (Kak and Slaney, section 3.3.3). Softer
        filters multiply it by a window: ``"shepp-logan"`` by sinc(f), ``"hann"`` by cos²(pi f), f
        in cycles per ray.

        Args:
            y: Measurements (..., views, bins).
            filter: ``"ramp"``, ``"shepp-logan"`` or ``"hann"``.

        Returns:
            Images (..., n, n), negative in places. Few views leave streaks.

        Raises:
            ValueError: ``y`` has another shape, or holds NaN or infinity; or there is no such
                filter.
        """
        check_choice("filter", filter, FILTERS)
        self.T._check_input("y", y)
        dtype = accumulator(y.dtype)
        length = 1 << (2 * self.bins - 1).bit_length()
        response = _ramp(length, filter).to(y.device, dtype)
        spectrum = torch.fft.rfft(y.to(dtype), n=length) * response
        filtered = torch.fft.irfft(spectrum, n=length)[..., : self.bins]
        image = _apply(filtered, self._smear, self._smear_adjoint) * (math.pi / self.views)
        return image.to(y.dtype)

    def direct(self, y: Tensor) -> Tensor:
        """Return the filtered back-projection with the ramp, (..., n, n).

        Raises:
            ValueError: ``y`` is not (..., views, bins), or holds NaN or infinity.
        """
        return self.fbp(y)

    def _forward(self, x: Tensor) -> Tensor:
        return _apply(x, self._project, self._back_project)

    def _adjoint(self, y: Tensor) -> Tensor:
        return _apply(y, self._back_project, self._project)

    def _project(self, x: Tensor) -> Tensor:
        return self._to_views(x, self._matrix)

    def _back_project(self, y: Tensor) -> Tensor:
        return self._to_image(y, self._adjoint_matrix)

    def _smear(self, y: Tensor) -> Tensor:
        return self._to_image(y, self._linear)

    def _smear_adjoint(self, x: Tensor) -> Tensor:
        return self._to_views(x, self._linear_adjoint)

    @cached_property
    def _linear(self) -> SparseMatrix:
        """Linear interpolation between rays, pixel by pixel."""
        return _pixel_rows(self.n, self.bins, self._angles, joseph=False)

    @cached_property
    def _linear_adjoint(self) -> SparseMatrix:
        return self._linear.transposed()

    def _to_views(self, x: Tensor, matrix: SparseMatrix) -> Tensor:
        """Multiply images by the matrix of the stored views: (B, n, n) -> (B, views, bins)."""
        turned = torch.stack([turn(x) for turn, _ in TURNS])  # (4, B, n, n)
        values = matrix.times(turned.flatten(2).flatten(0, 1).mT.contiguous())
        values = values.view(len(self._angles), self.bins, len(TURNS), len(x))
        angle, turn = self._places.to(x.device)
        return values.transpose(1, 2)[angle, turn].movedim(-1, 0)

    def _to_image(self, y: Tensor, matrix: SparseMatrix) -> Tensor:
        """Do the transpose of that: (B, views, bins) -> (B, n, n)."""
        values = y.new_zeros(len(self._angles), len(TURNS), self.bins, len(y))
        angle, turn = self._places.to(y.device)
        values = values.index_put((angle, turn), y.movedim(0, -1))
        turned = matrix.times(values.transpose(1, 2).flatten(2).flatten(0, 1).contiguous())
        turned = turned.mT.view(len(TURNS), len(y), self.n, self.n)
        return sum(back(image) for (_, back), image in zip(TURNS, turned, strict=True))


Map = Callable[[Tensor], Tensor]


def _apply(x: Tensor, forward: Map, adjoint: Map) -> Tensor:
    """Apply a linear map of (B, ., .) that has an adjoint to (..., ., .), in any precision."""
    if torch.compiler.is_compiling():  # the compiler finds the derivatives
        images = x[None].flatten(end_dim=-3).to(accumulator(x.dtype))
        y = forward(images)
        return y.to(x.dtype).view(*x.shape[:-2], *y.shape[1:])
    return _Linear.apply(x, forward, adjoint)


class _Linear(torch.autograd.Function):
    """A linear map, which is its own derivative; its adjoint is the transpose of that."""

    @staticmethod
    def forward(x: Tensor, forward: Map, adjoint: Map) -> Tensor:
        images = x[None].flatten(end_dim=-3).to(accumulator(x.dtype))
        y = torch.cat([forward(part) for part in images.split(IN_CACHE)])
        return y.to(x.dtype).view(*x.shape[:-2], *y.shape[1:])

    @staticmethod
    def setup_context(
        ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, Map, Map], output: Tensor
    ) -> None:
        ctx.forward_map, ctx.adjoint_map = inputs[1:]

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, grad: Tensor
    ) -> tuple[Tensor, None, None]:
        return _Linear.apply(grad, ctx.adjoint_map, ctx.forward_map), None, None

    @staticmethod
    def jvp(ctx: torch.autograd.function.FunctionCtx, tangent: Tensor, *_: None) -> Tensor:
        return _Linear.apply(tangent, ctx.forward_map, ctx.adjoint_map)

    @staticmethod
    def vmap(
        info: object, in_dims: tuple, x: Tensor, forward: Map, adjoint: Map
    ) -> tuple[Tensor, int]:
        return _Linear.apply(x.movedim(in_dims[0], 0), forward, adjoint), 0


def _symmetries(views: int) -> tuple[list[float], Tensor]:
    """Return the angles to store, from 0 to 45 degrees, and where each view is found among them.

    Returns:
        The angles in radians, and for each view which angle and which of :data:`TURNS`, (2, views).
    """
    places = []
    for k in range(views):
        turn = (4 * k - 1) // views if k else 0  # eighths of a turn passed by the view
        # In units of 90 degrees / views, the view is at 2 k.
        angle = (2 * k, views - 2 * k, 2 * k - views, 2 * views - 2 * k)[turn]
        places.append((angle, turn))
    stored = sorted({angle for angle, _ in places})
    found = [(stored.index(angle), turn) for angle, turn in places]
    return [angle * math.pi / (2 * views) for angle in stored], torch.tensor(found, device="cpu").T


def _pixel_rows(n: int, bins: int, angles: list[float], *, joseph: bool) -> SparseMatrix:
    """Return the weights with which each pixel sees the rays, (n * n, angles * bins).

    The distance d of a pixel's centre from a ray counts (1 - |d| / w) / w, where that is positive:
    with w = cos(angle) this is linear interpolation between the two pixels of a row that the ray
    passes, with w = 1 between the two rays that pass the pixel.

    Args:
        n: Side of the image.
        bins: Rays a view.
        angles: From 0 to 45 degrees, in radians.
        joseph: Take w = cos(angle), not 1.
    """
    exact = {"dtype": torch.float64, "device": "cpu"}
    u = torch.arange(n, **exact) - (n - 1) / 2
    columns, weights = [], []
    for number, angle in enumerate(angles):
        place = u * math.cos(angle) - u[:, None] * math.sin(angle) + (bins - 1) / 2  # of the pixel
        width = math.cos(angle) if joseph else 1.0
        first = (place - width).ceil().flatten()
        for ray in (first, first + 1):
            weight = (1 - (ray - place.flatten()).abs() / width) / width
            inside = (ray >= 0) & (ray < bins)
            weights.append((weight * inside).clamp(min=0).float())
            columns.append((ray + number * bins).int())
    columns, weights = torch.stack(columns, dim=1), torch.stack(weights, dim=1)
    kept = weights > 0
    return SparseMatrix.of_rows(
        kept.sum(dim=1), columns[kept], weights[kept], width=len(angles) * bins
    )


def _ramp(length: int, filter: str) -> Tensor:
    """Return the response of a filter, for a real transform of so many samples, in float64."""
    k = torch.fft.fftfreq(length, d=1 / length, dtype=torch.float64, device="cpu")
    samples = torch.where(k % 2 == 1, -1 / (math.pi * k).square(), 0.0)  # equation 61 there
    samples[0] = 1 / 4
    f = torch.fft.rfftfreq(length, dtype=torch.float64, device="cpu")  # cycles per ray
    window = {
        "ramp": torch.ones_like(f),
        "shepp-logan": torch.sinc(f),
        "hann": torch.cos(math.pi * f).square(),
    }[filter]
    return torch.fft.rfft(samples).real * window
