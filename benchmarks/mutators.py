"""Mutations that cosmic-ray lacks: a statement deleted, an argument dropped.

A gradient that is no longer clipped, flips that no longer happen, a weight decay of nothing: faults
of training code are as often something missing as something wrong.
"""

from collections.abc import Iterator

import cosmic_ray.plugins
from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import Name
from parso.tree import BaseNode, NodeOrLeaf

Positions = Iterator[tuple[tuple[int, int], tuple[int, int]]]


def in_place_of(node: NodeOrLeaf, code: str) -> Name:
    """Return ``code`` to stand where ``node`` stood."""
    return Name(code, node.start_pos, prefix=node.get_first_leaf().prefix)


class DeleteStatement(Operator):
    """Deletes a statement that binds no name: a call, ``x += y``, ``x[i] = y``, a ``raise``."""

    def mutation_positions(self, node: NodeOrLeaf) -> Positions:
        """Yield the place of a statement that can go without leaving a name unbound."""
        if node.type == "simple_stmt" and self._is_telling(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    @staticmethod
    def _is_telling(statement: NodeOrLeaf) -> bool:
        if statement.type == "atom_expr":  # a call
            return statement.children[-1].children[0] == "("
        if statement.type == "expr_stmt":
            target, sign = statement.children[:2]
            subscript = target.type == "atom_expr" and target.children[-1].children[0] == "["
            augmented = getattr(sign, "value", "=") not in ("=", ":=")
            return subscript or (augmented and sign.type == "operator")
        return statement.type == "raise_stmt"

    def mutate(self, node: BaseNode, index: int) -> BaseNode:
        """Put ``pass`` in the statement's place."""
        node.children[0] = in_place_of(node.children[0], "pass")
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Return what a mutation does, for the tool's own tests and ours."""
        return (
            Example("clip(x, 1)\n", "pass\n"),
            Example("x += 1\n", "pass\n"),
            Example("x[0] = 1\n", "pass\n"),
            Example("if x:\n    raise ValueError\n", "if x:\n    pass\n"),
        )


class DropKeyword(Operator):
    """Drops a keyword argument of a call, which then has its default."""

    def mutation_positions(self, node: NodeOrLeaf) -> Positions:
        """Yield the place of a keyword argument."""
        if node.type == "argument" and node.children[1] == "=" and self._of_a_call(node):
            yield node.start_pos, node.end_pos

    @staticmethod
    def _of_a_call(node: NodeOrLeaf) -> bool:
        parent = node.parent.parent if node.parent.type == "arglist" else node.parent
        return parent.type == "trailer"

    def mutate(self, node: BaseNode, index: int) -> NodeOrLeaf:
        """Put an empty set of arguments in the argument's place."""
        return in_place_of(node, "**{}")

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Return what a mutation does, for the tool's own tests and ours."""
        return (
            Example("f(1, a=2)\n", "f(1, **{})\n"),
            Example("f(a=2)\n", "f(**{})\n"),
        )


def register() -> None:
    """Let cosmic-ray know these operators, as ``course/...``."""
    operators = {"DeleteStatement": DeleteStatement, "DropKeyword": DropKeyword}
    cosmic_ray.plugins.OPERATOR_PROVIDERS["course"] = operators
