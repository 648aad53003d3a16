"""Operators against conv2d, the adjoint identity and autograd; the noise; the problem."""

import math

import pytest
import torch
from torch.nn import functional as F

from ippy.operators import Blurring
from ippy.problems import gaussian_noise, motion_deblurring

from .callers import CALLERS_STATES

RAGGED = torch.tensor([[0.0, 2.0, 0.0], [-1.0, 0.5, 0.0], [0.0, 0.0, 3.0]], dtype=torch.float64)
OPERATORS = {
    "reference motion": Blurring((256, 256), kernel_type="motion", kernel_size=9, motion_angle=20),
    "steep motion": Blurring(kernel_type="motion", kernel_size=7, motion_angle=115),
    "Gaussian": Blurring(kernel_type="gaussian", kernel_size=5, kernel_variance=1.5),
    "custom, not symmetric": Blurring(kernel=RAGGED),
    "one pixel": Blurring(kernel=torch.tensor([[2.0]])),
}
OPERATORS |= {f"adjoint of {name}": K.T for name, K in OPERATORS.items()}
every_operator = pytest.mark.parametrize("K", OPERATORS.values(), ids=OPERATORS)


def images(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@every_operator
@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (1, 3, 17, 40), (5, 3)], ids=str)
def test_adjoint_identity_and_autograd(K, shape):
    x, y = images(*shape, seed=1), images(*shape, seed=2)
    left, right = (K(x) * y).sum(), (x * K.T(y)).sum()
    scale = torch.linalg.vector_norm(x) * torch.linalg.vector_norm(y)
    assert abs(left - right) / scale < 1e-12

    x.requires_grad_()
    (gradient,) = torch.autograd.grad((K @ x * y).sum(), x)
    torch.testing.assert_close(gradient, K.T(y), rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(K, images(1, 1, 6, 5).requires_grad_())
    assert torch.autograd.gradgradcheck(K, images(1, 1, 6, 5).requires_grad_())
    assert K.T.T is K or K.T.T(x).equal(K(x))


@pytest.mark.parametrize("name", [n for n in OPERATORS if not n.startswith("adjoint")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_blurring_is_correlation_with_zero_padding(name, dtype):
    K, x = OPERATORS[name], images(3, 1, 40, 31, dtype=dtype)
    expected = F.conv2d(x, K.kernel.to(dtype)[None, None], padding="same")
    assert K(x).dtype == dtype
    torch.testing.assert_close(K(x), expected)
    torch.testing.assert_close(K(x[0, 0]), expected[0, 0])


def test_reference_kernel_is_eight_taps_of_an_eighth():
    kernel = motion_deblurring().operator.kernel
    assert kernel.shape == (9, 9)
    expected = {(2, 0), (2, 1), (3, 2), (3, 3), (4, 4), (4, 5), (5, 6), (5, 7)}
    assert {tuple(place) for place in kernel.nonzero().tolist()} == expected
    assert (kernel[kernel > 0] == 1 / 8).all()
    assert Blurring(kernel=kernel).img_shape == (256, 256)


def test_gaussian_kernel_follows_its_formula():
    kernel = Blurring(kernel_type="gaussian", kernel_size=5, kernel_variance=2.0).kernel
    raw = [[math.exp(-(i * i + j * j) / 4.0) for j in range(-2, 3)] for i in range(-2, 3)]
    expected = torch.tensor(raw) / torch.tensor(raw).sum()
    torch.testing.assert_close(kernel, expected)


def test_half_precision_accumulates_in_float32():
    K, x = OPERATORS["reference motion"], images(1, 1, 32, 32, dtype=torch.float32).bfloat16()
    assert K(x).dtype == torch.bfloat16
    torch.testing.assert_close(K(x), K(x.float()).bfloat16(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "either kernel.* got neither"),
        ({"kernel_type": "motion", "kernel": torch.ones(3, 3)}, "either kernel.* got both"),
        ({"kernel": object()}, r"kernel can't be made a \(k, k\) tensor"),
        ({"kernel_type": "box"}, "kernel_type is 'box'"),
        ({"kernel_type": "motion", "kernel_size": 8}, "odd"),
        ({"kernel_type": "gaussian", "kernel_variance": 0.0}, "kernel_variance"),
        ({"kernel": torch.ones(3, 5)}, r"\(k, k\)"),
        ({"kernel": torch.zeros(3, 3)}, "kernel sums to 0"),
        ({"kernel_type": "motion", "img_shape": (64,)}, "img_shape has 1 entries"),
    ],
)
def test_bad_kernels_are_explained(arguments, says):
    with pytest.raises(ValueError, match=says):
        Blurring(**arguments)


@pytest.mark.parametrize("state", CALLERS_STATES.values(), ids=CALLERS_STATES)
@pytest.mark.parametrize("kernel_type", ["motion", "gaussian"])
def test_a_kernel_is_the_same_in_any_state(kernel_type, state):
    expected = Blurring(kernel_type=kernel_type, kernel_size=5).kernel
    with state():
        kernel = Blurring(kernel_type=kernel_type, kernel_size=5).kernel
    assert kernel.dtype == torch.float32 and kernel.equal(expected)


def test_bad_images_are_explained():
    K = OPERATORS["reference motion"]
    with pytest.raises(TypeError, match="floating-point"):
        K(torch.ones(1, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"\(\.\.\., H, W\)"):
        K(torch.ones(8))
    with pytest.raises(ValueError, match="x holds NaN"):
        K(torch.full((1, 1, 8, 8), torch.nan))
    assert K(torch.ones(0, 1, 8, 8)).shape == (0, 1, 8, 8)


def test_bad_measurements_are_explained():
    with pytest.raises(ValueError, match=r"y has shape \(8,\); expected \(B, C, H, W\), "):
        gaussian_noise(torch.ones(8), 0.1)
    with pytest.raises(TypeError, match=r"generator is an int; expected a torch\.Generator"):
        motion_deblurring().measure(torch.ones(1, 1, 8, 8), 3)


@pytest.mark.parametrize("shape", [(3, 1, 16, 16), (1, 16, 16), (16, 16)], ids=str)
def test_noise_has_the_asked_norm_image_by_image(shape):
    y = images(*shape, seed=3)
    e = gaussian_noise(y, 0.05, torch.Generator().manual_seed(0))
    pairs = zip(y, e, strict=True) if len(shape) == 4 else [(y, e)]
    for image, noise in pairs:
        ratio = torch.linalg.vector_norm(noise) / torch.linalg.vector_norm(image)
        assert ratio.item() == pytest.approx(0.05, rel=1e-9)


def test_a_batch_is_measured_like_its_images_one_by_one():
    x = torch.rand(3, 1, 33, 21, generator=torch.Generator().manual_seed(0))
    problem = motion_deblurring()
    together = problem.measure(x, torch.Generator().manual_seed(123))
    generator = torch.Generator().manual_seed(123)
    one_by_one = torch.cat([problem.measure(image[None], generator) for image in x])
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=0)
    assert not together.equal(problem.measure(x, torch.Generator().manual_seed(124)))


def test_one_image_gets_the_published_noise():
    y = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    e = torch.randn(y.shape, generator=torch.Generator().manual_seed(123))
    expected = e / e.norm() * y.norm() * 0.01
    noise = gaussian_noise(y, 0.01, torch.Generator().manual_seed(123))
    torch.testing.assert_close(noise, expected)


def test_noise_without_a_generator_is_torchs_own():
    y = images(1, 1, 16, 16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        found = gaussian_noise(y, 0.05)
    assert found.equal(gaussian_noise(y, 0.05, torch.Generator().manual_seed(7)))


def test_noise_leaves_the_global_state_alone_and_a_black_image_black():
    before = torch.get_rng_state()
    assert not gaussian_noise(torch.zeros(1, 1, 8, 8), 0.1, torch.Generator().manual_seed(0)).any()
    assert torch.get_rng_state().equal(before)
    with pytest.raises(ValueError, match="noise_level is -1"):
        gaussian_noise(torch.ones(1, 1, 8, 8), -1)
