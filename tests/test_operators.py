"""Operators against conv2d, the adjoint identity and autograd; the noise; the problem."""

import math

import numpy as np
import pytest
import torch
from skimage.transform import iradon, radon
from torch.nn import functional as F

from ippy.operators import (
    Blurring,
    FourierSampling,
    Ghost,
    ParallelBeam,
    random_lines,
    regular_lines,
)
from ippy.problems import TASKS, gaussian_noise, motion_deblurring
from ippy.problems.tasks import make_task

from .callers import CALLERS_STATES

RAGGED = torch.tensor([[0.0, 2.0, 0.0], [-1.0, 0.5, 0.0], [0.0, 0.0, 3.0]], dtype=torch.float64)
BLURS = {
    "reference motion": Blurring((256, 256), kernel_type="motion", kernel_size=9, motion_angle=20),
    "steep motion": Blurring(kernel_type="motion", kernel_size=7, motion_angle=115),
    "Gaussian": Blurring(kernel_type="gaussian", kernel_size=5, kernel_variance=1.5),
    "custom, not symmetric": Blurring(kernel=RAGGED),
    "one pixel": Blurring(kernel=torch.tensor([[2.0]])),
}
OPERATORS = BLURS | {
    "tomography": ParallelBeam(6, views=6),
    "tomography, odd and short": ParallelBeam(5, views=3, bins=4),
    "Fourier": FourierSampling(random_lines((9, 8), factor=3, generator=torch.Generator())),
    "ghost": Ghost(4, 0.7),
    "ghost above": Ghost(-13, 1.0),
}
OPERATORS |= {f"adjoint of {name}": K.T for name, K in OPERATORS.items()}
every_operator = pytest.mark.parametrize("K", OPERATORS.values(), ids=OPERATORS)


def inputs(K, *shape, seed=0, dtype=torch.float64):
    """Return random images of a shape, the last two axes those that K takes."""
    return images(*shape[:-2], *(K.in_shape or shape[-2:]), seed=seed, dtype=dtype)


def images(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@every_operator
@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (1, 3, 17, 40), (5, 3)], ids=str)
def test_adjoint_identity_and_autograd(K, shape):
    x = inputs(K, *shape, seed=1)
    y = inputs(K.T, *K(x).shape, seed=2)
    left, right = (K(x) * y).sum(), (x * K.T(y)).sum()
    scale = torch.linalg.vector_norm(x) * torch.linalg.vector_norm(y)
    assert abs(left - right) / scale < 1e-12

    x.requires_grad_()
    (gradient,) = torch.autograd.grad((K @ x * y).sum(), x)
    torch.testing.assert_close(gradient, K.T(y), rtol=1e-12, atol=1e-12)
    assert K.T.T is K or K.T.T(x).equal(K(x))
    assert K.normal(x).equal(K.T(K(x)))


@pytest.mark.parametrize("name", TASKS)
def test_the_operators_of_the_tasks_are_exact_on_a_slice(name):
    K = make_task(name).operator
    x = images(1, 1, 256, 256, seed=1)
    y = images(*K(x).shape, seed=2)
    left, right = (K(x) * y).sum(), (x * K.T(y)).sum()
    assert abs(left - right) / (x.norm() * y.norm()) < 1e-12


@every_operator
def test_derivatives_are_those_of_finite_differences(K):
    assert torch.autograd.gradcheck(K, inputs(K, 1, 1, 6, 5).requires_grad_())
    assert torch.autograd.gradgradcheck(K, inputs(K, 1, 1, 6, 5).requires_grad_())


@every_operator
def test_operators_are_linear(K):
    x, z = inputs(K, 2, 1, 14, 9, seed=1), inputs(K, 2, 1, 14, 9, seed=2)
    torch.testing.assert_close(K(2.5 * x - z), 2.5 * K(x) - K(z), rtol=1e-12, atol=1e-12)
    assert not K(0 * x).any()


@every_operator
def test_a_batch_is_its_images_one_by_one(K):
    x = inputs(K, 3, 7, 14, 9, dtype=torch.float32)  # more images than are in the cache
    one_by_one = torch.stack([torch.stack([K(image) for image in images]) for images in x])
    torch.testing.assert_close(K(x), one_by_one, rtol=1e-6, atol=1e-6)
    shape = K.out_shape or (14, 9)
    assert K(x).shape == (3, 7, *shape) and K(x[:0]).shape == (0, 7, *shape)
    torch.testing.assert_close(K(x.mT.contiguous().mT), K(x), rtol=1e-6, atol=1e-6)


@every_operator
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_operators_keep_type_and_device(K, dtype):
    x = inputs(K, 2, 1, 14, 9).to(dtype)
    assert K(x).dtype == dtype
    torch.testing.assert_close(K(x), K(x.double()).to(dtype), rtol=2e-2, atol=2e-2)
    assert K(x.to("meta")).device.type == "meta"
    with torch.autocast("cpu"):
        torch.testing.assert_close(K(x), K(x))
        assert K(x).dtype == dtype


