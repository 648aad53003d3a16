"""Reconstruction without learning, to see what learning buys: Tikhonov and total variation.

Both know the blur, and both continue the image periodically beyond its border, where a correlation
is a product of Fourier coefficients. They are modules, so that they can stand beside the networks
in :func:`ippy.evaluation.evaluate`.
"""

from __future__ import annotations

import numpy as np
import torch
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor, nn

from ippy.checks import check_batch
from ippy.operators import Blurring

# Of a few values, those with the highest mean PSNR over one slice of each generated body of the
# training set at 1 % noise; the chapter on model comparison shows the search.
TIKHONOV_WEIGHT = 5e-3
TV_WEIGHT = 3e-4


class Tikhonov(nn.Module):
    r"""The minimiser of ||K x - y||^2 + weight ||x||^2, in one division per Fourier coefficient.

    Tikhonov and Arsenin, Solutions of ill-posed problems, Winston 1977. For white signal and noise
    it is the Wiener filter, with weight the ratio of their powers.

    Args:
        operator: The blur K.
        weight: Strength of the regularisation, above 0.

    Raises:
        ValueError: ``weight`` is not above 0.
    """

    def __init__(self, operator: Blurring, weight: float = TIKHONOV_WEIGHT) -> None:
        super().__init__()
        _check_positive(weight=weight)
        self.weight = weight
        self.register_buffer("kernel", operator.kernel)

    def forward(self, y: Tensor) -> Tensor:
        """Restore measurements (B, 1, H, W), no smaller than the kernel."""
        check_batch("y", y, 1, min_size=len(self.kernel))
        h = transfer(self.kernel, y.shape[-2:])
        return torch.fft.ifft2(h.conj() * torch.fft.fft2(y) / (h.abs() ** 2 + self.weight)).real


class TotalVariation(nn.Module):
    r"""The minimiser of ||K x - y||^2 / 2 + weight TV(x): images that are flat between edges.

    Rudin, Osher and Fatemi, Nonlinear total variation based noise removal algorithms, Physica D
    1992. It is found by the alternating direction method of multipliers (Boyd et al., 2011): in
    turn a Tikhonov inverse and the total-variation denoiser of scikit-image (Chambolle, 2004).

    Args:
        operator: The blur K.
        weight: Strength of the regularisation, above 0.
        steps: Number of iterations.
        penalty: What holds the two halves together, above 0; it sets the speed, not the limit.

    Raises:
        ValueError: ``weight``, ``penalty`` or ``steps`` is not above 0.
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
        _check_positive(weight=weight, steps=steps, penalty=penalty)
        self.weight, self.steps, self.penalty = weight, steps, penalty
        self.register_buffer("kernel", operator.kernel)

    def forward(self, y: Tensor) -> Tensor:
        """Restore measurements (B, 1, H, W), no smaller than the kernel; without a gradient."""
        check_batch("y", y, 1, min_size=len(self.kernel))
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


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} is {value}; expected a number above 0")
