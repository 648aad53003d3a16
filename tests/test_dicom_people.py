"""Who is who after an anonymiser: every way of spoiling identifiers that was met is tried."""

from __future__ import annotations

import itertools
import json
import re
import shutil

import numpy as np
import pytest

pytest.importorskip("pydicom", reason='needs python -m pip install -e ".[dicom]"')

from ippy.__main__ import main
from ippy.tools.dicom import import_dicom, summary

from .scans import contents, ct, identifier, images, ramp, run, scan

BODIES = ["Ada", "Bo", "Cy", "Di"]


def bodies(folder, *, count=3, **tags):
    """Write a body a folder; a tag may be a function of the body and the slice's number."""
    for body, name in enumerate(BODIES):
        for i in range(count):
            own = {k: v(body, i) if callable(v) else v for k, v in tags.items()}
            options = {"z": -3.0 * i, "number": i + 1, "hu": ramp(200 * body + 10 * i)} | own
            ct(folder / name / f"{i}", patient=name, series="A", **options)
    return folder


def doubts(manifest):
    return sorted("; ".join(patient["doubts"]) for patient in manifest["patients"].values())


def sizes(manifest):
    return sorted(len(patient["slices"]) for patient in manifest["patients"].values())


def per_file(body, i):
    return identifier("study", body, i)


def series_per_file(body, i):
    return identifier("series", body, i)


ONE = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4"}
LONE = {"StudyInstanceUID": per_file, "SeriesInstanceUID": series_per_file}
NOBODY = {"PatientID": None, "PatientName": None}
STUDIES = "4 studies under one patient ID"
# What an anonymiser did; slices by patient, study and folder; the doubts of a split by patient.
SPOILT = {
    "nothing": ({}, [3] * 4, [3] * 4, [3] * 4, ["", "", "", ""]),
    "one ID": ({"PatientID": "X12"}, [3], [3] * 4, [3] * 4, [f"{STUDIES}; more than one name"]),
    "a placeholder": (
        {"PatientID": "ANONYMOUS", "PatientName": None},
        [3], [3] * 4, [3] * 4, [f"{STUDIES}; the ID is a placeholder"],
    ),
    "zeros": (
        {"PatientID": "000", "PatientName": "anon"},
        [3], [3] * 4, [3] * 4, [f"{STUDIES}; the ID is a placeholder"],
    ),
    "one name, no ID": (
        {"PatientID": "", "PatientName": "Anonymized"},
        [3], [3] * 4, [3] * 4, [STUDIES],
    ),
    "one ID, two sexes": (
        {"PatientID": "7", "PatientName": None, "PatientSex": lambda b, i: "MF"[b % 2]},
        [3], [3] * 4, [3] * 4, [f"{STUDIES}; more than one sex"],
    ),
    "one ID, birth dates": (
        {"PatientID": "7", "PatientName": None, "PatientBirthDate": lambda b, i: f"19{b}00101"},
        [3], [3] * 4, [3] * 4, [f"{STUDIES}; more than one birth date"],
    ),
    "no ID, no name": (NOBODY, [3] * 4, [3] * 4, [3] * 4, ["", "", "", ""]),
    "one study and series": (
        ONE,
        [3], [3], [3] * 4, ["several patient IDs with a study or a series in common"],
    ),
    "a study for each file": (
        {"StudyInstanceUID": per_file},
        [3] * 4, [3] * 4, [3] * 4, ["", "", "", ""],
    ),
    "study and series for each file": (
        LONE,
        [3] * 4, [1] * 12, [3] * 4, ["every image has a study and a series of its own"] * 4,
    ),
    "all for each file, no ID": (
        LONE | NOBODY,
        [1] * 12, [1] * 12, [3] * 4, ["a single image without a patient ID"] * 12,
    ),
    "one instance": ({"SOPInstanceUID": "1.2.3"}, [3] * 4, [3] * 4, [3] * 4, ["", "", "", ""]),
    "everything": (
        ONE | {"PatientID": "ANON", "PatientName": None, "SOPInstanceUID": "1.2.3"},
        [12], [12], [3] * 4, ["several images at one position"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_patients_are_told_apart_or_it_is_said_that_they_are_not(tmp_path, name):
    tags, *expected, why = SPOILT[name]
    source = bodies(tmp_path / "scans", **tags)
    for split_by, slices in zip(("patient", "study", "folder"), expected, strict=True):
        manifest = run(source, tmp_path / split_by, split_by=split_by)
        assert sizes(manifest) == slices
        assert manifest["split_by"] == split_by
        if split_by == "patient":
            assert doubts(manifest) == why
            said = summary(manifest, tmp_path)
            assert ("--split-by study" in said) == any(why)
            assert all(one in said for one in why)
    # Each body is on one side only, and in one piece, where its folder tells it.
    for path in (tmp_path / "folder").glob("*/*"):
        levels = [images(tmp_path / "folder")[f"{path.parent.name}/{path.name}/{i}.png"].mean()
                  for i in range(3)]  # fmt: skip
        np.testing.assert_allclose(np.diff(levels), 10, atol=0.1)


def kernels(folder, **tags):
    """Write two series of one scan, slice by slice in the same places."""
    for number, level in enumerate((0, 1000)):
        for i in range(3 + number):
            ct(
                folder / f"{number}-{i}",
                z=-3.0 * i,
                number=i + 1,
                series=number,
                hu=ramp(level + 10 * i),
                **{"SeriesNumber": number + 1} | tags,
            )
    return folder


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"SeriesInstanceUID": "1.2.3"},
        {"SeriesInstanceUID": "1.2.3", "SeriesNumber": None},
        {"SeriesInstanceUID": "1.2.3", "SeriesDescription": None, "SOPInstanceUID": "1.2"},
    ],
)
def test_series_under_one_identifier_are_not_mixed(tmp_path, tags):
    manifest = run(kernels(tmp_path / "scans", **tags), tmp_path / "out")
    assert sizes(manifest) == [4] and doubts(manifest) == [""]
    assert manifest["left_out"] == {"another series of the patient has more slices": 3}
    assert min(image.mean() for image in images(tmp_path / "out").values()) > 900