@every_operator
def test_what_no_operator_takes_is_explained(K):
    x = inputs(K, 1, 1, 14, 9)
    for bad, error, says in [
        (None, TypeError, "x is None; expected a torch.Tensor"),
        (x.long(), TypeError, "expected floating-point numbers"),
        (x[0, 0, 0], ValueError, r"x has shape .*; expected"),
        (x * math.nan, ValueError, "x holds NaN"),
        (x * math.inf, ValueError, "x holds"),
    ]:
        with pytest.raises(error, match=says):
            K(bad)
    if K.in_shape:
        rows, columns = K.in_shape
        with pytest.raises(ValueError, match=rf"expected \(\.\.\., {rows}, {columns}\)\.$"):
            K(x[..., :-1])


@pytest.mark.parametrize("name", BLURS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_blurring_is_correlation_with_zero_padding(name, dtype):
    K, x = BLURS[name], images(3, 1, 40, 31, dtype=dtype)
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


def disc(n, radius, down=0.0, right=0.0):
    """Return a disc of grey level 1, smoothed over a pixel at its edge, (1, 1, n, n)."""
    places = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
    distance = torch.hypot(places[:, None] - down, places - right)
    return (radius + 0.5 - distance).clamp(0, 1)[None, None]


@pytest.mark.parametrize("views", [9, 24])
def test_projections_of_a_disc_are_its_chords(views):
    n, radius, down, right = 96, 20, 8.0, -13.0
    K = ParallelBeam(n, views)
    angle = torch.arange(views, dtype=torch.float64)[:, None] * math.pi / views
    t = torch.arange(K.bins, dtype=torch.float64) - (K.bins - 1) / 2
    from_centre = t - (right * torch.cos(angle) - down * torch.sin(angle))
    chords = 2 * (radius**2 - from_centre.square()).clamp(min=0).sqrt()
    error = K(disc(n, radius, down, right))[0, 0] - chords
    assert error.square().mean().sqrt() < 0.01 * chords.max()
    assert K(disc(n, 20)).sum(dim=-1).std() < 0.5  # each view has all of the mass, pi 20² = 1257


def test_rays_at_right_angles_are_sums_of_columns_and_rows():
    K, x = ParallelBeam(12, 2), images(1, 1, 12, 12)
    border = (K.bins - 12) // 2
    sums = F.pad(torch.stack([x.sum(dim=-2), x.sum(dim=-1).flip(-1)], dim=-2), (border, border))
    torch.testing.assert_close(K(x), sums)


@pytest.mark.parametrize("views", [30, 60, 180, 720])
@pytest.mark.parametrize("filter", ["ramp", "shepp-logan", "hann"])
def test_fbp_keeps_the_value_of_a_disc(views, filter):
    K, x = ParallelBeam(64, views), disc(64, 20, 3, -4)
    inside, outside = disc(64, 15, 3, -4) == 1, disc(64, 25, 3, -4) == 0
    x_hat = K.fbp(K(x), filter=filter)
    assert x_hat[inside].mean().item() == pytest.approx(1, abs=4e-3)
    assert x_hat[outside].mean().item() == pytest.approx(0, abs=4e-3)


def test_filters_are_softer_one_after_the_other():
    K, x = ParallelBeam(64, 180), disc(64, 20)
    noise = images(1, 1, 180, K.bins)
    spread = [K.fbp(noise, filter=f).std().item() for f in ("ramp", "shepp-logan", "hann")]
    assert spread[0] > 1.15 * spread[1] > 1.3 * spread[2]
    with pytest.raises(ValueError, match="filter is 'cosine'; expected one of 'ramp'"):
        K.fbp(K(x), filter="cosine")
    with pytest.raises(ValueError, match=rf"y has .*; expected \(\.\.\., 180, {K.bins}\)"):
        K.fbp(x)


def smooth(n):
    """Return two smooth blobs, (n, n)."""
    places = torch.arange(n, dtype=torch.float64) - n // 2
    first = (places[:, None] + n / 12) ** 2 + (places - n / 20) ** 2
    second = (places[:, None] - n / 6) ** 2 + (places - n / 8) ** 2
    return torch.exp(-first / (n / 16) ** 2) + 0.5 * torch.exp(-second / (n / 12) ** 2)


def test_tomography_agrees_with_scikit_image():
    n = 127  # odd: there the centre is a pixel in both
    K, x = ParallelBeam(n, 20), smooth(127)
    border = (K.bins - n) // 2
    degrees = np.arange(20) * 9.0
    projected = radon(np.pad(x.numpy(), border), theta=degrees, circle=True)
    y = K(x)
    relative = (y - torch.from_numpy(projected.T)).norm() / y.norm()
    assert relative < 5e-4
    restored = iradon(y.T.numpy(), theta=degrees, circle=True)
    kept = slice(border, border + n)
    torch.testing.assert_close(
        K.fbp(y), torch.from_numpy(restored[kept, kept].copy()), atol=1e-5, rtol=0
    )


def test_fbp_is_linear_in_a_batch_and_has_its_derivative():
    K = ParallelBeam(5, views=3)
    y = images(2, 2, 3, K.bins)
    together = K.fbp(y)
    torch.testing.assert_close(together[1, 0], K.fbp(y[1, 0]))
    assert torch.autograd.gradcheck(K.fbp, y.requires_grad_())
    torch.testing.assert_close(torch.func.vmap(K.fbp)(y), together)
    tangent = torch.func.jvp(K.fbp, (y,), (y,))[1]
    torch.testing.assert_close(tangent, together)
    assert K.fbp(y.bfloat16()).dtype == torch.bfloat16


def test_what_is_sampled_is_the_orthonormal_transform():
    mask = torch.zeros(8, 6, dtype=torch.bool)
    mask[4, 3] = mask[5, 1] = True  # frequencies (0, 0) and (1, -2)
    K, x = FourierSampling(mask), images(3, 1, 8, 6)
    spectrum = torch.fft.fft2(x, norm="ortho")
    found = torch.view_as_complex(K(x))
    torch.testing.assert_close(found, torch.stack([spectrum[..., 0, 0], spectrum[..., 1, -2]], -1))
    everything = FourierSampling(torch.ones(8, 6, dtype=torch.bool))
    torch.testing.assert_close(everything.T(everything(x)), x)
    torch.testing.assert_close(everything(x).norm(), x.norm())
    torch.testing.assert_close(K.direct(K(x)), K.T(K(x)))


def test_a_conjugated_view_is_as_good_as_its_copy():
    K, x = Blurring(kernel_type="motion", kernel_size=3), torch.fft.fft2(images(1, 1, 8, 8))
    torch.testing.assert_close(K(x.conj()), K(x.conj().resolve_conj()))


@pytest.mark.parametrize(
    ("mask", "error", "says"),
    [
        (None, TypeError, r"mask is None; .*regular_lines\(\(256, 256\)\)"),
        (torch.ones(8, 8), TypeError, r"mask holds torch.float32; expected truth values"),
        (torch.ones(8, dtype=torch.bool), ValueError, r"expected \(H, W\)"),
        (torch.zeros(8, 8, dtype=torch.bool), ValueError, "mask selects no frequency"),
    ],
)
def test_bad_masks_are_explained(mask, error, says):
    with pytest.raises(error, match=says):
        FourierSampling(mask)


@pytest.mark.parametrize("lines", [regular_lines, random_lines])
@pytest.mark.parametrize(("shape", "factor"), [((256, 192), 4), ((33, 8), 3.3), ((16, 16), 1)])
def test_masks_have_so_many_rows_and_a_dense_centre(lines, shape, factor):
    mask = lines(shape, factor=factor, centre=0.125)
    rows = mask[:, 0]
    assert mask.shape == shape and mask.equal(rows[:, None].expand(shape))
    assert rows.sum() == round(shape[0] / factor)
    dense, middle = round(0.125 * shape[0]), shape[0] // 2
    assert rows[middle - dense // 2 :][:dense].all()


def test_rows_are_evenly_spaced_or_drawn():
    gaps = regular_lines((256, 8))[:118, 0].nonzero().flatten().diff()
    assert set(gaps.tolist()) == {5, 6}
    drawn = [
        random_lines((256, 8), generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    ]
    assert drawn[0].equal(drawn[1]) and not drawn[0].equal(drawn[2])
    assert len(set(drawn[0][:118, 0].nonzero().flatten().diff().tolist())) > 3
    with pytest.raises(ValueError, match=r"centre is 0\.5, 128 rows, and factor 4\.0 leaves 64"):
        regular_lines(centre=0.5)


def test_a_ghost_is_a_copy_so_many_rows_below():
    x = torch.zeros(1, 1, 8, 5)
    x[..., 6, 2] = 1.5
    y = Ghost(3, 0.5)(x)
    assert y[0, 0].nonzero().tolist() == [[1, 2], [6, 2]]
    assert y[0, 0, :, 2].tolist() == [0, 0.5, 0, 0, 0, 0, 1, 0]
    for arguments, says in [((2**20,), "shift is 1048576"), ((3, 1.5), "strength is 1.5")]:
        with pytest.raises(ValueError, match=says):
            Ghost(*arguments)


def test_a_matrix_that_would_fill_the_memory_is_refused():
    with pytest.raises(ValueError, match=r"n is 4096 and views is 360, too many"):
        ParallelBeam(4096, 360)
    with pytest.raises(ValueError, match="views is 0; expected 1 to 4096"):
        ParallelBeam(64, 0)


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


def test_an_operator_keeps_its_kernel_when_the_caller_changes_his() -> None:
    for kernel in (torch.full((3, 3), 1 / 9), np.full((3, 3), 1 / 9, np.float32)):
        K = Blurring(kernel=kernel)
        kernel[:] = 0
        assert K.kernel.sum().item() == pytest.approx(1)


def test_samples_as_many_as_pixels_are_still_no_image() -> None:
    K = FourierSampling(torch.tensor([[True, True]] * 2 + [[False, False]] * 2))
    y = K(torch.rand(1, 1, 4, 2))
    assert K.out_shape == K.in_shape
    torch.testing.assert_close(K.direct(y), K.T(y))
