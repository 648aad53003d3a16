"""Operators beside those of other libraries: the values agree, and how much faster ours are.

The reference blur on 32 slices, against conv2d slice by slice and deepinv; tomography of one slice
from 60 views, against scikit-image and deepinv.
"""

import numpy as np
import torch
from skimage.transform import iradon, radon
from timing import report, seconds
from torch import Tensor
from torch.nn import functional as F

from ippy.operators import ParallelBeam
from ippy.problems import motion_deblurring, sparse_view_ct

try:
    from deepinv.physics import Blur, BlurFFT, Tomography
except ImportError:
    Blur = None


def main() -> None:
    """Check that all ways agree, then time them."""
    if Blur is None:
        print("deepinv is not installed: its rows are left out (pip install -e '.[deepinv]')")
    blurring()
    tomography()


def blurring() -> None:
    """Blur a batch of slices."""
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
    if Blur is not None:
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


def tomography() -> None:
    """Project a slice, and reconstruct it by filtered back-projection."""
    agreement()
    K, x = sparse_view_ct().operator, blobs(256)[None, None]
    y, degrees = K(x), np.arange(60) * 3.0
    border = (K.bins - 256) // 2
    whole = np.pad(x[0, 0].numpy(), border)  # scikit-image's detector is as wide as the image
    projected = y[0, 0].T.numpy()
    forward = {
        "ippy ParallelBeam": lambda: K(x),
        "scikit-image radon": lambda: radon(whole, theta=degrees, circle=True),
    }
    back = {
        "ippy fbp": lambda: K.fbp(y),
        "scikit-image iradon": lambda: iradon(projected, theta=degrees, circle=True),
    }
    adjoint = {"ippy K.T": lambda: K.T(y)}
    if Blur is not None:
        theirs = Tomography(torch.from_numpy(degrees).float(), img_width=256, normalize=False)
        measured = theirs.A(x)
        forward["deepinv Tomography"] = lambda: theirs.A(x)
        back["deepinv Tomography, A_dagger"] = lambda: theirs.A_dagger(measured)
        adjoint["deepinv Tomography, A_adjoint"] = lambda: theirs.A_adjoint(measured)
        print(f"deepinv's fbp and ours: {difference(theirs.A_dagger(measured), K.fbp(y)):.1e}")
    for ways in (forward, back, adjoint):
        report(seconds(ways, rounds=3, calls=2))
    print(f"ippy build: {seconds({'': lambda: ParallelBeam()}, rounds=3, calls=1)['']:.2f} s")


def agreement() -> None:
    """Compare values with scikit-image on a smooth image of odd size: there the centres agree."""
    n, degrees = 255, np.arange(60) * 3.0
    K, x = ParallelBeam(n), blobs(n)
    border = (K.bins - n) // 2
    theirs = radon(np.pad(x.numpy(), border), theta=degrees, circle=True).T
    y, kept = K(x), slice(border, border + n)
    restored = iradon(y.T.double().numpy(), theta=degrees, circle=True)[kept, kept]
    print(f"scikit-image's projections and ours: {difference(theirs, y):.1e}")
    print(f"scikit-image's reconstruction and ours: {difference(restored, K.fbp(y)):.1e}")


def blobs(n: int) -> Tensor:
    """Return two smooth blobs, (n, n)."""
    u = torch.arange(n) - n // 2
    first = (u[:, None] + n / 12) ** 2 + (u - n / 20) ** 2
    second = (u[:, None] - n / 6) ** 2 + (u - n / 8) ** 2
    return torch.exp(-first / (n / 16) ** 2) + 0.5 * torch.exp(-second / (n / 12) ** 2)


def difference(a: Tensor | np.ndarray, b: Tensor) -> float:
    """Return the norm of a - b as a fraction of b's."""
    return float((torch.as_tensor(a) - b).norm() / b.norm())


if __name__ == "__main__":
    main()