def test_series_that_nothing_tells_apart_are_said_to_be_mixed(tmp_path):
    bare = {"SeriesInstanceUID": "1.2.3", "SeriesNumber": None, "SeriesDescription": None}
    manifest = run(kernels(tmp_path / "scans", **bare), tmp_path / "out")
    assert sizes(manifest) == [7] and doubts(manifest) == ["several images at one position"]


def test_images_with_a_series_each_stay_in_the_series_of_their_number(tmp_path):
    own = itertools.count()
    for number, level in enumerate((0, 1000)):
        for i in range(3 + number):
            ct(
                tmp_path / "scans" / f"{number}-{i}",
                z=-3.0 * i,
                hu=ramp(level + 10 * i),
                SeriesInstanceUID=identifier("own", next(own)),
                SOPInstanceUID=identifier("file", next(own)),
                SeriesNumber=number,
                SeriesDescription=None,
            )
    assert sizes(run(tmp_path / "scans", tmp_path / "out")) == [4]
    assert min(image.mean() for image in images(tmp_path / "out").values()) > 900


@pytest.mark.parametrize("shared", [False, True])
def test_copies_are_left_out_also_where_the_identifiers_say_nothing(tmp_path, shared):
    tags = {"SOPInstanceUID": "1.2.3"} if shared else {}
    scan(tmp_path / "scans", **tags)
    for path in sorted((tmp_path / "scans").rglob("*"))[-2:]:
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    manifest = run(tmp_path / "scans", tmp_path / "out")
    assert sizes(manifest) == [3]
    assert manifest["left_out"] == {"a duplicate of another file": 2}


