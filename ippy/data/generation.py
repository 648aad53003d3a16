"""Generate the slices, once, into ``train/`` and ``test/`` of a data folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from ippy.base.checks import check_integer
from ippy.base.files import write_atomically, write_json
from ippy.base.paths import as_path, course_root, is_writable, output_dir
from ippy.data.phantoms import VERSION, generate_slice
from ippy.data.slices import find_slices, read_slice

SEED = 2024
MANIFEST = "manifest.json"
ASIDE = "set_aside"  # in it: splits that were made, and hold others' slices, too
MOST_SLICES = 100_000  # of a patient, that a manifest may claim
Job = tuple[Path, int, str, str, int, int]  # file, seed, split, patient, index, count

# Slices of each generated body.
PLAN: dict[str, dict[str, int]] = {
    "train": {f"G{i:02d}": 60 for i in range(1, 31)},
    "test": {"G91": 16, "G92": 16},
}
VALIDATION = {"G81": 4, "G82": 4}  # of two more bodies, to follow a training run with
# Of the pixels of all these slices, on any CPU; the shipped weights were trained and tested on
# them.
SHA256 = "fad742d1f6c8385e72ffcd12133be83762f9c82e73e5ce4fe2fc2c609a678562"


def _make(job: Job) -> None:
    """Generate one slice and write it; at module level, so that any process can be given it."""
    path, seed, split, patient, index, count = job
    image = Image.fromarray(generate_slice(seed, split, patient, index, count))
    write_atomically(path, lambda file: image.save(file, format="PNG", compress_level=4))


def _jobs(root: Path, seed: int, plan: dict[str, dict[str, int]]) -> Iterator[Job]:
    for split, patients in plan.items():
        for patient, count in patients.items():
            for index in range(count):
                path = root / split / patient / f"{index}.png"
                yield path, seed, split, patient, index, count


def read_generated(root: Path) -> dict:
    """Return what an earlier run generated here; ``{}`` if there was none."""
    path = root / MANIFEST
    if not path.is_file():
        return {}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not manifest["generated"]:
            return {}
        aside = {split: left["patients"] for split, left in manifest.get(ASIDE, {}).items()}
        for split, patients in (*manifest["slices"].items(), *aside.items()):
            for patient, count in patients.items():  # files of these names may be deleted
                if split not in PLAN or not patient.isalnum() or not 0 <= count <= MOST_SLICES:
                    raise ValueError(f"{split}/{patient}: {count} is not what it writes")
        return manifest
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"cannot read {path} ({error}): expected the JSON file that `python -m ippy prepare` "
            "writes. Delete it together with the generated slices beside it, and prepare again."
        ) from error


def _made_before(manifest: dict) -> dict[str, dict]:
    """Return the patients of each split that was ever made, the generator's version and the seed.

    Those of a split that was set aside too: it is made up again once others' slices are gone.
    """
    how = {key: manifest.get(key) for key in ("generator_version", "seed")}
    made = {split: {**how, "patients": them} for split, them in manifest.get("slices", {}).items()}
    return made | manifest.get(ASIDE, {})


def _write_manifest(root: Path, manifest: dict) -> None:
    write_json(root / MANIFEST, manifest)


def _checksum(root: Path, jobs: list[Job]) -> str:
    """Return the sha256 of the decoded pixels of all slices, in the order of the data set."""
    total = hashlib.sha256()
    for path in sorted((job[0] for job in jobs), key=lambda p: p.relative_to(root).as_posix()):
        total.update(read_slice(path).tobytes())
    return total.hexdigest()


def _generate(jobs: list[Job], workers: int, progress: bool) -> None:
    """Make all slices, with several processes where that pays."""
    with tqdm(total=len(jobs), desc="Generating slices", unit="slice", disable=not progress) as bar:
        if workers > 1 and len(jobs) > 16:
            context = get_context("spawn")  # forking is not safe beside torch's threads
            try:
                with ProcessPoolExecutor(workers, mp_context=context) as pool:
                    for _ in pool.map(_make, jobs, chunksize=4):
                        bar.update()
            except BrokenProcessPool:  # such as a script without `if __name__ == "__main__":`
                jobs = [job for job in jobs if not job[0].is_file()]
                bar.reset(total=len(jobs))
            else:
                return
        for job in jobs:
            _make(job)
            bar.update()


def prepare_mayo(
    data_path: str | os.PathLike[str] | None = None,
    *,
    seed: int | None = None,
    progress: bool = True,
    workers: int | None = None,
) -> Path:
    """Generate the CT-like slices, once, into ``<data_path>/{train,test}/<patient>/<n>.png``.

    ``manifest.json`` beside them says that they are generated, by which version and seed. Called
    again it returns at once; interrupted, it goes on where it stopped; after a change of version
    or seed it replaces what it had made. A split that holds any other slice, such as real ones, is
    left as it is. A course that may only be read is enough where its slices are all there; where
    they are not, they are made in a folder of the user's own, and a line says where.

    Args:
        data_path: The data folder; the course's ``Mayo/`` by default.
        seed: Seed of all slices; if None that of the slices that are there, else the course's. The
            same seed gives the same pixels for any number of workers.
        progress: Show a bar.
        workers: Number of processes; the machine's cores, at most 8, by default.

    Returns:
        The data folder.

    Raises:
        ValueError: The manifest is there but cannot be read, or a number is out of range.
        OSError: The disk is full or the folder can't be written. Prepared again later, it goes on.
    """
    if seed is not None:
        check_integer("seed", seed)
    if workers is not None:
        check_integer("workers", workers, least=1, most=61)  # Windows has no more
    shared = course_root() / "Mayo"
    root = shared if data_path is None else as_path(data_path, "data_path")
    manifest = read_generated(root)
    asked, seed = seed, manifest.get("seed", SEED) if seed is None else seed
    earlier = _made_before(manifest)
    them = {split: entry["patients"] for split, entry in earlier.items()}
    made = {job[0] for job in _jobs(root, 0, them)}
    plan, aside = {}, {}
    for split, patients in PLAN.items():
        found, faults = find_slices(root / split) if (root / split).is_dir() else ([], {})
        others = [path for path in (*found, *faults) if path not in made]
        if others:
            print(
                f"{root / split} holds slices that were not generated here, such as "
                f"{others[0].relative_to(root / split).as_posix()}: leaving that folder as it is."
            )
            aside |= {split: earlier[split]} if split in earlier else {}
        else:
            plan[split] = patients
    how = {"generator_version": VERSION, "seed": seed}
    wanted = {"generated": True, **how, "slices": plan} | ({ASIDE: aside} if aside else {})
    jobs = list(_jobs(root, seed, plan))
    same = {split for split in plan if how.items() <= earlier.get(split, {}).items()}
    missing = [job for job in jobs if not (job[2] in same and job[0].is_file())]
    as_wanted = all(manifest.get(key) == wanted.get(key) for key in (*wanted, ASIDE))
    if as_wanted and not missing and manifest.get("complete"):
        return root
    if data_path is None and not is_writable(root):
        if not plan:  # real slices in both splits: there is nothing to make
            return root
        own = output_dir("Mayo")
        return prepare_mayo(own, seed=asked, progress=progress, workers=workers)
    for path in made - {job[0] for job in jobs if job[2] in same}:
        if path.relative_to(root).parts[0] in plan:
            path.unlink(missing_ok=True)
    _write_manifest(root, wanted | {"complete": False})
    _generate(missing, workers or min(os.cpu_count() or 1, 8), progress)
    counts = {split: sum(patients.values()) for split, patients in plan.items()}
    done = {"complete": True, "counts": counts, "sha256": _checksum(root, jobs)}
    _write_manifest(root, wanted | done)
    if plan == PLAN and seed == SEED and done["sha256"] != SHA256:
        print(
            "Some pixels of these slices differ from those the shipped weights were trained on: "
            "this machine's libraries draw or round differently. Expect the last digits of results "
            "to differ."
        )
    return root


def validation_slices(seed: int = SEED) -> torch.Tensor:
    """Generate slices of two bodies that are in neither split: (8, 1, 256, 256) in [0, 1].

    Runs are followed with these; nothing is trained or tested on them.

    Args:
        seed: As for :func:`prepare_mayo`.

    Raises:
        ValueError: ``seed`` is out of range.
    """
    pixels = [
        generate_slice(seed, "test", patient, index, count)
        for patient, count in VALIDATION.items()
        for index in range(count)
    ]
    return torch.from_numpy(np.stack(pixels))[:, None].float() / 255
