"""The generator: deterministic, varied, and in the grey range of a CT slice."""

from __future__ import annotations

import numpy as np
import pytest

from ippy.data.phantoms import generate_slice
from ippy.data.phantoms.acquisition import scanner_noise
from ippy.data.phantoms.canvas import blob, coverage


@pytest.mark.parametrize(
    ("split", "patient"), [("test", "G91"), ("train", "G03"), ("train", "T02")]
)
def test_a_slice_is_uint8_256_by_256_and_repeatable(split, patient):
    first = generate_slice(0, split, patient, 4, 10)
    assert first.shape == (256, 256)
    assert first.dtype == np.uint8
    generate_slice(0, split, "G01", 0, 10)  # what was made before does not matter
    assert np.array_equal(first, generate_slice(0, split, patient, 4, 10))


def test_seed_split_patient_and_index_all_change_the_slice():
    slices = [
        generate_slice(0, "train", "G01", 1, 8),
        generate_slice(1, "train", "G01", 1, 8),
        generate_slice(0, "test", "G01", 1, 8),
        generate_slice(0, "train", "G02", 1, 8),
        generate_slice(0, "train", "T01", 1, 8),
        generate_slice(0, "train", "G01", 2, 8),
    ]
    for i, one in enumerate(slices):
        assert not any(np.array_equal(one, other) for other in slices[:i])


def test_a_chest_has_air_lung_soft_tissue_and_bone():
    chest = np.stack([generate_slice(0, "test", f"G{p}", 4, 16) for p in range(91, 95)]) / 255
    middle = chest[:, 60:200, 40:216]
    assert 0.005 < np.median(chest[:, 5:25, 60:200]) < 0.03  # air
    assert ((middle > 0.02) & (middle < 0.1)).mean() > 0.1  # lung
    assert ((middle > 0.3) & (middle < 0.5)).mean() > 0.2  # soft tissue
    assert (middle > 0.5).mean() > 0.003  # bone


def test_neighbouring_slices_are_alike_and_distant_ones_are_not():
    near, same, far = (generate_slice(0, "test", "G91", i, 60) / 255 for i in (30, 31, 58))
    assert np.abs(near - same).mean() < 0.6 * np.abs(near - far).mean()


def test_unknown_patients_and_splits_are_refused():
    with pytest.raises(ValueError, match="'validation'"):
        generate_slice(0, "validation", "G01", 0, 1)
    with pytest.raises(ValueError, match="'X01'"):
        generate_slice(0, "train", "X01", 0, 1)
    with pytest.raises(ValueError, match="count is 0; expected 1 to"):
        generate_slice(0, "train", "G01", 0, 0)
    for index in (-1, 4):
        with pytest.raises(ValueError, match=f"index is {index}; expected 0 to 3"):
            generate_slice(0, "train", "G01", index, 4)


def test_coverage_is_the_area_of_the_shape():
    disc = coverage(blob((128.3, 90.7), (20, 20)))
    assert disc.sum() == pytest.approx(np.pi * 400, rel=0.03)
    assert coverage(blob((128.3, 90.7), (20, 20)), soft=2).sum() == pytest.approx(
        disc.sum(), rel=1e-3
    )
    assert coverage(blob((-300, 0), (20, 20))).sum() == 0


def test_scanner_noise_has_unit_size_and_little_at_the_highest_frequencies():
    noise = scanner_noise(np.random.default_rng(0), peak=0.35, oriented=0.5)
    assert noise.std() == pytest.approx(1, abs=1e-3)
    power = np.abs(np.fft.fft2(noise)) ** 2
    radius = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    middle, high = power[(radius > 0.2) & (radius < 0.35)].mean(), power[radius > 0.6].mean()
    assert middle > 5 * high