@pytest.mark.parametrize(
    ("tags", "order", "said"),
    [
        ({"InstanceNumber": 0}, "position", ""),
        ({"InstanceNumber": None}, "position", ""),
        ({"ImagePositionPatient": [0, 0, 0]}, "instance number", "Ordered by instance number"),
        ({"ImagePositionPatient": None}, "instance number", "Ordered by instance number"),
        ({"ImagePositionPatient": None, "InstanceNumber": 0}, "none", "In no certain order"),
        ({"ImagePositionPatient": [0, 0, 0], "InstanceNumber": None}, "none", "In no certain"),
    ],
)
def test_what_orders_the_slices_is_said(tmp_path, tags, order, said):
    scan(tmp_path / "scans", count=12, **tags)
    manifest = run(tmp_path / "scans", tmp_path / "out")
    assert manifest["patients"]["P001"]["order"] == order
    assert said in summary(manifest, tmp_path)
    assert ("want of" in summary(manifest, tmp_path)) == (order != "position")
    if order != "none":
        means = [images(tmp_path / "out")[f"train/P001/{i}.png"].mean() for i in range(12)]
        np.testing.assert_allclose(means, np.arange(12) * 100 + 0.5, atol=0.5)


def test_a_body_with_gaps_stays_in_order(tmp_path):
    depths = [0, 3, 6, 300, 303, 900, 1500]
    for i, depth in enumerate(depths):
        ct(tmp_path / "scans" / f"{(i * 3) % 7}", z=-float(depth), number=7 - i, hu=ramp(50 * i))
    run(tmp_path / "scans", tmp_path / "out")
    means = [images(tmp_path / "out")[f"train/P001/{i}.png"].mean() for i in range(7)]
    np.testing.assert_allclose(means, np.arange(7) * 50 + 0.5, atol=0.5)


def test_repeated_scans_of_one_person_are_one_patient_and_are_named(tmp_path):
    for visit in (1, 2):
        scan(
            tmp_path / "scans",
            patient="ID1",
            series=f"visit{visit}",
            StudyInstanceUID=f"1.2.{visit}",
        )
    scan(tmp_path / "scans", patient="ID2")
    manifest = run(tmp_path / "scans", tmp_path / "out")
    assert sizes(manifest) == [3, 3]
    assert doubts(manifest) == ["", "2 studies under one patient ID"]
    scan(tmp_path / "single", patient="ID2")
    manifest = run(tmp_path / "single", tmp_path / "one")
    assert "one person" not in summary(manifest, tmp_path)


def test_no_identifier_is_in_what_is_said_about_it(tmp_path, capfd):
    source = bodies(
        tmp_path / "scans",
        PatientID="MRN-88-7766",
        PatientName=lambda b, i: f"Zweigenbaum^{BODIES[b]}",
        PatientBirthDate=lambda b, i: f"194{b}0317",
    )
    for split_by in ("patient", "study", "folder"):
        target = tmp_path / split_by
        assert main(["import-dicom", str(source), str(target), "--split-by", split_by]) == 0
        screen = capfd.readouterr()
        everything = (screen.out + screen.err + (target / "import.json").read_text()).lower()
        everything += "".join(map(str, contents(target))).lower()
        everything = re.sub(r"\b[0-9a-f]{32,}\b", "", everything)  # digests hold any three letters
        assert "4 studies" in everything or split_by != "patient"
        for secret in ("mrn-88", "zweigenbaum", "0317", *map(str.lower, BODIES[:1])):
            assert secret not in everything


def test_a_split_by_something_else_is_refused(tmp_path, capsys):
    scan(tmp_path / "scans")
    with pytest.raises(ValueError, match="split_by is 'name'; expected one of 'patient', 'study'"):
        import_dicom(tmp_path / "scans", tmp_path / "out", split_by="name")
    with pytest.raises(SystemExit):
        main(["import-dicom", "--help"])
    assert "--split-by {patient,study,folder}" in capsys.readouterr().out


def test_another_way_to_split_needs_another_target(tmp_path):
    source = bodies(tmp_path / "scans", PatientID="ANON")
    run(source, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(ValueError, match=r"earlier import.*nothing was changed"):
        run(source, tmp_path / "out", split_by="study")
    assert contents(tmp_path / "out") == before
    assert json.loads((tmp_path / "out" / "import.json").read_text())["split_by"] == "patient"
