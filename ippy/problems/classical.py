"""Reconstruction without learning, to see what learning buys: Tikhonov and total variation.

Both know the blur, and both continue the image periodically beyond its border, where a correlation
is a product of Fourier coefficients. They are modules, so that they can stand beside the networks
in :func:`ippy.quality.evaluate`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ippy.base.checks import LARGEST, check_counts, check_number, check_type
from ippy.base.images import check_batch, check_match
from ippy.operators import Blurring

# Of a few values, those with the highest mean PSNR over one slice of each generated body of the
# training set at 1 % noise; the chapter on model comparison shows the search.
TIKHONOV_WEIGHT = 5e-3
TV_WEIGHT = 5e-4
TOLERANCE = 5e-4  # of the objective, for the estimated gap
RELAXATION = 1.7  # from 1 to below 2; about 1.7 converges fastest (Boyd et al., 2011)
LOOK_EVERY = 5  # iterations between two looks at the gap
ADAPT_UNTIL = 100  # iterations; with a penalty that stays, convergence is certain
SMALLEST_WEIGHT = 1e-9  # below it a division by a vanished Fourier coefficient leaves float32


class Tikhonov(nn.Module):
    r"""The minimiser of ||K x - y||^2 + weight ||x||^2, in one division per Fourier coefficient.

    Tikhonov and Arsenin, Solutions of ill-posed problems, Winston 1977. For white signal and noise
    it is the Wiener filter, with weight the ratio of their powers.

    Args:
        operator: The blur K.
        weight: Strength of the regularisation, 1e-9 to 1e9.

    Raises:
        ValueError: ``weight`` is out of range.
    """

    def __init__(self, operator: Blurring, weight: float = TIKHONOV_WEIGHT) -> None:
        super().__init__()
        self.weight = _checked("weight", weight)
        self.register_buffer("kernel", _kernel(operator))

    def forward(self, y: Tensor) -> Tensor:
        """Restore measurements (B, 1, H, W), no smaller than the kernel."""
        _check_measurements(y, self.kernel)
        y = y.to(self.kernel.dtype)  # under autocast it may be half precision
        h = transfer(self.kernel, y.shape[-2:])
        return torch.fft.ifft2(h.conj() * torch.fft.fft2(y) / (h.abs() ** 2 + self.weight)).real


class TotalVariation(nn.Module):
    r"""The minimiser of ||K x - y||^2 / 2 + weight TV(x): images that are flat between edges.

    TV is the isotropic total variation: the sum over the pixels of sqrt(down^2 + right^2), where
    down = x[i+1, j] - x[i, j] and right = x[i, j+1] - x[i, j] are 0 where they would leave the
    image. Rudin, Osher and Fatemi, Nonlinear total variation based noise removal algorithms,
    Physica D 1992.

    It is found by the alternating direction method of multipliers, which knows the differences D x
    as unknowns of their own (split Bregman; Goldstein and Osher, SIAM J. Imaging Sciences 2009): in
    turn a division per Fourier coefficient and a shrinkage per pixel, both exact. An image is
    finished once its objective is within 0.1 % of the minimum, as the duality gap estimates it.
    The result has no gradient with respect to y.

    Args:
        operator: The blur K.
        weight: Strength of the regularisation, 1e-9 to 1e9.
        steps: Largest number of iterations, 1 to 4096. At the default weight about 50 are needed,
            at a weight of 0.1 about 250.
        penalty: Weight of ||d - D x||^2 at first, 1e-9 to 1e9, adapted to each image on the way; 30
            times ``weight`` if None. It sets the speed, not the limit.

    Raises:
        ValueError: ``weight``, ``penalty`` or ``steps`` is out of range.
    """

    def __init__(
        self,
        operator: Blurring,
        weight: float = TV_WEIGHT,
        *,
        steps: int = 1000,
        penalty: float | None = None,
    ) -> None:
        super().__init__()
        check_counts(steps=steps)
        self.steps = steps
        self.weight = _checked("weight", weight)
        self.penalty = 30 * self.weight if penalty is None else _checked("penalty", penalty)
        self.register_buffer("kernel", _kernel(operator))

    def forward(self, y: Tensor) -> Tensor:
        """Restore measurements (B, 1, H, W), no smaller than the kernel; it has no gradient."""
        _check_measurements(y, self.kernel)
        with torch.no_grad():
            return self._minimise(y.to(self.kernel.dtype))

    def objective(self, x_hat: Tensor, y: Tensor) -> Tensor:
        """Return ||K x_hat - y||^2 / 2 + weight TV(x_hat) of each image, (B,).

        Args:
            x_hat: Images (B, 1, H, W).
            y: Measurements, of the same shape.

        Raises:
            ValueError: The shapes differ or are others, or the images hold NaN or infinity.
        """
        _check_measurements(y, self.kernel)
        check_batch("x_hat", x_hat, 1)
        if x_hat.shape != y.shape:
            raise ValueError(
                f"x_hat has shape {tuple(x_hat.shape)} and y has {tuple(y.shape)}; expected the "
                "same (B, 1, H, W) for both"
            )
        h = _half_transfer(self.kernel, y.shape[-2:])
        residual = torch.fft.irfft2(h * torch.fft.rfft2(x_hat), s=y.shape[-2:]) - y
        variation = _lengths(_differences(x_hat) * _inside(y))
        return (residual.square() / 2 + self.weight * variation).sum(dim=(1, 2, 3))

    def _minimise(self, y: Tensor) -> Tensor:
        """Minimise the objective for each of y, (B, 1, H, W).

        With the multipliers p of d = D x, in units of the penalty: u = p / penalty.
        """
        H, W = y.shape[-2:]
        h = _half_transfer(self.kernel, (H, W))
        data, power = h.conj() * torch.fft.rfft2(y), h.abs().square()
        inside, laplacian = _inside(y), _laplacian(y)
        penalty = y.new_full((len(y), 1, 1, 1), self.penalty)
        d, u = _differences(y), y.new_zeros(len(y), 2, H, W)
        x_hat, finished = y, torch.zeros_like(penalty, dtype=torch.bool)
        for step in range(1, self.steps + 1):
            right = data + penalty * torch.fft.rfft2(_differences_adjoint(d - u))
            system = (power + penalty * laplacian).clamp(min=torch.finfo(y.dtype).tiny)
            x = torch.fft.irfft2(right / system, s=(H, W))
            Dx, d_before, u_before = _differences(x), d, u
            v = RELAXATION * Dx + (1 - RELAXATION) * d + u
            kept = v * inside  # differences that would leave the image cost nothing: d = v there
            u = kept * (self.weight / (penalty * _lengths(kept))).clamp(max=1)
            d = v - u
            if step % LOOK_EVERY == 0 or step == self.steps:
                x_hat = torch.where(finished, x_hat, x)
                p, pull = penalty * u, penalty * (Dx - d_before + u_before)
                finished = finished | self._close(x, y, Dx, p, pull)
                if finished.all():
                    break
                if step <= ADAPT_UNTIL:
                    factor = _balance(Dx - d, Dx, penalty * (d - d_before), p)
                    penalty, u = penalty * factor, u / factor
        return x_hat

    def _close(self, x: Tensor, y: Tensor, Dx: Tensor, p: Tensor, pull: Tensor) -> Tensor:
        """Say which objectives are within 0.1 % of their minimum, (B, 1, 1, 1).

        x minimises ||K x - y||^2 / 2 + <pull, D x>, and |p| <= weight. So the objective is above
        its minimum, at x*, by no more than weight TV(x) - <p, D x> + <p - pull, D (x - x*)>. In the
        last term, which vanishes with p - pull, D x stands for the unknown.
        """
        objective = self.objective(x, y).view(-1, 1, 1, 1)
        variation = _sum(_lengths(Dx * _inside(x)))
        gap = self.weight * variation - _sum(p * Dx) + _sum((p - pull) * Dx).abs()
        rounding = torch.finfo(x.dtype).eps * self.weight * _sum(x.abs())
        return gap <= TOLERANCE * objective + rounding


def _differences(x: Tensor) -> Tensor:
    """Return D x, down and right, periodically continued: (B, 1, H, W) -> (B, 2, H, W)."""
    return torch.cat([x.roll(-1, dims=-2) - x, x.roll(-1, dims=-1) - x], dim=1)


def _differences_adjoint(d: Tensor) -> Tensor:
    """Return D.T d: (B, 2, H, W) -> (B, 1, H, W)."""
    down, right = d[:, :1], d[:, 1:]
    return down.roll(1, dims=-2) - down + right.roll(1, dims=-1) - right


def _laplacian(x: Tensor) -> Tensor:
    """Return what D.T D does to each coefficient of a real transform: (H, W // 2 + 1)."""
    H, W = x.shape[-2:]
    rows = torch.fft.fftfreq(H, dtype=x.dtype, device=x.device)[:, None]
    columns = torch.fft.rfftfreq(W, dtype=x.dtype, device=x.device)
    return 4 * (torch.sin(math.pi * rows).square() + torch.sin(math.pi * columns).square())


def _inside(x: Tensor) -> Tensor:
    """Return 1 for the differences that stay inside the image, 0 for others: (2, H, W)."""
    inside = x.new_ones(2, *x.shape[-2:])
    inside[0, -1, :] = 0
    inside[1, :, -1] = 0
    return inside


def _lengths(d: Tensor) -> Tensor:
    """Return the length of each pixel's pair of differences: (B, 2, H, W) -> (B, 1, H, W)."""
    return torch.hypot(d[:, :1], d[:, 1:])


def _sum(x: Tensor) -> Tensor:
    """Sum over each image: (B, C, H, W) -> (B, 1, 1, 1)."""
    return x.sum(dim=(1, 2, 3), keepdim=True)


def _balance(primal: Tensor, Dx: Tensor, dual: Tensor, p: Tensor) -> Tensor:
    """Return the factor of the penalty that makes both relative residuals alike, (B, 1, 1, 1).

    He, Yang and Wang, Alternating direction method with self-adaptive penalty parameters for
    monotone variational inequalities, JOTA 2000.
    """
    primal, Dx, dual, p = (_sum(t.square()).sqrt() for t in (primal, Dx, dual, p))
    factor = ((primal * p) / (dual * Dx)).sqrt().clamp(0.1, 10)
    return torch.where((factor > 1.5) | (factor < 0.67), factor, 1.0)  # 1 also for 0 / 0, NaN


def transfer(kernel: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return what a correlation with ``kernel`` does to each Fourier coefficient.

    Args:
        kernel: Odd square kernel (k, k), its centre the origin.
        shape: Height and width of the images.

    Returns:
        Complex factors (H, W).
    """
    k = kernel.shape[0]
    embedded = kernel.new_zeros(shape)
    embedded[:k, :k] = kernel
    centred = embedded.roll((-(k // 2), -(k // 2)), dims=(0, 1))
    return torch.fft.fft2(centred).conj()  # conj: correlation, not convolution


def _half_transfer(kernel: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return the factors of a real transform, (H, W // 2 + 1); the others are their conjugates."""
    return transfer(kernel, shape)[:, : shape[1] // 2 + 1]


def _checked(name: str, weight: float) -> float:
    return check_number(name, weight, least=SMALLEST_WEIGHT, most=LARGEST)


def _kernel(operator: Blurring) -> Tensor:
    check_type("operator", operator, Blurring, "Blurring(kernel_type='motion', kernel_size=9)")
    return operator.kernel


def _check_measurements(y: Tensor, kernel: Tensor) -> None:
    check_batch("y", y, 1, min_size=kernel.shape[0])
    check_match("y", y, kernel)
