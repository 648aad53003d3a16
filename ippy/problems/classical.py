"""Reconstruction without learning, to see what learning buys: Tikhonov and total variation.

Both know the blur, and both continue the image periodically beyond its border, where a correlation
is a product of Fourier coefficients. They are modules, so that they can stand beside the networks
in :func:`ippy.quality.evaluate`.
"""

from __future__ import annotations

import numpy as np
import torch
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor, nn

from ippy.base.checks import LARGEST, check_batch, check_counts, check_match, check_number
from ippy.operators import Blurring

# Of a few values, those with the highest mean PSNR over one slice of each generated body of the
# training set at 1 % noise; the chapter on model comparison shows the search.
TIKHONOV_WEIGHT = 5e-3
TV_WEIGHT = 3e-4
SMALLEST_WEIGHT = 1e-9  # below it a division by a vanished Fourier coefficient leaves float32


class Tikhonov(nn.Module):
    r"""The minimiser of ||K x - y||^2 + weight ||x||^2, in one division per Fourier coefficient.

    Tikhonov and Arsenin, Solutions of ill-posed problems, Winston 1977. For white signal and noise
    it is the Wiener filter, with weight the ratio of their powers.

    Args:
        operator: The blur K.
        weight: Strength of the regularisation, 1e-9 to 1e9.

    Raises:
        TypeError: ``operator`` is not a Blurring, or ``weight`` not a number.
        ValueError: ``weight`` is out of range.
    """

    def __init__(self, operator: Blurring, weight: float = TIKHONOV_WEIGHT) -> None:
        super().__init__()
        self.weight = _checked("weight", weight)
        self.register_buffer("kernel", _kernel(operator))

    def forward(self, y: Tensor) -> Tensor:
        """Restore measurements (B, 1, H, W), no smaller than the kernel."""
        _check_measurements(y, self.kernel)
        h = transfer(self.kernel, y.shape[-2:])
        return torch.fft.ifft2(h.conj() * torch.fft.fft2(y) / (h.abs() ** 2 + self.weight)).real


class TotalVariation(nn.Module):
    r"""The minimiser of ||K x - y||^2 / 2 + weight TV(x): images that are flat between edges.

    Rudin, Osher and Fatemi, Nonlinear total variation based noise removal algorithms, Physica D
    1992. It is found by the alternating direction method of multipliers (Boyd et al., 2011): in
    turn a Tikhonov inverse and the total-variation denoiser of scikit-image (Chambolle, 2004).

    Args:
        operator: The blur K.
        weight: Strength of the regularisation, 1e-9 to 1e9.
        steps: Number of iterations, 1 to 4096.
        penalty: What holds the two halves together, 1e-9 to 1e9; it sets the speed, not the limit.

    Raises:
        TypeError: ``operator`` is not a Blurring, or another argument not a number.
        ValueError: ``weight``, ``penalty`` or ``steps`` is out of range.
    """

    def __init__(
        self,
        operator: Blurring,
        weight: float = TV_WEIGHT,
        *,
        steps: int = 15,
        penalty: float = 0.02,
    ) -> None:
        super().__init__()
        check_counts(steps=steps)
        self.steps = steps
        self.weight, self.penalty = _checked("weight", weight), _checked("penalty", penalty)
        self.register_buffer("kernel", _kernel(operator))

    def forward(self, y: Tensor) -> Tensor:
        """Restore measurements (B, 1, H, W), no smaller than the kernel; without a gradient."""
        _check_measurements(y, self.kernel)
        with torch.no_grad():
            h = transfer(self.kernel, y.shape[-2:])
            data = h.conj() * torch.fft.fft2(y)
            z, u = y, torch.zeros_like(y)  # the denoised half, and the sum of what parts them
            for _ in range(self.steps):
                right = data + self.penalty * torch.fft.fft2(z - u)
                x = torch.fft.ifft2(right / (h.abs() ** 2 + self.penalty)).real
                z = self._denoise(x + u)
                u = u + x - z
        return z

    def _denoise(self, x: Tensor) -> Tensor:
        weight = self.weight / self.penalty
        flat = [
            denoise_tv_chambolle(image, weight, eps=1e-5, max_num_iter=30)
            for image in x[:, 0].cpu().numpy()
        ]
        return torch.from_numpy(np.stack(flat))[:, None].to(x)


def transfer(kernel: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return what a correlation with ``kernel`` does to each Fourier coefficient.

    Args:
        kernel: Odd square kernel (k, k), its centre the origin.
        shape: Height and width of the images.

    Returns:
        Complex factors (H, W).
    """
    k = len(kernel)
    embedded = kernel.new_zeros(shape)
    embedded[:k, :k] = kernel
    centred = embedded.roll((-(k // 2), -(k // 2)), dims=(0, 1))
    return torch.fft.fft2(centred).conj()  # conj: correlation, not convolution


def _checked(name: str, weight: float) -> float:
    return check_number(name, weight, least=SMALLEST_WEIGHT, most=LARGEST)


def _kernel(operator: Blurring) -> Tensor:
    if not isinstance(operator, Blurring):
        raise TypeError(
            f"operator is a {type(operator).__name__}; expected a Blurring, e.g. "
            "Blurring(kernel_type='motion', kernel_size=9)"
        )
    return operator.kernel


def _check_measurements(y: Tensor, kernel: Tensor) -> None:
    check_batch("y", y, 1, min_size=len(kernel))
    check_match("y", y, kernel)
