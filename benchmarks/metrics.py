"""SSIM of a batch of 32 slices, against scikit-image's loop."""

import torch
from skimage.metrics import structural_similarity
from timing import report, seconds

from ippy.quality import ssim


def main() -> None:
    """Check that the values agree to 1e-5, then time both."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(32, 1, 256, 256, generator=generator)
    x_hat = (x + 0.1 * torch.randn(x.shape, generator=generator)).clamp(0, 1)

    def loop() -> torch.Tensor:
        pairs = zip(x_hat.numpy(), x.numpy(), strict=True)
        return torch.tensor([structural_similarity(a[0], b[0], data_range=1.0) for a, b in pairs])

    torch.testing.assert_close(ssim(x_hat, x), loop().float(), rtol=0, atol=1e-5)
    report(seconds({"ippy.quality.ssim": lambda: ssim(x_hat, x), "scikit-image, loop": loop}))


if __name__ == "__main__":
    main()
