"""Importing real scans: what is taken, what it becomes, and what is never written."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ippy.__main__ import main
from ippy.data import MayoDataset, prepare_mayo
from ippy.data import generation as data
from ippy.tools.dicom import importing
from ippy.tools.dicom.headers import LeftOutError
from ippy.tools.dicom.pixels import grey_levels, hounsfield

pydicom = pytest.importorskip("pydicom", reason='needs python -m pip install -e ".[dicom]"')
from pydicom import uid  # noqa: E402
from pydicom.data import get_testdata_file  # noqa: E402

from .scans import (  # noqa: E402
    AXES,
    SHAPE,
    STANDARD_FIRST,
    contents,
    ct,
    identifier,
    images,
    only,
    ramp,
    run,
    scan,
    stored,
    transcode,
)

COLOUR = {
    "PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 0,
    "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": bytes(12 * 16 * 3),
}  # fmt: skip


@pytest.mark.parametrize(
    ("slope", "intercept", "signed"),
    [(1, -1024, False), (1, 0, True), (2.5, -1000, False), (0.5, -1024, True), (-1, 2000, True)],
)
@pytest.mark.parametrize("display", ["MONOCHROME1", "MONOCHROME2"])
def test_a_slice_is_the_window_of_hounsfield_units(tmp_path, slope, intercept, signed, display):
    hu = np.linspace(-1000, 1600, 192).reshape(SHAPE)
    pixels = stored(hu, slope=slope, intercept=intercept, signed=signed)
    ct(
        tmp_path / "scans" / "one",
        PixelData=pixels.tobytes(),
        PixelRepresentation=int(signed),
        PhotometricInterpretation=display,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
    )
    run(tmp_path / "scans", tmp_path / "out")
    image = only(tmp_path / "out")
    np.testing.assert_allclose(
        image, pixels.astype(float) * slope + intercept, atol=0.5 * 2600 / 65535
    )
    assert image[0, 0] < image[-1, -1]


def test_the_window_clips_and_can_be_chosen(tmp_path):
    levels = grey_levels(np.array([-3000.0, -1000, 300, 1600, 9000]), centre=300, width=2600)
    assert levels.tolist() == [0, 0, 32768, 65535, 65535]
    ct(tmp_path / "scans" / "one", hu=np.full(SHAPE, 40))
    manifest = run(tmp_path / "scans", tmp_path / "out", window=(40, 400))
    assert manifest["window_hu"] == {"centre": 40, "width": 400}
    levels = np.asarray(Image.open(tmp_path / "out" / "train" / "P001" / "0.png"))
    assert levels.dtype == np.uint16
    assert (levels == 32768).all()


@pytest.mark.parametrize(
    ("padding", "signed", "marked"),
    [
        ({"PixelPaddingValue": -2000}, True, [-2000]),
        ({"PixelPaddingValue": 1100}, False, [1100]),
        ({"PixelPaddingValue": 1100, "PixelPaddingRangeLimit": 1102}, False, [1100, 1101, 1102]),
        ({"PixelPaddingValue": 1102, "PixelPaddingRangeLimit": 1100}, False, [1100, 1101, 1102]),
    ],
)
def test_padding_becomes_air(tmp_path, padding, signed, marked):
    pixels = stored(np.full(SHAPE, 60), signed=signed)
    pixels[0, : len(marked)] = marked
    ct(
        tmp_path / "scans" / "a",
        PixelData=pixels.tobytes(),
        PixelRepresentation=int(signed),
        **padding,
    )
    run(tmp_path / "scans", tmp_path / "out")
    image = only(tmp_path / "out")
    np.testing.assert_allclose(image[0, : len(marked)], -1000, atol=0.1)
    np.testing.assert_allclose(image.ravel()[len(marked) :], 60, atol=0.1)


def test_padding_written_without_its_sign_is_known(tmp_path):
    pixels = stored(np.full(SHAPE, 60), signed=True)
    pixels[0, 0] = -2000
    path = ct(tmp_path / "a", PixelData=pixels.tobytes(), PixelRepresentation=1)
    dataset = pydicom.dcmread(path)
    dataset.add_new("PixelPaddingValue", "US", 63536)  # -2000 in sixteen bits
    dataset.save_as(path)
    values = hounsfield(path.read_bytes())
    assert values[0, 0] == -1000
    assert (values.ravel()[1:] == 60).all()


def test_unused_bits_are_not_part_of_the_value(tmp_path):
    pixels = stored(np.full(SHAPE, 60)) | 0xF000  # an old overlay above twelve stored bits
    ct(tmp_path / "scans" / "a", PixelData=pixels.tobytes(), BitsStored=12, HighBit=11)
    run(tmp_path / "scans", tmp_path / "out")
    np.testing.assert_allclose(only(tmp_path / "out"), 60, atol=0.1)


@pytest.mark.parametrize(
    "axes", [AXES, [-1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0.866025, -0.5], [-1, 0, 0, 0, -1, 0]]
)
def test_slices_run_from_head_to_feet_whatever_the_files_say(tmp_path, axes):
    scan(tmp_path / "scans", count=12, ImageOrientationPatient=axes, InstanceNumber=5)
    manifest = run(tmp_path / "scans", tmp_path / "out")
    assert manifest["patients"]["P001"]["order"] == "position"
    means = [images(tmp_path / "out")[f"train/P001/{i}.png"].mean() for i in range(12)]
    np.testing.assert_allclose(means, np.arange(12) * 100 + 0.5, atol=0.5)


@pytest.mark.parametrize("missing", ["ImagePositionPatient", "ImageOrientationPatient"])
@pytest.mark.parametrize("value", [None, [0.0, 0.0]])
def test_without_positions_the_instance_number_orders(tmp_path, capsys, missing, value):
    scan(tmp_path / "scans", count=3, level=100, z=0.0)
    broken = {missing: value, "InstanceNumber": 0, "z": 0.0}
    ct(tmp_path / "scans" / "x", number=9, hu=ramp(-100), **broken)
    assert main(["import-dicom", str(tmp_path / "scans"), str(tmp_path / "out")]) == 0
    assert "Ordered by instance number, for want of positions: P001" in capsys.readouterr().out
    means = [image.mean() for image in images(tmp_path / "out").values()]
    np.testing.assert_allclose(means, [-99.5, 0.5, 100.5, 200.5], atol=0.5)


def test_a_slice_with_no_number_cannot_be_ordered_by_it(tmp_path):
    scan(tmp_path / "scans")
    ct(tmp_path / "scans" / "x", number=9, z=9.0, ImagePositionPatient=None)
    ct(tmp_path / "scans" / "y", number=8, z=8.0, InstanceNumber=None)
    manifest = run(tmp_path / "scans", tmp_path / "out", report=tmp_path / "report.csv")
    assert manifest["patients"]["P001"]["order"] == "instance number"
    assert len(images(tmp_path / "out")) == 4
    assert 'y,"no instance number, in a series' in (tmp_path / "report.csv").read_text()


LEFT_OUT = {
    "localiser": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "a localiser image"),
    "protocol": ({"ImageType": ["DERIVED", "SECONDARY", "CT_SOM5 PROT"]}, "a page of text"),
    "too large": ({"Rows": 60000, "Columns": 60000}, "more than 4096 rows or columns"),
    "mr": ({"SOPClassUID": uid.MRImageStorage, "Modality": "MR"}, "not a CT image"),
    "capture": ({"SOPClassUID": uid.SecondaryCaptureImageStorage}, "not a CT image"),
    "modality": ({"Modality": "MR"}, "not a CT image"),
    "colour": (COLOUR, "not a greyscale image"),
    "burned in": ({"BurnedInAnnotation": "YES"}, "an image with text burned in"),
    "frames": ({"NumberOfFrames": 2, "PixelData": bytes(4 * 12 * 16)}, "a multi-frame CT"),
    "no slope": ({"RescaleSlope": None}, "no rescale slope and intercept"),
    "slope 0": ({"RescaleSlope": 0}, "no rescale slope and intercept"),
    "intercept": ({"RescaleIntercept": None}, "no rescale slope and intercept"),
    "iodine": ({"RescaleType": "MGML"}, "values that are not Hounsfield units"),
    "no series": ({"SeriesInstanceUID": None}, "no SOPInstanceUID or no SeriesInstanceUID"),
    "no instance": ({"SOPInstanceUID": None}, "no SOPInstanceUID or no SeriesInstanceUID"),
    "no rows": ({"Rows": None}, "no rows, columns or photometric"),
    "no display": ({"PhotometricInterpretation": None}, "no rows, columns or photometric"),
    "no order": ({"ImagePositionPatient": None, "InstanceNumber": None}, "neither position"),
    "no pixels": ({"PixelData": None}, "pixels that cannot be decoded"),
    "few pixels": ({"PixelData": bytes(40)}, "pixels that cannot be decoded"),
    "another size": (
        {"hu": np.zeros((20, 20)), "ImagePositionPatient": None},
        "another size or orientation",
    ),
    "another tilt": ({"ImageOrientationPatient": [1, 0, 0, 0, 0.8, 0.6]}, "another size or"),
    "coronal": (
        {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], "series": "C"},
        "a series that is not axial",
    ),
    "shorter": ({"series": "B"}, "another series of the patient has more slices"),
}  # fmt: skip


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A folder of everything, imported: the target, the manifest and the report."""
    root = tmp_path_factory.mktemp("mixed")
    source = root / "scans"
    scan(source, count=3)
    ct(source / "no modality", z=-9.0, number=4, Modality=None)
    ct(source / "no class", z=-12.0, number=5, SOPClassUID=None)
    ct(source / "no patient", z=-15.0, number=6, PatientID=None, PatientName=None)
    for number, (name, (tags, _)) in enumerate(LEFT_OUT.items(), 100):
        ct(source / "left" / name, **({"z": -100.0 - number, "number": number} | tags))
    whole = ct(source / "left" / "truncated", z=-50.0, number=50, hu=np.zeros((12, 16)))
    whole.write_bytes(whole.read_bytes()[:-100])
    header = ct(source / "left" / "damaged header", z=-51.0, number=51).read_bytes()
    (source / "left" / "damaged header").write_bytes(header[:500])
    shutil.copy(source / "ID1" / "A" / "03", source / "left" / "twice")
    (source / "left" / "empty").touch()
    (source / "left" / "README.dcm").write_text("no DICOM")
    (source / "left" / "photo.png").write_bytes(b"\x89PNG" * 100)
    index = get_testdata_file("DICOMDIR", download=False)
    shutil.copy(index, source / "DICOMDIR")
    manifest = run(source, root / "out", report=root / "report.csv")
    with (root / "report.csv").open(newline="", encoding="utf-8") as file:
        report = dict(list(csv.reader(file))[1:])
    return root / "out", manifest, report


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_no_slice_is_left_out_with_its_reason(mixed, name):
    assert mixed[2][f"left/{name}"].startswith(LEFT_OUT[name][1])


