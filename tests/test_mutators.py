"""The mutations that ``make mutants`` adds to those of its tool."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
from cosmic_ray.mutating import mutate_code


@pytest.fixture
def mutators(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmarks' module of that name."""
    monkeypatch.syspath_prepend(root / "benchmarks")
    return importlib.import_module("mutators")


@pytest.mark.parametrize("name", ["DeleteStatement", "DropKeyword"])
def test_a_mutation_does_what_its_examples_say(mutators: ModuleType, name: str) -> None:
    operator = getattr(mutators, name)
    for example in operator.examples():
        mutated = mutate_code(example.pre_mutation_code, operator(), example.occurrence)
        assert mutated == example.post_mutation_code
        compile(mutated, "mutated", "exec")


@pytest.mark.parametrize(
    "code",
    ["x = 1\n", "x: int = 1\n", "'text'\n", "import x\n", "def f(a=1): return a\n", "f(1)[0].y\n"],
)
def test_what_would_leave_a_name_unbound_or_the_same_is_let_be(
    mutators: ModuleType, code: str
) -> None:
    for operator in (mutators.DeleteStatement, mutators.DropKeyword):
        assert mutate_code(code, operator(), 0) is None


def test_the_tool_finds_them(mutators: ModuleType) -> None:
    import cosmic_ray.plugins

    mutators.register()
    assert cosmic_ray.plugins.get_operator("course/DropKeyword") is mutators.DropKeyword
    assert "course/DeleteStatement" in cosmic_ray.plugins.operator_names()
