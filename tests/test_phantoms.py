"""The generator: deterministic, varied, and in the grey range of a CT slice."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from ast import literal_eval
from dataclasses import fields

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_baseline__, __cpu_features__

from ippy.base.paths import course_root
from ippy.data import generation
from ippy.data.phantoms import AS_DRAWN, Style, generate_slice
from ippy.data.phantoms.acquisition import scanner_noise
from ippy.data.phantoms.canvas import blob, coverage, varied_edge
from ippy.data.phantoms.clutter import fine_texture
from ippy.data.phantoms.frame import Frame
from ippy.data.phantoms.organs import FEET, HEAD, Organ, dome, paint_organ
from ippy.data.phantoms.patient import Patient
from ippy.data.phantoms.section import Section

# One slice of each body, from the upper chest to the abdomen: its pixels, weighted by place.
WEIGHTS = np.arange(256 * 256) % 251
FINGERPRINTS = {
    "G01/0": 174321343, "G02/1": 322336758, "G03/3": 122828581, "G04/5": 331073522,
    "G05/7": 257198744, "G06/8": 304129592, "G07/10": 240152031, "G08/12": 269937443,
    "G09/14": 388377458, "G10/15": 218659073, "G11/17": 204286659, "G12/19": 277030672,
    "G13/21": 151682395, "G14/22": 268020898, "G15/24": 212022557, "G16/26": 341877883,
    "G17/28": 148298578, "G18/30": 290908260, "G19/31": 271927595, "G20/33": 161922285,
    "G21/35": 162540466, "G22/37": 429404897, "G23/38": 379094166, "G24/40": 326429939,
    "G25/42": 339813456, "G26/44": 323365982, "G27/45": 445837409, "G28/47": 330241772,
    "G29/49": 185339906, "G30/51": 307323874, "G91/14": 319030226, "G92/14": 420648014,
    "G81/3": 398197999, "G82/3": 403746882,
}  # fmt: skip


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


@pytest.mark.parametrize("part", [field.name for field in fields(Style)])
def test_every_part_of_a_style_changes_what_is_drawn(part):
    slices = [("G01", 3), ("G01", 26), ("G03", 8), ("G03", 27)]  # through chest and abdomen

    def draw(style: Style) -> np.ndarray:
        pixels = [generate_slice(0, "train", *where, 30, style=style) for where in slices]
        return np.stack(pixels)

    more = draw(Style(**{part: 4.0}))
    assert (more != draw(AS_DRAWN)).mean() > 1e-4
    assert np.array_equal(more, draw(Style(**{part: 4.0})))


def test_a_contrast_agent_brightens_the_blood_and_soft_edges_are_less_steep():
    aorta = [Patient((0, 0, ord("G"), n), Style(contrast=1)).levels.blood for n in range(9)]
    plain = [Patient((0, 0, ord("G"), n)).levels.blood for n in range(9)]
    assert all(0.05 <= a - b <= 0.3 for a, b in zip(aorta, plain, strict=True))
    sharp, soft = (
        generate_slice(0, "train", "G04", 12, 30, style=Style(softness=s, noise=0)) / 255
        for s in (0, 1)
    )
    steepest = [np.quantile(np.abs(np.diff(image)), 0.99) for image in (sharp, soft)]
    assert steepest[1] < 0.9 * steepest[0]


def test_unknown_patients_and_splits_are_refused():
    with pytest.raises(ValueError, match="'validation'"):
        generate_slice(0, "validation", "G01", 0, 1)
    with pytest.raises(ValueError, match="'X01'"):
        generate_slice(0, "train", "X01", 0, 1)
    with pytest.raises(ValueError, match="count is 0; expected 1 or more"):
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


def test_every_body_is_drawn_as_it_was_when_the_weights_were_trained():
    assert found_fingerprints() == FINGERPRINTS


X86 = platform.machine() in ("x86_64", "AMD64")


@pytest.mark.skipif(not X86, reason="NumPy has no newer vector units to do without here")
def test_the_pixels_are_the_same_without_the_vector_units_of_newer_cpus():
    newer = [name for name, there in __cpu_features__.items() if there]
    newer = [name for name in newer if name not in __cpu_baseline__]
    code = "from tests.test_phantoms import drawn_here; print(drawn_here())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(newer)},
        cwd=course_root(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    fingerprints, fields_there = literal_eval(done.stdout)
    assert newer and fingerprints == FINGERPRINTS
    # float32 would differ by 1e-7, which few pixels show
    assert fields_there == pytest.approx(drawn_here()[1], rel=0, abs=1e-11)


def drawn_here() -> tuple[dict[str, int], list[float]]:
    """What this machine draws: the fingerprints, and some values of fields that are not rounded."""
    rng = np.random.default_rng(5)
    noise = scanner_noise(rng, peak=0.35, oriented=0.5)
    textures = [fine_texture(rng) for _ in range(4)]
    return found_fingerprints(), [float(v) for f in (noise, *textures) for v in f.ravel()[::997]]


def found_fingerprints() -> dict[str, int]:
    """One slice of each body, the further down the later the body."""
    train, test = generation.PLAN["train"], generation.PLAN["test"] | generation.VALIDATION
    bodies = [("train", *body) for body in train.items()]
    bodies += [("test", *body) for body in test.items()]
    found = {}
    for place, (split, name, count) in enumerate(bodies):
        index = place * count // len(bodies)
        pixels = generate_slice(generation.SEED, split, name, index, count)
        found[f"{name}/{index}"] = int(pixels.ravel() @ WEIGHTS)
    return found


@pytest.fixture
def section() -> Section:
    """A slice through the abdomen before anything is painted."""
    patient = Patient((0, 0, ord("G"), 1))
    black, white = np.zeros((256, 256), np.float32), np.ones((256, 256), np.float32)
    return Section(black, white, white, Frame(patient, 0.9), np.random.default_rng(0))


def test_an_organ_is_painted_at_its_place_in_its_size_and_grey_level(section):
    organ = Organ("x", (0.3, 0.2), (20, 12), "muscle", 0.5, FEET, 0.0, lift=0.1)
    paint_organ(section, organ)
    x, y = section.frame.point(0.3, 0.2)
    ys, xs = np.indices((256, 256)) + 0.5
    weight = section.image / section.image.sum()
    assert ((weight * xs).sum(), (weight * ys).sum()) == pytest.approx((x, y), abs=0.1)
    assert section.image.max() == pytest.approx(section.levels.muscle + 0.1, abs=1e-6)
    area = section.image.sum() / section.image.max()
    assert area == pytest.approx(np.pi * 20 * 12, rel=0.03)


def test_an_organ_shows_between_two_positions_and_within_what_it_is_given(section):
    paint_organ(section, Organ("x", (0, 0), (20, 20), "fat", HEAD, 0.9, 0.0))
    paint_organ(section, Organ("x", (0, 0), (20, 20), "fat", 0.91, FEET, 0.0))
    assert not section.image.any()
    right = np.zeros((256, 256), np.float32)
    right[:, int(section.frame.centre[0]) :] = 1
    paint_organ(section, Organ("x", (0, 0), (20, 20), "fat", 0.9, FEET, 0.0), within=right)
    assert section.image.any() and not section.image[right == 0].any()


def test_a_dome_grows_from_its_top_down(section):
    organ = Organ("x", (0, 0), (20, 20), "fat", HEAD, FEET, 0.0, grows=(0.5, 0.9))
    sizes = [organ.grown(z) for z in (0.4, 0.5, 0.6, 0.8, 0.9, 1.0)]
    assert sizes == pytest.approx([0, 0, 0.5, 0.75**0.5, 1, 1])
    assert dome(0.6, 0.5, 0.9) == pytest.approx(0.5)
    whole = organ.outline(section)
    assert np.ptp(whole, axis=0) == pytest.approx([40, 40], abs=0.1)
    half = organ.outline(section, scale=np.array([0.5, 1]), turn=np.pi / 2)
    assert np.ptp(half, axis=0) == pytest.approx([40, 20], abs=0.1)


def test_what_is_filled_is_no_lung(section):
    cover = np.zeros((256, 256), np.float32)
    cover[:128], cover[128:] = 1, 0.25
    section.fill(cover, 0.4)
    assert section.image[0, 0] == pytest.approx(0.4) and section.air_share[0, 0] == 0
    assert section.image[-1, 0] == pytest.approx(0.1) and section.air_share[-1, 0] == 0.75


def test_a_varied_edge_is_sharp_here_and_soft_there():
    circle = blob((128, 128), (60, 60))
    sharp, soft = coverage(circle, soft=0.3), coverage(circle, soft=4.0)
    edge = varied_edge(circle, np.random.default_rng(1), 4.0)
    widths = [((cover > 0.02) & (cover < 0.98)).sum() for cover in (sharp, edge, soft)]
    assert 1.5 * widths[0] < widths[1] < 0.9 * widths[2]
    assert edge.sum() == pytest.approx(sharp.sum(), rel=0.01)
