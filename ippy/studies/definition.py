"""What a study is: a question, the runs that answer it, and a digest of how they are made."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import Dataset

from ippy.base.checks import check_choice, check_type
from ippy.base.paths import studies_dir
from ippy.problems import InverseProblem, motion_deblurring
from ippy.studies.evaluation import Evaluation, Images
from ippy.train import Recipe
from ippy.train.recipe import with_defaults

Factors = dict[str, Any]
"""What distinguishes a run from the others of its study: name -> a JSON value."""

FILE_NAME = re.compile(r"[\w .,=+-]+")


@dataclass(frozen=True)
class Phase:
    """Training of a part of a model, before the whole is trained.

    Attributes:
        part: Returns the part of a model that learns: itself a network from images to images, on
            the weights of that model.
        recipe: How it is trained.
    """

    part: Callable[[nn.Module], nn.Module]
    recipe: Recipe


@dataclass(frozen=True)
class Job:
    """What one run trains.

    Attributes:
        model: Returns the model with its first weights; drawn from the recipe's seed, as
            ``partial(build, "UNet", seed=0)`` does.
        recipe: How it is trained.
        problem: What it learns to undo.
        slices: Chooses the training slices from all of the course's; all of them if None.
        loss: Returns the loss, where it is none of those that a recipe knows.
        measure: What to measure of the trained model beside its scores: name -> number, or numbers.
        ship_to: Where the weights go once they are trained, with the row as their record; nowhere
            else than beside the record if None.
        phases: Trainings of parts of the model that come before, in their order.
        validation: Returns the validation slices; the course's if None.
        test: Returns the test slices; the course's if None.
        further_tests: Other slices to score the model on: name -> what returns them.
    """

    model: Callable[[], nn.Module]
    recipe: Recipe
    problem: InverseProblem = field(default_factory=motion_deblurring)
    slices: Callable[[Dataset[Tensor]], Dataset[Tensor]] | None = None
    loss: Callable[[], nn.Module] | None = None
    measure: Callable[[nn.Module], Mapping[str, Any]] | None = None
    ship_to: Path | None = None
    phases: tuple[Phase, ...] = ()
    validation: Callable[[], Images] | None = None
    test: Callable[[], Images] | None = None
    further_tests: Mapping[str, Callable[[], Images]] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """The recipe's fields, and the recipes of its phases if it has any.

        A loss that is not used, because the job has its own, is not in it.
        """
        whole, *parts = (
            {k: v for k, v in asdict(recipe).items() if not (self.loss is not None and k == "loss")}
            for recipe in (self.recipe, *(phase.recipe for phase in self.phases))
        )
        return whole | ({"phases": parts} if parts else {})

    def is_as_recorded(self, row: Mapping[str, Any]) -> bool:
        """Say whether a recorded row was trained by this recipe, and its phases by theirs.

        A field that recipes did not have then counts as its default.
        """
        if "recipe" not in row:  # it was an evaluation
            return False
        recorded, wanted = _recipes(row["recipe"]), _recipes(self.settings)
        return len(recorded) == len(wanted) and all(map(_agree, recorded, wanted))


@dataclass(frozen=True)
class Study:
    """A question and the runs that answer it.

    Attributes:
        question: What is asked, in a sentence.
        decides: The claim of the book that stands or falls by the answer.
        fixed: What is the same in all runs, in words.
        rows: The factors of each run, ``seed`` among them.
        job: What a run with these factors trains, or evaluates: called as ``job(**factors)``.
        minutes: About how long a run takes on one core.
    """

    question: str
    decides: str
    fixed: str
    rows: tuple[Factors, ...]
    job: Callable[..., Job | Evaluation]
    minutes: float

    def __post_init__(self) -> None:
        keys = [row_key(factors) for factors in self.rows]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise ValueError(f"rows has {twice!r} twice; expected factors that tell all runs apart")
        bad = next((key for key in keys if not FILE_NAME.fullmatch(key)), None)
        if bad is not None:
            raise ValueError(f"rows has {bad!r}; expected factors that can be in a file's name")


def grid(**levels: Iterable[Any]) -> tuple[Factors, ...]:
    """Return the factors of every combination: ``grid(loss=["mse", "l1"], seed=[0, 1])``."""
    return tuple(
        dict(zip(levels, values, strict=True)) for values in itertools.product(*levels.values())
    )


def row_key(factors: Mapping[str, Any]) -> str:
    """Return the name of a run: ``"loss=l1,seed=0"``."""
    return ",".join(f"{name}={value}" for name, value in factors.items())


def names() -> list[str]:
    """Return the names of all studies."""
    return sorted(path.stem for path in studies_dir().glob("*.py"))


def load(name: str) -> Study:
    """Return the study that ``studies/<name>.py`` defines as ``STUDY``.

    Raises:
        ValueError: There is no study of that name.
    """
    check_choice("name", name, tuple(names()) or ("",))
    spec = importlib.util.spec_from_file_location(f"studies.{name}", definition_path(name))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    check_type(f"STUDY of studies/{name}.py", module.STUDY, Study, "Study(question=..., ...)")
    return module.STUDY


def definition_path(name: str) -> Path:
    """Return the file that defines a study."""
    return studies_dir() / f"{name}.py"


def digest(name: str, job: Job | Evaluation, factors: Factors) -> str:
    """Return a digest of how a run is made: its factors, its operator, and the study's code.

    The code is all of the study's file but the assignment of ``STUDY``, comments and docstrings: a
    study may grow by rows without a change to those it has. The recipe is not in it; a row holds
    that in full, and :func:`is_stale` compares it.
    """
    path = definition_path(name)
    file = path.stat()
    code = _statements(path, (file.st_mtime_ns, file.st_size))
    content = json.dumps([factors, _described(job.problem), code])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def is_stale(row: Mapping[str, Any], name: str, job: Job | Evaluation) -> bool:
    """Say whether a recorded row was made otherwise than its definition says now."""
    return not job.is_as_recorded(row) or row["digest"] != digest(name, job, row["factors"])


def _described(problem: InverseProblem) -> list[Any]:
    """Return what tells a problem from others, as JSON values."""
    operator = problem.operator
    tensors = [v.tolist() for v in vars(operator).values() if isinstance(v, Tensor)]
    numbers = {k: v for k, v in vars(operator).items() if isinstance(v, int | float)}
    settings = [numbers] if numbers else []  # a blur has none, and keeps its digest
    described = [type(operator).__qualname__, tensors, *settings, problem.noise_level]
    if type(problem) is InverseProblem:
        return described
    more = [getattr(problem, f.name) for f in fields(problem)[2:]]  # after operator and noise_level
    more = [_described(v) if isinstance(v, InverseProblem) else v for v in more]
    return [type(problem).__qualname__, *described, *more]


def _recipes(settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the recipes among a job's settings: of its phases, and of the whole."""
    whole = {name: value for name, value in settings.items() if name != "phases"}
    return [*settings.get("phases", []), whole]


def _agree(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    recorded = with_defaults(recorded)
    return {name: recorded[name] for name in wanted} == wanted


@cache
def _statements(path: Path, state: tuple[int, int]) -> list[str]:
    """Return a file's statements without comments, docstrings and the assignment of STUDY.

    Args:
        path: The file.
        state: When it was changed, and its size: it is read again where these differ.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(getattr(node, "body", None), list):  # that of a lambda is none
            node.body = [part for part in node.body if not _is_text(part)]
    # ast.dump differs from one Python to the next
    return [ast.unparse(statement) for statement in tree.body if not _assigns_study(statement)]


def _assigns_study(statement: ast.stmt) -> bool:
    targets = getattr(statement, "targets", [])
    return any(isinstance(target, ast.Name) and target.id == "STUDY" for target in targets)


def _is_text(node: ast.stmt) -> bool:
    """Whether a statement is a docstring, of a function or below a constant."""
    value = getattr(node, "value", None)
    return (
        isinstance(node, ast.Expr) and isinstance(value, ast.Constant) and type(value.value) is str
    )