def test_the_rest_of_a_mixed_folder_is_imported(mixed):
    target, manifest, report = mixed
    places = {file: place for file, place in report.items() if place.endswith(".png")}
    # Gaps in the numbers are the slices whose pixels turned out to be damaged.
    assert sorted(places) == [
        "ID1/A/03",
        "ID1/A/10",
        "ID1/A/17",
        "no class",
        "no modality",
        "no patient",
    ]
    assert sorted(places.values()) == sorted(images(target))
    reasons = {
        "left/truncated": "pixels that cannot be decoded",
        "left/twice": "a duplicate of another file",
        "left/empty": "not a DICOM file",
        "left/README.dcm": "not a DICOM file",
        "left/photo.png": "not a DICOM file",
        "DICOMDIR": "a DICOMDIR, which is an index and no image",
    }
    assert reasons.items() <= report.items()
    assert not report["left/damaged header"].endswith(".png")
    assert sum(manifest["left_out"].values()) == len(report) - 6
    assert manifest["patients"]["P001"]["order"] == "position"
    assert manifest["patients"]["P001"]["other_series"] == [{"slices": 1, "thickness_mm": 3.0}]


def test_the_manifest_names_each_source_by_its_content(mixed, tmp_path):
    target, manifest, _ = mixed
    assert json.loads((target / "import.json").read_text()) == manifest
    assert manifest["complete"] is True
    (patient,) = manifest["patients"].values()
    assert {f"train/P001/{name}" for name in patient["slices"]} == set(images(target))
    source = target.parent / "scans" / "ID1" / "A" / "03"
    expected = importing.hashlib.sha256(source.read_bytes()).hexdigest()
    assert patient["slices"]["0.png"] == expected
    np.testing.assert_allclose(
        images(target)["train/P001/0.png"], hounsfield(source.read_bytes()), atol=0.1
    )


