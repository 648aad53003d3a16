"""Reconstruction without learning, to see what learning buys: Tikhonov and total variation.

Both know the operator, and need no more of it than K and K.T, with one exception. Tikhonov's
inverse of a blur is the formula of textbooks: it takes the kernel and continues the image
periodically, where a correlation is a product of Fourier coefficients. Near the border it is wrong,
for the blur puts zeros beyond it. The methods are modules, so that they can stand beside the
networks in :func:`ippy.quality.evaluate`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ippy.base.checks import LARGEST, check_counts, check_number, check_type
from ippy.base.images import check_batch, check_tensor, check_values
from ippy.operators import Blurring, FourierSampling, Ghost, LinearOperator, ParallelBeam
from ippy.operators.linear import accumulator
from ippy.problems.normal import NormalEquations, laplacian, periodic_solution

# Of a few values, those with the highest mean PSNR over slices of the training set at 1 % noise, in
# the settings of the course's tasks: for the blur one slice of each generated body, as the chapter
# on model comparison shows, for the others one of every third.
TIKHONOV_WEIGHTS = {Blurring: 5e-3, ParallelBeam: 30.0, FourierSampling: 5e-4, Ghost: 2e-4}
TV_WEIGHTS = {Blurring: 2e-4, ParallelBeam: 2.0, FourierSampling: 1e-3, Ghost: 5e-4}
TOLERANCE = 5e-4  # of the objective, for the estimated gap
RELAXATION = 1.7  # from 1 to below 2; about 1.7 converges fastest (Boyd et al., 2011)
LOOK_EVERY = 5  # iterations between two looks at the gap
ADAPT_UNTIL = 100  # iterations; with a penalty that stays, convergence is certain
SMALLEST_WEIGHT = 1e-9  # below it a division by a vanished Fourier coefficient leaves float32


class Classical(nn.Module):
    """A method that knows the operator K, and how strongly it regularises.

    Attributes:
        operator: K.
        weight: Strength of the regularisation.
        knows_operator: Says to :func:`ippy.quality.evaluate` that the method takes measurements.
    """

    knows_operator = True

    def __init__(
        self, operator: LinearOperator, weight: float | None, defaults: dict[type, float]
    ) -> None:
        super().__init__()
        example = "Blurring(kernel_type='motion', kernel_size=9)"
        check_type("operator", operator, LinearOperator, example)
        self.operator = operator
        if weight is None:
            check_type("operator, where no weight is given,", operator, tuple(defaults), example)
            weight = next(defaults[cls] for cls in type(operator).__mro__ if cls in defaults)
        self.weight = _checked("weight", weight)

    def _equations(self, y: Tensor) -> NormalEquations:
        """Return how to solve with K for images of the size that these measurements are of."""
        return NormalEquations(self.operator, self.operator.in_shape or y.shape[-2:], like=y)

    def _checked(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Check measurements; return them in a type to compute with, and an image to begin with."""
        if isinstance(self.operator, Blurring):
            check_batch("y", y, 1, min_size=self.operator.kernel.shape[0])
        else:
            check_tensor("y", y, axes=(4,), expected="(B, 1, ., .)", sizes={1: 1})
            check_values("y", y)  # the solvers square
        image = self.operator.direct(y)
        return y.to(accumulator(y.dtype)), image.to(accumulator(image.dtype))


class Tikhonov(Classical):
    r"""The minimiser of ||K x - y||^2 + weight ||x||^2.

    Tikhonov and Arsenin, Solutions of ill-posed problems, Winston 1977. For white signal and noise
    it is the Wiener filter, with weight the ratio of their powers. Of a blur, which it takes to go
    on periodically beyond the border, it is one division per Fourier coefficient; of other
    operators it is found by conjugate gradients, to 0.001 % of the equation's right side or by 100
    iterations, which a weight far below the default needs. It has no gradient with respect to y
    then.

    Args:
        operator: The operator K.
        weight: Strength of the regularisation, 1e-9 to 1e9; if None, what is best in the course's
            task with such an operator.

    Raises:
        ValueError: ``weight`` is out of range.
    """

    def __init__(self, operator: LinearOperator, weight: float | None = None) -> None:
        super().__init__(operator, weight, TIKHONOV_WEIGHTS)

    def forward(self, y: Tensor) -> Tensor:
        """Restore measurements (B, 1, ., .), of a blur no smaller than the kernel."""
        y, image = self._checked(y)
        if isinstance(self.operator, Blurring):
            return periodic_solution(self.operator.kernel.to(y), y, self.weight)
        with torch.no_grad():
            K = self._equations(y)
            return K.solve(K.data(y), self.weight, 0.0, image)


