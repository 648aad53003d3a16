"""What training minimises beside torch's own ``nn.MSELoss`` and ``nn.L1Loss``.

Every loss is called as ``loss(x_hat, x)``, estimate first, on images (B, C, H, W) in [0, 1], and
returns one number. Each is computed in float32 at least, also under autocast, but for the
features of :class:`PerceptualLoss`. Arguments are checked as :mod:`ippy.base.images` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ippy.base.checks import LARGEST, check_choice, check_number, check_type, check_window
from ippy.base.images import check_match, check_pair
from ippy.quality.features import MIN_SIZE, alexnet_features, check_colours

C1, C2 = 0.01**2, 0.03**2  # SSIM's constants for images in [0, 1]


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


class SSIMLoss(nn.Module):
    """1 - mean SSIM: differences in local brightness, contrast and structure.

    Wang et al., Image quality assessment: from error visibility to structural
    similarity, IEEE TIP 2004. The windows run over the border, where the
    images are continued by zeros.

    With uniform windows, as published with the course, 1e-8 is added to the
    denominator, which in black windows is only C1 C2 = 9e-8. So equal images
    do not cost 0 but 1 - mean D / (D + 1e-8), D the denominator: 0.1 if they
    are black, about 0.012 for CT slices. Gaussian windows do without it: away
    from the border they agree with scikit-image's (``gaussian_weights=True``,
    ``use_sample_covariance=False``), and equal images cost 0.

    Args:
        window_size: Side of the windows in pixels, odd.
        sigma: Standard deviation in pixels of Gaussian windows; None for
            uniform ones. Wang et al. use 1.5, with windows of 11 pixels.

    Raises:
        ValueError: ``window_size`` is even or out of range, or ``sigma`` is
            not from 0.01 to 1000.
    """

    def __init__(
        self,
        window_size: int = 3,
        *,
        sigma: float | None = None,
    ) -> None:
        super().__init__()
        check_window("window_size", window_size)
        if sigma is not None:
            sigma = check_number("sigma", sigma, least=0.01, most=1000)
        self.window_size = int(window_size)
        self.sigma = sigma
        self.epsilon = 1e-8 if sigma is None else 0.0  # as published, above

    def extra_repr(self) -> str:
        """Return the settings, for ``repr``."""
        return f"window_size={self.window_size}, sigma={self.sigma}"

    def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Map (B, C, H, W) in [0, 1] to 0 ... 2, least for images that are nearly equal."""
        return 1 - self.ssim_map(x_hat, x).mean()

    def ssim_map(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return SSIM window by window: (B, C, H, W), at most 1 but for rounding."""
        check_pair(x_hat, x, data_range=1)
        return self._compare(_at_least_float32(x_hat), _at_least_float32(x))

    def _compare(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return SSIM window by window: (B, C, H, W)."""
        mu_hat, mu = self._average(x_hat), self._average(x)  # (B, C, H, W)
        var_hat = self._average(x_hat * x_hat) - mu_hat * mu_hat
        var = self._average(x * x) - mu * mu
        cov = self._average(x_hat * x) - mu_hat * mu
        similar = (2 * mu_hat * mu + C1) * (2 * cov + C2)
        largest = (mu_hat * mu_hat + mu * mu + C1) * (var_hat + var + C2)
        return similar / (largest + self.epsilon)

    def _average(self, x: Tensor) -> Tensor:
        """Average over the window around each pixel of (B, C, H, W)."""
        k, c = self.window_size, self.window_size // 2
        if self.sigma is None:
            return F.avg_pool2d(x, k, stride=1, padding=c)
        offsets = range(-c, k - c)
        taps = [math.exp(-(t**2) / (2 * self.sigma**2)) for t in offsets]
        weights = [tap / sum(taps) for tap in taps]
        # down the columns, then along the rows
        for axis, pad in ((2, (0, 0, c, c)), (3, (c, c))):
            n, padded = x.shape[axis], F.pad(x, pad)
            parts = (padded.narrow(axis, i, n) for i in range(k))
            x = sum(w * part for w, part in zip(weights, parts, strict=True))
        return x


class FourierLoss(nn.Module):
    """mean |F(x_hat) - F(x)|^p over the coefficients of the orthonormal 2-D Fourier transform.

    Jiang et al., Focal frequency loss for image reconstruction and synthesis, ICCV 2021.

    Args:
        p: 1 or 2. With 2 and all frequencies it is the mean squared error (Parseval).
        high_pass: Cut-off in cycles per pixel, from 0 to below 0.5: only coefficients with at least
            this frequency, sqrt(f_row^2 + f_column^2), are compared. 0 compares them all.

    Raises:
        ValueError: ``p`` or ``high_pass`` is outside its range.
    """

    def __init__(self, *, p: int = 1, high_pass: float = 0.0) -> None:
        super().__init__()
        self.p = check_choice("p", p, (1, 2))
        self.high_pass = check_number("high_pass", high_pass, least=0, most=0.5)
        if self.high_pass == 0.5:
            raise ValueError("high_pass is 0.5, the largest frequency there is; expected less")

    def extra_repr(self) -> str:
        """Return the settings, for ``repr``."""
        return f"p={self.p}, high_pass={self.high_pass}"

    def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return a number, 0 for equal images, for images (B, C, H, W).

        Raises:
            ValueError: The images are so small that none of their frequencies is compared.
        """
        check_pair(x_hat, x)
        H, W = x.shape[2:]
        if not torch.jit.is_tracing() and math.hypot(H // 2 / H, W // 2 / W) < self.high_pass:
            raise ValueError(
                f"x is {H}x{W} pixels; no frequency of so small an image reaches high_pass "
                f"{self.high_pass}"
            )
        error = _at_least_float32(x_hat) - _at_least_float32(x)
        spectrum = torch.fft.fft2(error, norm="ortho")  # (B, C, H, W), complex; F is linear
        # p = 2 without the root of abs, which has no second derivative at 0
        sizes = spectrum.abs() if self.p == 1 else torch.view_as_real(spectrum).square().sum(-1)
        if self.high_pass == 0:
            return sizes.mean()
        passes = self._passes(H, W, device=x.device).to(sizes.dtype)  # (H, W)
        return (sizes * passes).mean() / passes.mean()

    def _passes(self, H: int, W: int, *, device: torch.device) -> Tensor:
        """Return which coefficients are compared: (H, W) booleans."""
        rows = torch.fft.fftfreq(H, device=device)[:, None]  # (H, 1), cycles per pixel
        columns = torch.fft.fftfreq(W, device=device)[None, :]  # (1, W)
        return torch.hypot(rows, columns) >= self.high_pass * (1 - 1e-6)  # float32 rounds down


class PerceptualLoss(nn.Module):
    """sum_l w_l mean |phi_l(x_hat) - phi_l(x)|^p, phi the frozen AlexNet features of LPIPS.

    Johnson et al., Perceptual losses for real-time style transfer and super-resolution, ECCV 2016.

    Args:
        weights: w_l for the five ReLU outputs, 0 or more; a 0 leaves the layer out.
        p: 1 or 2.

    Raises:
        ValueError: ``weights`` are not five numbers of 0 or more, or ``p`` is not 1 or 2.
        FileNotFoundError: The pretrained features can't be had.
    """

    def __init__(self, *, weights: Sequence[float] = (1, 1, 1, 1, 1), p: int = 1) -> None:
        super().__init__()
        self.p = check_choice("p", p, (1, 2))
        if isinstance(weights, np.ndarray):
            weights = weights.tolist()
        check_type("weights", weights, (tuple, list), "(1, 1, 1, 1, 1)")
        if len(weights) != 5:
            raise ValueError(f"weights has {len(weights)} entries; expected 5, one a layer")
        self.weights = tuple(
            check_number(f"weights[{number}]", weight, least=0, most=LARGEST)
            for number, weight in enumerate(weights)
        )
        if not any(self.weights):
            raise ValueError("weights are all 0; expected one layer at least to be compared")
        # ImageNet's mean and standard deviation, red, green, blue
        for name, colours in (("mean", [0.485, 0.456, 0.406]), ("std", [0.229, 0.224, 0.225])):
            values = torch.tensor(colours, dtype=torch.float32)[:, None, None]  # (3, 1, 1)
            self.register_buffer(name, values)
        self.features = alexnet_features().to(values.device)

    def extra_repr(self) -> str:
        """Return the settings, for ``repr``."""
        return f"weights={self.weights}, p={self.p}"

    def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return a number, 0 for equal images, for images (B, 1 or 3, H, W) in [0, 1]."""
        check_pair(x_hat, x, min_size=MIN_SIZE, data_range=1)
        check_colours(x)
        check_match("x", x.to(self.mean.dtype), self.mean)
        estimated = self.features(self._normalise(x_hat))  # 5 times (B, C_l, H_l, W_l)
        layers = zip(self.weights, estimated, self.features(self._normalise(x)), strict=True)
        return sum(w * (a.float() - b.float()).abs().pow(self.p).mean() for w, a, b in layers if w)

    def _normalise(self, x: Tensor) -> Tensor:
        colours = x.to(self.mean.dtype).expand(-1, 3, -1, -1)  # (B, 3, H, W)
        return (colours - self.mean) / self.std


class CombinedLoss(nn.Module):
    """A weighted sum of losses that also reports each of them.

    ``CombinedLoss({"MSE": (1.0, nn.MSELoss()), "Fourier": (0.1, FourierLoss())})``

    Args:
        losses: Weight, 0 or more, and loss for each name.

    Raises:
        ValueError: There is no loss, or a weight is negative or not finite.
    """

    def __init__(self, losses: Mapping[str, tuple[float, nn.Module]]) -> None:
        super().__init__()
        example = "{'MSE': (1.0, nn.MSELoss())}"
        check_type("losses", losses, Mapping, example)
        if not losses:
            raise ValueError(f"losses is empty; expected a dict such as {example}")
        self.weights = {}
        for name, entry in losses.items():
            if not (isinstance(entry, (tuple, list)) and len(entry) == 2):
                raise TypeError(
                    f"losses[{name!r}] is not a pair (weight, loss); expected a dict such as "
                    f"{example}"
                )
            weight = check_number(f"losses[{name!r}][0]", entry[0], least=0, most=LARGEST)
            self.weights[name] = entry[0] if isinstance(entry[0], Tensor) else weight
            if isinstance(entry[0], nn.Parameter):  # it is learned
                self.register_parameter(f"weight_{len(self.weights) - 1}", entry[0])
            check_type(f"losses[{name!r}][1]", entry[1], nn.Module, "nn.MSELoss()")
        self.losses = nn.ModuleList(loss for _, loss in losses.values())

    def extra_repr(self) -> str:
        """Return the weights, for ``repr``."""
        return f"weights={self.weights}"

    def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the weighted sum, for images (B, C, H, W)."""
        return sum(self.weights[name] * value for name, value in self.terms(x_hat, x).items())

    def terms(self, x_hat: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Return each loss by its name, not weighted."""
        check_pair(x_hat, x)
        dtype = torch.promote_types(x_hat.dtype, x.dtype)  # torch's own losses take one type
        x_hat, x = x_hat.to(dtype), x.to(dtype)
        named = zip(self.weights, self.losses, strict=True)
        return {name: loss(x_hat, x) for name, loss in named}
