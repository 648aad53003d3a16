"""Would the tests notice? Faults are put into ``ippy``, one at a time, and the tests run.

    python benchmarks/mutants.py --sample 300      # go on to 300 mutants; what is done is kept
    python benchmarks/mutants.py --survivors       # survivors again, after a test was added
    python benchmarks/mutants.py --report          # the table of what has been tried, no more
    python benchmarks/mutants.py --write           # the table into benchmarks/README.md

cosmic-ray makes the mutants; ``mutators.py`` beside this file adds two kinds to its own. The sample
is drawn from a seed and only grows, so a run that was stopped goes on, and a larger sample holds
the smaller one. Mutants live in copies of the course under ``_build/mutants``: the course itself
is never changed.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import multiprocessing
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import mutators
from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkItem, WorkResult
from tqdm import tqdm

from ippy.tools.made_parts import remade, rewrite

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "_build" / "mutants"
README = ROOT / "benchmarks" / "README.md"
EXPLAINED = ROOT / "benchmarks" / "equivalent.toml"
SEED = 2024
PYTEST = "-m pytest -x -q -p no:cacheprovider -o addopts=--import-mode=importlib"

# What is mutated, and the test files, or single tests, that have to notice; the quick ones first.
PARTS = {
    "operators": (
        "operators/*.py",
        "operators unrolled transforms::test_vmap_is_a_loop "
        "transforms::test_an_operator_is_its_own_derivative",
    ),
    "noise, tasks": ("problems/noise.py problems/tasks.py", "operators classical tasks"),
    "models": ("models/[!a]*.py", "models gated relative hybrid unrolled"),
    "attention": ("models/attention.py", "transforms"),
    "metrics": ("quality/metrics.py", "metrics"),
    "losses": ("quality/losses.py", "losses"),
    "tiling": ("quality/tiling.py", "tiling"),
    "pairs": ("train/pairs.py", "training_step training"),
    "loop": ("train/loop.py", "training_step training"),
    "recipe": ("train/recipe.py", "training_step training"),
    "optimiser": ("train/muon.py", "muon training_step"),
    "checkpoints": ("weights/*.py", "recognition checkpoints"),
}
# Operators that no one writes by mistake, so that a test that notices them has shown little.
FAR_FETCHED = re.compile("_(RShift|LShift|BitOr|BitAnd|BitXor|Mod|FloorDiv)$|Unary.*_Invert$")


@dataclass(frozen=True)
class Mutant:
    """One mutation of one part.

    Attributes:
        part: The row of the table.
        item: The mutation, as the tool records it.
    """

    part: str
    item: WorkItem

    @property
    def mutation(self) -> MutationSpec:
        """Where it is, and what is done there."""
        return self.item.mutations[0]


def annotations(path: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return where a file has type annotations; nothing evaluates them."""
    places = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for name in ("annotation", "returns"):
            hint = getattr(node, name, None)
            if hint is not None:
                start = (hint.lineno, hint.col_offset)
                places.append((start, (hint.end_lineno, hint.end_col_offset)))
    return places


def all_mutations(path: Path, session: WorkDB) -> Iterator[MutationSpec]:
    """Yield a file's mutations, but those of annotations and those that nobody would make."""
    hints = annotations(path)
    init([path.relative_to(ROOT)], session, {})
    for item in session.work_items:
        mutation = item.mutations[0]
        hint = any(start <= mutation.start_pos <= end for start, end in hints)
        if not hint and not FAR_FETCHED.search(mutation.operator_name):
            yield mutation


def identity(mutation: MutationSpec) -> str:
    """Return what names a mutation as long as its file does not change."""
    source = (ROOT / mutation.module_path).read_bytes()
    which = f"{mutation.module_path} {mutation.operator_name} {mutation.occurrence}"
    return hashlib.sha256(source + which.encode()).hexdigest()[:16]


def candidates(part: str, session: WorkDB) -> list[Mutant]:
    """Return one mutant for each place of a part where one can be made, in a random order.

    A place with many mutants, such as ``+`` that may become ``-``, ``*`` or ``/``, counts once.
    """
    rng = random.Random(f"{SEED} {part}")
    places: dict[tuple, list[MutationSpec]] = {}
    for pattern in PARTS[part][0].split():
        for path in sorted((ROOT / "ippy").glob(pattern)):
            for mutation in all_mutations(path, session):
                family = mutation.operator_name.split("_")[0]
                place = (str(mutation.module_path), mutation.start_pos, family)
                places.setdefault(place, []).append(mutation)
    order = sorted(places)
    rng.shuffle(order)
    chosen = [
        rng.choice(sorted(places[place], key=lambda m: (m.operator_name, m.occurrence)))
        for place in order
    ]
    return [Mutant(part, WorkItem(identity(one), (one,))) for one in chosen]


def draw(size: int, parts: list[str]) -> list[Mutant]:
    """Return the sample: of each part in proportion to its places; a larger one holds it."""
    with use_db(":memory:") as session:
        pools = {part: candidates(part, session) for part in parts}
    ranked = [
        ((rank + 0.5) / len(pool), mutant)
        for pool in pools.values()
        for rank, mutant in enumerate(pool)
    ]
    ranked.sort(key=lambda pair: (pair[0], pair[1].part))
    return [mutant for _, mutant in ranked[:size]]


def test_command(part: str) -> str:
    """Return the command that runs a part's tests."""
    names = (name.partition("::") for name in PARTS[part][1].split())
    files = " ".join(f"tests/test_{file}.py{sign}{test}" for file, sign, test in names)
    return f"{shlex.quote(sys.executable)} {PYTEST} {files}"