def test_a_source_that_has_changed_is_not_taken_for_the_one_that_was_imported(tmp_path):
    scan(tmp_path / "scans", patient="ID1", series="A", count=4)
    before = run(tmp_path / "scans", tmp_path / "out")
    source = next(path for path in sorted((tmp_path / "scans").rglob("*")) if path.is_file())
    header = pydicom.dcmread(source)
    header.PixelData = header.PixelData[::-1]
    header.save_as(source)
    with pytest.raises(ValueError, match=r"\.png was imported from a file that has changed since"):
        run(tmp_path / "scans", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "import.json").read_text()) == before


@pytest.mark.parametrize(
    ("syntax", "written"),
    [
        ("JPEGLosslessProcess14_1", uid.JPEGLosslessSV1),
        ("JPEGLosslessProcess14", uid.JPEGLossless),
        ("JPEG2000Lossless", uid.JPEG2000Lossless),
        ("JPEGLSLossless", uid.JPEGLSLossless),
        ("RLELossless", uid.RLELossless),
    ],
)
def test_compressed_slices_have_the_same_pixels(tmp_path, syntax, written):
    plain = get_testdata_file("CT_small.dcm", download=False)
    (tmp_path / "scans").mkdir()
    transcode(plain, tmp_path / "scans" / "one", syntax)
    header = pydicom.dcmread(tmp_path / "scans" / "one", stop_before_pixels=True)
    assert header.file_meta.TransferSyntaxUID == written
    run(tmp_path / "scans", tmp_path / "out")
    expected = hounsfield(Path(plain).read_bytes())
    assert expected.std() > 100
    np.testing.assert_allclose(only(tmp_path / "out"), expected, atol=0.1)
    content = (tmp_path / "scans" / "one").read_bytes()
    with pytest.raises(LeftOutError, match="pixels that cannot be decoded"):
        hounsfield(content[: len(content) * 9 // 10])


@pytest.mark.parametrize("syntax", [uid.DeflatedExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_other_encodings_have_the_same_pixels(tmp_path, syntax):
    ct(tmp_path / "scans" / "one", syntax=syntax, hu=ramp(300))
    run(tmp_path / "scans", tmp_path / "out")
    np.testing.assert_allclose(only(tmp_path / "out"), ramp(300), atol=0.1)


def test_a_file_without_preamble_and_transfer_syntax_is_read(tmp_path):
    content = ct(tmp_path / "one", hu=ramp(300)).read_bytes()
    (tmp_path / "scans").mkdir()
    start = content.index(b"\x08\x00\x08\x00CS")  # ImageType, the first element
    (tmp_path / "scans" / "old").write_bytes(content[start:])
    run(tmp_path / "scans", tmp_path / "out")
    np.testing.assert_allclose(only(tmp_path / "out"), ramp(300), atol=0.1)


def test_a_compression_without_a_decoder_is_said(tmp_path, monkeypatch):
    scan(tmp_path / "scans")
    ct(tmp_path / "scans" / "x", z=9.0, number=9, syntax=uid.HTJ2K, PixelData=None)
    manifest = run(tmp_path / "scans", tmp_path / "out")
    assert manifest["left_out"] == {"a compression without a decoder here": 1}


def test_the_slices_of_pydicoms_own_files(tmp_path):
    folder = Path(get_testdata_file("CT_small.dcm", download=False)).parent
    manifest = run(folder, tmp_path / "out", report=tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(newline="", encoding="utf-8") as file:
        report = dict(list(csv.reader(file))[1:])
    taken = [file for file, result in report.items() if result.endswith(".png")]
    stacks = ("77654033/CT2/17106", "77654033/CT2/17136", "77654033/CT2/17166",
              "77654033/CT2/17196", "98892001/CT5N/2062", "98892001/CT5N/2392",
              "98892001/CT5N/2693", "98892001/CT5N/3023", "98892001/CT5N/3353")  # fmt: skip
    singles = ["693_J2KI.dcm", "CT_small.dcm", "J2K_pixelrep_mismatch.dcm"]
    assert taken == singles + [f"dicomdirtests/{name}" for name in stacks]
    assert len(manifest["patients"]) == 5
    assert manifest["left_out"]["a localiser image"] == 2


SECRETS = ("Zweigenbaum", "Kunigunde", "MRN-88-7766", "19420317", "Saint-Quirinus", "kopfweh")


def test_no_name_reaches_any_output(tmp_path, capfd):
    for part in range(2):
        scan(
            tmp_path / "scans" / "Zweigenbaum_Kunigunde",
            patient=f"MRN-88-7766-{part}",
            series="A",
            count=4,
            PatientName="Zweigenbaum^Kunigunde",
            PatientBirthDate="19420317",
            InstitutionName="Saint-Quirinus",
            SeriesDescription="Zweigenbaum kopfweh",
        )
    broken = tmp_path / "scans" / "Zweigenbaum_Kunigunde" / "MRN-88-7766-0" / "A" / "03"
    broken.write_bytes(broken.read_bytes()[:-50])
    assert main(["import-dicom", str(tmp_path / "scans"), str(tmp_path / "out")]) == 0
    screen = capfd.readouterr()
    everything = b"".join(contents(tmp_path / "out").values())
    everything += "".join(map(str, contents(tmp_path / "out"))).encode()
    everything += (screen.out + screen.err).encode()
    known = [*SECRETS, STANDARD_FIRST, identifier("MRN-88-7766-0", "A")]
    found = [secret for secret in known if secret.lower().encode() in everything.lower()]
    assert not found
    for path in (tmp_path / "out").glob("*/*/*.png"):
        with Image.open(path) as image:
            assert image.info == {}


def test_the_report_with_its_paths_may_not_lie_beside_the_slices(tmp_path):
    scan(tmp_path / "scans")
    with pytest.raises(ValueError, match="may hold the names of patients"):
        run(tmp_path / "scans", tmp_path / "out", report=tmp_path / "out" / "report.csv")
    assert not (tmp_path / "out").exists()


def people(folder, names, **tags):
    for level, name in enumerate(names):
        scan(folder, patient=name, count=2, level=level * 10 + 10, **tags)


def split(manifest):
    """Return the patients of the test by the content of their first slice."""
    return {p["slices"]["0.png"] for p in manifest["patients"].values() if p["split"] == "test"}


def test_the_split_is_by_patient_and_stable(tmp_path):
    people(tmp_path / "scans", [f"ID{i}" for i in range(10)])
    first = run(tmp_path / "scans", tmp_path / "out")
    assert len(split(first)) == 2
    assert len(list((tmp_path / "out" / "train").iterdir())) == 8
    assert {p["split"] for p in first["patients"].values()} == {"train", "test"}
    moved = tmp_path / "moved"
    for number, path in enumerate(sorted((tmp_path / "scans").rglob("*/*/*"), reverse=True)):
        place = moved / str(number % 3) / f"{number}.ima"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    again = run(moved, tmp_path / "again")
    assert again["patients"] == first["patients"]
    assert images(tmp_path / "again").keys() == images(tmp_path / "out").keys()
    others = [split(run(moved, tmp_path / f"seed{seed}", seed=seed)) for seed in range(5)]
    assert len(set(map(frozenset, others))) > 1


def test_one_patient_more_moves_at_most_one_other(tmp_path):
    tests = []
    for count in range(4, 10):
        people(tmp_path / "scans", [f"ID{i}" for i in range(count)])
        tests.append(split(run(tmp_path / "scans", tmp_path / f"out{count}", test_fraction=0.4)))
    for before, after in itertools.pairwise(tests):
        assert len(before - after) <= 1
    assert [len(found) for found in tests] == [round(0.4 * count) for count in range(4, 10)]


@pytest.mark.parametrize(
    ("count", "fraction", "expected"),
    [(1, 0.2, 0), (1, 1, 1), (2, 0.01, 1), (2, 0.99, 1), (3, 0, 0), (3, 1, 3)],
)
def test_both_sides_get_a_patient_where_there_are_two(tmp_path, count, fraction, expected):
    people(tmp_path / "scans", [f"ID{i}" for i in range(count)])
    manifest = run(tmp_path / "scans", tmp_path / "out", test_fraction=fraction)
    assert len(split(manifest)) == expected


def test_a_single_patient_is_said(tmp_path, capsys):
    scan(tmp_path / "scans")
    assert main(["import-dicom", str(tmp_path / "scans"), str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "There is one patient only" in out
    assert "train: 1 patient, 3 slices" in out


def test_a_study_or_an_id_in_common_makes_one_patient(tmp_path):
    source = tmp_path / "scans"
    scan(source, patient="ID1", series="A", StudyInstanceUID="1.2.3")
    scan(source, patient="ID1", series="B", count=5, StudyInstanceUID="1.2.4")  # the same ID
    scan(source, patient="ID2", series="C", PatientID=None, StudyInstanceUID="1.2.4")  # its study
    scan(source, patient="ID3", series="D", StudyInstanceUID="1.2.5")
    manifest = run(source, tmp_path / "out")
    counts = sorted(len(p["slices"]) for p in manifest["patients"].values())
    assert counts == [3, 5]
    assert manifest["left_out"] == {"another series of the patient has more slices": 6}


def test_places_count_for_more_than_images_and_a_series_can_be_named(tmp_path):
    scan(tmp_path / "scans", series="repeated", count=9, z=0.0)
    scan(tmp_path / "scans", series="body", count=4)
    scan(tmp_path / "scans", series="few", count=2)
    run(tmp_path / "scans", tmp_path / "out")
    assert len(images(tmp_path / "out")) == 4
    manifest = run(tmp_path / "scans", tmp_path / "few", series="S FEW")
    assert len(images(tmp_path / "few")) == 2
    assert manifest["left_out"] == {"a series with another description": 13}
    with pytest.raises(ValueError, match="no CT slices to import"):
        run(tmp_path / "scans", tmp_path / "none", series="full dose")


def test_a_finished_import_returns_at_once(tmp_path, monkeypatch):
    scan(tmp_path / "scans")
    manifest = run(tmp_path / "scans", tmp_path / "out")
    before = contents(tmp_path / "out")
    monkeypatch.setattr(importing, "scan", lambda *a, **k: pytest.fail("read again"))
    assert run(tmp_path / "scans", tmp_path / "out") == manifest
    assert contents(tmp_path / "out") == before


def test_a_lost_slice_is_made_again_and_no_other(tmp_path, monkeypatch):
    scan(tmp_path / "scans", count=5)
    run(tmp_path / "scans", tmp_path / "out")
    before = contents(tmp_path / "out")
    (tmp_path / "out" / "train" / "P001" / "2.png").unlink()
    calls = []
    monkeypatch.setattr(importing, "hounsfield", lambda c: calls.append(c) or hounsfield(c))
    run(tmp_path / "scans", tmp_path / "out")
    assert len(calls) == 1
    assert contents(tmp_path / "out") == before


def import_and_die(source, target, moment):
    """Import in a process of its own, which is killed in the middle of a slice."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    save, saved = Image.Image.save, []

    def dying(image, file, **options):
        saved.append(file)
        if len(saved) == moment:
            file.write(b"half a slice")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        save(image, file, **options)

    try:
        Image.Image.save = dying
        run(source, target)
    finally:
        os._exit(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process that can be killed cheaply")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_killed_import_goes_on_where_it_stopped(tmp_path, monkeypatch):
    source, target = tmp_path / "scans", tmp_path / "out"
    people(source, ["ID1", "ID2", "ID3", "ID4"])
    run(source, tmp_path / "whole")
    for moment, there in [(1, 0), (3, 2), (1, 2), (4, 5)]:
        assert import_and_die(source, target, moment) == -signal.SIGKILL
        assert len(images(target)) == there
        assert json.loads((target / "import.json").read_text())["complete"] is False
    assert len(contents(target)) == 5 + 4 + 1  # slices, halves, import.json
    calls = []
    monkeypatch.setattr(importing, "hounsfield", lambda c: calls.append(c) or hounsfield(c))
    run(source, target)
    assert len(calls) == 3
    assert contents(target) == contents(tmp_path / "whole")


def test_generated_slices_are_not_mixed_with_real_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data, "PLAN", {"train": {"G01": 2}, "test": {"G91": 1}})
    prepare_mayo(tmp_path / "Mayo", progress=False)
    before = contents(tmp_path / "Mayo")
    scan(tmp_path / "scans")
    arguments = ["import-dicom", str(tmp_path / "scans"), str(tmp_path / "Mayo")]
    assert main(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "such as the generated ones" in error
    assert "nothing was changed" in error
    assert contents(tmp_path / "Mayo") == before
    shutil.rmtree(tmp_path / "Mayo" / "test")
    assert main([*arguments, "--test-fraction", "1"]) == 0
    imported = images(tmp_path / "Mayo")
    prepare_mayo(tmp_path / "Mayo", progress=False)
    assert images(tmp_path / "Mayo").keys() == imported.keys()
    assert {name.split("/")[1] for name in imported} == {"G01", "P001"}
    assert len(MayoDataset(tmp_path / "Mayo" / "test", data_shape=8)) == 3
    (tmp_path / "Mayo" / "test" / "P001" / "1.png").unlink()
    assert main([*arguments, "--test-fraction", "1"]) == 0
    assert images(tmp_path / "Mayo").keys() == imported.keys()


def test_an_import_with_other_options_changes_nothing(tmp_path):
    scan(tmp_path / "scans")
    run(tmp_path / "scans", tmp_path / "out")
    before = contents(tmp_path / "out")
    for options in ({"window": (40, 400)}, {"test_fraction": 1}):
        with pytest.raises(ValueError, match=r"earlier import.*nothing was changed"):
            run(tmp_path / "scans", tmp_path / "out", **options)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"complete": true, "plan": "", "source": ""}']
)
def test_a_damaged_manifest_is_named(tmp_path, content):
    scan(tmp_path / "scans")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "import.json").write_text(content)
    with pytest.raises(ValueError, match=r"cannot read .*import\.json"):
        run(tmp_path / "scans", tmp_path / "out")


def test_what_is_wrong_is_one_line_and_status_2(tmp_path, capsys, monkeypatch):
    scan(tmp_path / "scans")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    source, out = str(tmp_path / "scans"), str(tmp_path / "out")
    wrong = {
        "no folder": [str(tmp_path / "nowhere"), out],
        "no CT slices": [str(tmp_path / "empty"), out],
        "is a file": [source, str(tmp_path / "file")],
        "lies in": [source, str(tmp_path / "scans" / "Mayo")],
        "test fraction": [source, out, "--test-fraction", "1.5"],
        "window": [source, out, "--window", "40", "0"],
        "the window is": [source, out, "--window", "nan", "400"],
    }
    for message, arguments in wrong.items():
        assert main(["import-dicom", *arguments]) == 2
        *_, last = capsys.readouterr().err.splitlines()
        assert last.startswith("error: ")
        assert message in last
    assert not (tmp_path / "out").exists()
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "pydicom" else found(n))
    assert main(["import-dicom", source, out]) == 2
    assert 'python -m pip install -e ".[dicom]"' in capsys.readouterr().err


def test_links_to_folders_are_reported_and_not_followed(tmp_path):
    scan(tmp_path / "scans")
    try:
        (tmp_path / "scans" / "loop").symlink_to(tmp_path / "scans", target_is_directory=True)
    except OSError:
        pytest.skip("links need a privilege here")
    manifest = run(tmp_path / "scans", tmp_path / "out")
    assert sum(manifest["left_out"].values()) == 1
    assert len(images(tmp_path / "out")) == 3
