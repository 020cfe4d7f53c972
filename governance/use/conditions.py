"""Conditions of a user's statement that a trusted process evaluates: DuckDB's tree of one, rebuilt in a closed grammar.

    condition  = operand op constant | constant op operand | operand [NOT] IN (constants) | operand [NOT] BETWEEN constants
               | operand IS [NOT] NULL | condition AND condition | condition OR condition | NOT condition
    op         = '=' | '<>' | '<' | '<=' | '>' | '>='

What an operand is, the caller says. Nothing of the user's text is kept: constants become literals of the operand's own
type, so that no row can make the condition fail. NULL behaves as in SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlglot import exp

from governance.catalog.types import ColumnType
from governance.errors import Refused
from governance.policy import filters

MAX_DEPTH, MAX_COMPARISONS = 16, 256
Node = Mapping[str, Any]
Operand = Callable[[Node], tuple[exp.Expr, ColumnType]]
"""The expression and type of a node that may be compared; raises Refused for any other."""
Constant = Callable[[Node, ColumnType], exp.Expr]
"""The literal of a constant that is compared with an operand of a type; raises Refused for any other."""

_COMPARISONS: Mapping[str, tuple[type[exp.Binary], type[exp.Binary]]] = {
    "COMPARE_EQUAL": (exp.EQ, exp.EQ),
    "COMPARE_NOTEQUAL": (exp.NEQ, exp.NEQ),
    "COMPARE_LESSTHAN": (exp.LT, exp.GT),
    "COMPARE_LESSTHANOREQUALTO": (exp.LTE, exp.GTE),
    "COMPARE_GREATERTHAN": (exp.GT, exp.LT),
    "COMPARE_GREATERTHANOREQUALTO": (exp.GTE, exp.LTE),
}
"""DuckDB's name -> the operator, and the one for operands the other way round."""
_NUMBERS = frozenset({"integer", "decimal", "double"})


def condition(node: Node, operand: Operand, constant: Constant | None = None) -> exp.Expr:
    """`node` as an expression of ours. Raises Refused for what the grammar has not. `constant` says which constants may be
    compared with a column; by default whichever can be read as its type.
    """
    left = [MAX_COMPARISONS]
    return _condition(node, operand, constant or _constant, left, MAX_DEPTH)


def conjuncts(node: Node, operand: Operand) -> tuple[exp.Expr, ...]:
    """The conditions that AND joins in `node`, each of one operand: no OR, no NOT over several. Raises Refused as
    `condition` does.
    """
    if node.get("class") == "CONJUNCTION" and node.get("type") == "CONJUNCTION_AND":
        return tuple(each for child in node["children"] for each in conjuncts(child, operand))
    inner = node
    while inner.get("type") == "OPERATOR_NOT":
        inner = inner["children"][0]
    if inner.get("class") == "CONJUNCTION":
        raise _refused("OR, or NOT over more than one comparison")
    return (condition(node, operand),)


def whole_number(node: Node | None) -> int | None:
    """The non-negative integer that a constant is; None for any other node."""
    literal = (node or {}).get("literal") if (node or {}).get("class") == "CONSTANT" else None
    text = str((literal or {}).get("text", ""))
    return int(text) if (literal or {}).get("kind") == "INTEGER" and text.isdecimal() and len(text) < 16 else None


def _condition(node: Node, operand: Operand, constant: Constant, left: list[int], levels: int) -> exp.Expr:
    if levels == 0:
        raise _refused("nested too deeply")
    kind = str(node.get("type"))
    match node.get("class"), kind:
        case "CONJUNCTION", "CONJUNCTION_AND" | "CONJUNCTION_OR":
            parts = [exp.paren(_condition(child, operand, constant, left, levels - 1)) for child in node["children"]]
            return exp.and_(*parts) if kind == "CONJUNCTION_AND" else exp.or_(*parts)
        case "OPERATOR", "OPERATOR_NOT":
            return exp.not_(exp.paren(_condition(node["children"][0], operand, constant, left, levels - 1)))
        case "OPERATOR", "OPERATOR_IS_NULL" | "OPERATOR_IS_NOT_NULL":
            _count(left, 1)
            made: exp.Expr = exp.Is(this=operand(node["children"][0])[0], expression=exp.null())
            return made if kind == "OPERATOR_IS_NULL" else exp.not_(made)
        case "OPERATOR", "COMPARE_IN" | "COMPARE_NOT_IN":
            tested, *constants = node["children"]
            _count(left, len(constants))
            column, of = operand(tested)
            made = exp.In(this=column, expressions=[constant(each, of) for each in constants])
            return made if kind == "COMPARE_IN" else exp.not_(made)
        case "BETWEEN", "COMPARE_BETWEEN" | "COMPARE_NOT_BETWEEN":
            _count(left, 2)
            column, of = operand(node["input"])
            made = exp.Between(this=column, low=constant(node["lower"], of), high=constant(node["upper"], of))
            return made if kind == "COMPARE_BETWEEN" else exp.not_(made)
        case "COMPARISON", _ if kind in _COMPARISONS:
            _count(left, 1)
            straight, turned = _COMPARISONS[kind]
            if _is_constant(node["left"]):
                column, of = operand(node["right"])
                return turned(this=column, expression=constant(node["left"], of))
            column, of = operand(node["left"])
            return straight(this=column, expression=constant(node["right"], of))
        case _:
            raise _refused("a kind of condition that is not allowed here")


def _is_constant(node: Node) -> bool:
    return node.get("class") == "CONSTANT" or (node.get("class") == "CAST" and _is_constant(node["child"]))


def _constant(node: Node, of: ColumnType) -> exp.Expr:
    """The constant as a literal of the type that it is compared with; `DATE '…'` and the like are read as their text."""
    if node.get("class") == "CAST" and node["child"].get("class") == "CONSTANT":
        return _constant(node["child"], of)
    if node.get("class") != "CONSTANT" or not isinstance(node.get("literal"), Mapping):
        raise _refused("only a constant may stand beside a column")
    kind, text = node["literal"].get("kind"), node["literal"].get("text")
    if not isinstance(text, str):
        raise _refused("only a constant may stand beside a column")
    if of.kind in _NUMBERS:
        number = kind in ("INTEGER", "NUMERIC") and (of.kind != "integer" or kind == "INTEGER")
        fits = number and filters.fits(text, ColumnType("double"))
    elif of.kind == "boolean":
        fits = text.lower() in ("true", "false", "t", "f")
    else:
        fits = kind == "STRING" and (of.kind == "string" or filters.fits(text, of))
    if not fits:
        raise _refused(f"a constant that does not fit its column, which is {of.kind}")
    return exp.TryCast(this=exp.Literal.string(text), to=exp.DataType.build(of.duckdb(), dialect="duckdb"))


def _count(left: list[int], comparisons: int) -> None:
    left[0] -= comparisons
    if left[0] < 0:
        raise _refused("too many comparisons")


def _refused(found: str) -> Refused:
    return Refused(
        f"the statement failed: aggregate_only: {found}",
        allowed="column or aggregate against constants: = <> < <= > >= IN BETWEEN IS NULL, joined by AND; in HAVING by OR too",
        do="see docs/USE.md, Aggregate only",
    )