def copy_course(folder: Path) -> None:
    """Copy what git holds or would hold, and link the slices."""
    shutil.rmtree(folder, ignore_errors=True)
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listing.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for split in ("train", "test"):
        shutil.copytree(ROOT / "Mayo" / split, folder / "Mayo" / split, copy_function=os.link)
    shutil.copy(ROOT / "Mayo" / "manifest.json", folder / "Mayo")


def enter(places: multiprocessing.Queue) -> None:
    """Make a worker's copy of the course its own, for its tests and for the mutations."""
    folder = Path(places.get())
    copy_course(folder)
    os.chdir(folder)
    os.environ |= {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    mutators.register()


def check_unchanged(command: str) -> float:
    """Return how long tests take on the course as it is, which they must accept."""
    begin = time.perf_counter()
    result = subprocess.run(shlex.split(command), capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(
            f"before any mutation {command} fails, {result.returncode}:\n{result.stdout}"
        )
    return time.perf_counter() - begin


def try_one(mutant: Mutant, timeout: float) -> WorkResult:
    """Run a part's tests on one mutant."""
    return mutate_and_test(mutant.item.mutations, test_command(mutant.part), timeout)


def run(sample: list[Mutant], session: WorkDB, workers: int) -> None:
    """Try every mutant that has no result yet, and record each as it comes."""
    done = {job for job, _ in session.results}
    waiting = [mutant for mutant in sample if mutant.item.job_id not in done]
    if not waiting:
        return
    known = {item.job_id for item in session.work_items}
    session.add_work_items(one.item for one in waiting if one.item.job_id not in known)
    context = multiprocessing.get_context("spawn")
    places = context.Queue()
    for number in range(workers):
        places.put(str(FOLDER / f"course-{number}"))
    with ProcessPoolExecutor(workers, context, enter, (places,)) as pool:
        commands = sorted({test_command(mutant.part) for mutant in waiting})
        unchanged = tqdm(pool.map(check_unchanged, commands), total=len(commands), desc="No mutant")
        limits = {key: 30 + 5 * seconds for key, seconds in zip(commands, unchanged, strict=True)}
        jobs = {pool.submit(try_one, one, limits[test_command(one.part)]): one for one in waiting}
        for job in tqdm(as_completed(jobs), total=len(jobs), desc="Mutants"):
            session.set_result(jobs[job].item.job_id, job.result())


def forget_survivors(session: WorkDB) -> None:
    """Give every survivor back to those that are still to be tried."""
    rest = [item for item, result in session.completed_work_items if not survived(result)]
    kept = [(item.job_id, result) for item, result in session.completed_work_items]
    kept = [(job, result) for job, result in kept if not survived(result)]
    session.clear()
    session.add_work_items(rest)
    for job, result in kept:
        session.set_result(job, result)


def survived(result: WorkResult) -> bool:
    """Say whether all tests passed; one that ran out of time or did not start has noticed."""
    return result.test_outcome == TestOutcome.SURVIVED


def change(result: WorkResult) -> tuple[str, str]:
    """Return the line that was mutated and what became of it."""
    lines = str(result.diff).splitlines()
    before = [line[1:].strip() for line in lines if re.match(r"-(?!-)", line)]
    after = [line[1:].strip() for line in lines if re.match(r"\+(?!\+)", line)]
    return " ".join(filter(None, before)), " ".join(filter(None, after))


def table(sample: list[Mutant], results: dict[str, WorkResult]) -> tuple[str, list[str]]:
    """Return the table as Markdown, and the survivors that nothing explains."""
    explained = {
        (entry["file"], entry["before"], entry["after"])
        for entry in tomllib.loads(EXPLAINED.read_text(encoding="utf-8")).get("equivalent", [])
    }
    rows, missed = [], []
    total = [0, 0, 0]
    for part in PARTS:
        tried = [m for m in sample if m.part == part and m.item.job_id in results]
        escaped = [m for m in tried if survived(results[m.item.job_id])]
        equal = 0
        for mutant in escaped:
            before, after = change(results[mutant.item.job_id])
            file = Path(mutant.mutation.module_path).as_posix()
            if (file, before, after) in explained:
                equal += 1
            else:
                missed.append(f"{file}:{mutant.mutation.start_pos[0]}\n  - {before}\n  + {after}")
        if tried:
            counts = [len(tried), len(tried) - len(escaped), equal]
            total = [a + b for a, b in zip(total, counts, strict=True)]
            rows.append(row(part, *counts))
    head = "| part | mutants | caught | equivalent | missed | caught |\n|---|--:|--:|--:|--:|--:|\n"
    return head + "\n".join([*rows, row("**all**", *total)]), missed


def row(part: str, mutants: int, caught: int, equal: int) -> str:
    """Return one row of the table."""
    missed = mutants - caught - equal
    share = caught / max(mutants - equal, 1)
    return f"| {part} | {mutants} | {caught} | {equal} | {missed} | {share:.0%} |"


def main() -> int:
    """Draw the sample, try what has not been tried, and say what survived."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n")[0])
    parser.add_argument("--sample", type=int, default=300, help="mutants in all (default: 300)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--part", nargs="+", choices=PARTS, help="only of these parts")
    parser.add_argument("--survivors", action="store_true", help="try the survivors again")
    parser.add_argument("--report", action="store_true", help="try none, say what was found")
    parser.add_argument("--write", action="store_true", help="write the table into the README")
    options = parser.parse_args()
    mutators.register()
    os.chdir(ROOT)
    FOLDER.mkdir(parents=True, exist_ok=True)
    sample = draw(options.sample, options.part or list(PARTS))
    with use_db(FOLDER / "session.sqlite") as session:
        if options.survivors:
            forget_survivors(session)
        if not options.report:
            run(sample, session, options.workers)
        text, missed = table(sample, dict(session.results))
    print(text, *missed, sep="\n")
    if options.write:
        rewrite(README, remade(README, lambda _: text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