class TotalVariation(Classical):
    r"""The minimiser of ||K x - y||^2 / 2 + weight TV(x): images that are flat between edges.

    TV is the isotropic total variation: the sum over the pixels of sqrt(down^2 + right^2), where
    down = x[i+1, j] - x[i, j] and right = x[i, j+1] - x[i, j] are 0 where they would leave the
    image. Rudin, Osher and Fatemi, Nonlinear total variation based noise removal algorithms,
    Physica D 1992.

    It is found by the alternating direction method of multipliers, which knows the differences D x
    as unknowns of their own (split Bregman; Goldstein and Osher, SIAM J. Imaging Sciences 2009): in
    turn a linear system, solved by conjugate gradients, and a shrinkage per pixel. An image is
    finished once its objective is within 0.1 % of the minimum, as the duality gap estimates it.
    The result has no gradient with respect to y.

    Args:
        operator: The operator K.
        weight: Strength of the regularisation, 1e-9 to 1e9; if None, what is best in the course's
            task with such an operator.
        steps: Largest number of iterations, 1 to 4096. At the default weight of a blur about 40 are
            needed, at a weight of 0.1 about 350.
        penalty: Weight of ||d - D x||^2 at first, 1e-9 to 1e9, adapted to each image on the way; 30
            times ``weight`` if None. It sets the speed, not the limit.

    Raises:
        ValueError: ``weight``, ``penalty`` or ``steps`` is out of range.
    """

    def __init__(
        self,
        operator: LinearOperator,
        weight: float | None = None,
        *,
        steps: int = 1000,
        penalty: float | None = None,
    ) -> None:
        super().__init__(operator, weight, TV_WEIGHTS)
        check_counts(steps=steps)
        self.steps = steps
        self.penalty = 30 * self.weight if penalty is None else _checked("penalty", penalty)

    def forward(self, y: Tensor) -> Tensor:
        """Restore measurements (B, 1, ., .), of a blur no smaller than the kernel; no gradient."""
        y, image = self._checked(y)
        with torch.no_grad():
            return self._minimise(y, image, self._equations(y))

    def objective(self, x_hat: Tensor, y: Tensor) -> Tensor:
        """Return ||K x_hat - y||^2 / 2 + weight TV(x_hat) of each image, (B,).

        Args:
            x_hat: Images (B, 1, H, W).
            y: Measurements (B, 1, ., .), as many.

        Raises:
            ValueError: The shapes differ or are others, or the images hold NaN or infinity.
        """
        y, _ = self._checked(y)
        check_batch("x_hat", x_hat, 1)
        size = self.operator.in_shape or y.shape[-2:]
        if x_hat.shape != (len(y), 1, *size):
            raise ValueError(
                f"x_hat has shape {tuple(x_hat.shape)} and y has {tuple(y.shape)}; expected "
                f"{(len(y), 1, *size)} for x_hat"
            )
        return self._objective(x_hat, y, self._equations(y))

    def _objective(self, x_hat: Tensor, y: Tensor, K: NormalEquations) -> Tensor:
        misfit = (K.forward(x_hat) - y).square().sum(dim=(1, 2, 3)) / 2
        variation = _lengths(_differences(x_hat) * _inside(x_hat)).sum(dim=(1, 2, 3))
        return misfit + self.weight * variation

    def _minimise(self, y: Tensor, x: Tensor, K: NormalEquations) -> Tensor:
        """Minimise the objective for each of y, (B, 1, ., .), from the images x, (B, 1, H, W), on.

        With the multipliers p of d = D x, in units of the penalty: u = p / penalty.
        """
        data = K.data(y)
        x_hat = x
        inside, roughness = _inside(x), laplacian(x)
        penalty = x.new_full((len(x), 1, 1, 1), self.penalty)
        d, u = _differences(x), torch.zeros_like(x).repeat(1, 2, 1, 1)
        finished = torch.zeros_like(penalty, dtype=torch.bool)
        for step in range(1, self.steps + 1):
            x = K.solve(data, penalty * roughness, penalty * _differences_adjoint(d - u), x)
            Dx, d_before, u_before = _differences(x), d, u
            v = RELAXATION * Dx + (1 - RELAXATION) * d + u
            kept = v * inside  # differences that would leave the image cost nothing: d = v there
            u = kept * (self.weight / (penalty * _lengths(kept))).clamp(max=1)
            d = v - u
            if step % LOOK_EVERY == 0 or step == self.steps:
                x_hat = torch.where(finished, x_hat, x)
                p, pull = penalty * u, penalty * (Dx - d_before + u_before)
                finished = finished | self._close(self._objective(x, y, K), x, Dx, p, pull)
                if finished.all():
                    break
                if step <= ADAPT_UNTIL:
                    factor = _balance(Dx - d, Dx, penalty * (d - d_before), p)
                    penalty, u = penalty * factor, u / factor
        return x_hat

    def _close(self, objective: Tensor, x: Tensor, Dx: Tensor, p: Tensor, pull: Tensor) -> Tensor:
        """Say which objectives, (B,), are within 0.1 % of their minimum, (B, 1, 1, 1).

        x minimises ||K x - y||^2 / 2 + <pull, D x>, and |p| <= weight. So the objective is above
        its minimum, at x*, by no more than weight TV(x) - <p, D x> + <p - pull, D (x - x*)>. In the
        last term, which vanishes with p - pull, D x stands for the unknown.
        """
        objective = objective.view(-1, 1, 1, 1)
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


def _checked(name: str, weight: float) -> float:
    return check_number(name, weight, least=SMALLEST_WEIGHT, most=LARGEST)
