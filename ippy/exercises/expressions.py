"""Arithmetic that is written in a file: ``evaluate("2 / norm**2", norm=3.0)``."""

from __future__ import annotations

import ast
import math
import operator

BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
FUNCTIONS = {"abs": abs, "sqrt": math.sqrt, "log10": math.log10}


def evaluate(expression: str | float, **names: float) -> float:
    """Return the value of an expression, which means the same in Python and in JavaScript.

    Args:
        expression: A number, or numbers and names joined by ``+ - * / **`` and parentheses, and
            by ``abs()``, ``sqrt()`` and ``log10()``.
        names: What its names stand for.

    Raises:
        ValueError: There is something else in it.
    """
    return _value(ast.parse(str(expression), mode="eval").body, names)


def _value(node: ast.expr, names: dict[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            return BINARY[type(op)](_value(left, names), _value(right, names))
        case ast.Call(func=ast.Name(id=name), args=[argument]) if name in FUNCTIONS:
            return FUNCTIONS[name](_value(argument, names))
    raise ValueError(f"`{ast.unparse(node)}` is not arithmetic on {', '.join(names) or 'numbers'}")
