"""Arithmetic that is written as a text: ``evaluate("2 / norm**2", norm=3.0)``.

``book/_static/answers/judge.js`` reads the same language on a page; a test holds the two equal.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable

BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
UNARY = {ast.USub: operator.neg, ast.UAdd: operator.pos}
FUNCTIONS = {"abs": abs, "sqrt": math.sqrt, "log10": math.log10}


def evaluate(expression: str | float, **names: float) -> float:
    """Return the value of an expression.

    Args:
        expression: A number, or numbers and names joined by ``+ - * / **`` and parentheses, and
            by ``abs()``, ``sqrt()`` and ``log10()``.
        names: What its names stand for.

    Raises:
        SyntaxError: It is not put together as Python is.
        ValueError: There is something else in it.
        ArithmeticError: It, or a part of it, has no finite real value.
    """
    return _value(ast.parse(str(expression), mode="eval").body, names)


def _value(node: ast.expr, names: dict[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            return _finite(BINARY[type(op)], _value(left, names), _value(right, names))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in UNARY:
            return UNARY[type(op)](_value(operand, names))
        case ast.Call(func=ast.Name(id=name), args=[argument]) if name in FUNCTIONS:
            return _finite(FUNCTIONS[name], _value(argument, names))
    raise ValueError(f"`{ast.unparse(node)}` is not arithmetic on {', '.join(names) or 'numbers'}")


def _finite(function: Callable[..., float], *values: float) -> float:
    try:
        value = function(*values)
    except ValueError as error:  # the square root of -1, the logarithm of 0
        raise ArithmeticError(str(error)) from None
    if isinstance(value, complex) or not math.isfinite(value):
        raise ArithmeticError(f"{value} is no finite real number")
    return value
