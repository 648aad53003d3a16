"""The reference blur on a batch of 32 slices, against conv2d slice by slice and deepinv."""

import torch
from timing import report, seconds
from torch.nn import functional as F

from ippy.problems import motion_deblurring


def main() -> None:
    """Check that all ways agree, then time them."""
    K = motion_deblurring().operator
    x = torch.rand(32, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    kernel = K.kernel[None, None]

    ways = {
        "ippy Blurring, whole batch": lambda: K(x),
        "conv2d, slice by slice": lambda: torch.cat(
            [F.conv2d(image[None], kernel, padding="same") for image in x]
        ),
        "conv2d, whole batch": lambda: F.conv2d(x, kernel, padding="same"),
    }
    try:
        from deepinv.physics import Blur, BlurFFT
    except ImportError:
        print("deepinv is not installed: its rows are left out (pip install -e '.[deepinv]')")
    else:
        # deepinv convolves, so its filter is ours turned by 180 degrees.
        flipped = kernel.flip(-1, -2)
        blur = Blur(filter=flipped, padding="constant")
        blur_fft = BlurFFT(img_size=(1, 256, 256), filter=flipped)
        ways["deepinv Blur"] = lambda: blur.A(x)
        ways["deepinv BlurFFT (periodic border)"] = lambda: blur_fft.A(x)

    inside = (..., slice(16, -16), slice(16, -16))  # borders differ between the libraries
    for name, way in ways.items():
        torch.testing.assert_close(way()[inside], K(x)[inside], msg=f"{name} differs")
    report(seconds(ways))


if __name__ == "__main__":
    main()
