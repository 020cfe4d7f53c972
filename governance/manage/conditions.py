"""GX's `row_condition` as a tree: its JSON form, its `col("x") > 5` text, and simple pandas comparisons.

A row for which the condition is NULL is one that the rule does not speak of, as on every SQL engine of GX.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from sqlglot import exp

from governance.catalog.types import Dataset, Field
from governance.manage.sql import Node, Unfit, all_of, any_of, column, is_null, literal, not_null

_OPERATORS: Mapping[str, type[exp.Expression]] = {
    "==": exp.EQ,
    "!=": exp.NEQ,
    "<": exp.LT,
    "<=": exp.LTE,
    ">": exp.GT,
    ">=": exp.GTE,
}
_PYTHON: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "IN",
    ast.NotIn: "NOT_IN",
}
_GX_TEXT = re.compile(
    r"""^\s*col\("(?P<column>[^"]+)"\)\s*(?:(?P<notnull>\.notnull\(\))|(?P<op>==|!=|<=|>=|<|>)\s*
    (?:(?P<number>[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)|(?:date\()?(?P<quote>["'])(?P<text>[^"']*)(?P=quote)\)?))\s*$""",
    re.VERBOSE | re.IGNORECASE,
)
_FORMS = 'col("x") > 5, col("x").notnull(), or GX\'s condition objects'


def compile_condition(value: Any, parser: str | None, dataset: Dataset) -> tuple[Node | None, dict[str, Any] | None]:
    """(tree, GX's JSON form) of a `row_condition`; (None, None) without one. Raises Unfit."""
    if value is None or value == "":
        return None, None
    if isinstance(value, str):
        if parser in ("great_expectations", "great_expectations__experimental__"):
            form = _gx_text(value)
        elif parser in ("pandas", "spark"):
            return _tree(_python_text(value), dataset), {"type": "pass_through", "pass_through_filter": value}
        else:
            raise Unfit(f"condition_parser {parser!r} is not supported", "great_expectations, pandas, spark")
    elif isinstance(value, dict):
        form = value
    else:
        raise Unfit(f"row_condition is a {type(value).__name__}", _FORMS)
    if form.get("type") == "pass_through":
        return _tree(_python_text(str(form.get("pass_through_filter"))), dataset), dict(form)
    return _tree(form, dataset), form


def _tree(form: Mapping[str, Any], dataset: Dataset) -> Node:
    match form.get("type"):
        case "and" | "or":
            parts = form.get("conditions")
            if not isinstance(parts, list) or not parts or not all(isinstance(p, dict) for p in parts):
                raise Unfit("a condition group without conditions", _FORMS)
            nodes = [exp.paren(_tree(part, dataset)) for part in parts]
            return exp.paren(all_of(nodes) if form["type"] == "and" else any_of(nodes))
        case "nullity":
            field = _field(form, dataset)
            return is_null(column(field.name)) if form.get("is_null") else not_null(column(field.name))
        case "comparison":
            return _comparison(_field(form, dataset), str(form.get("operator")), form.get("parameter"))
    raise Unfit(f"unknown condition type {form.get('type')!r}", "comparison, nullity, and, or, pass_through")


def _comparison(field: Field, operator: str, parameter: Any) -> Node:
    if operator in ("IN", "NOT_IN"):
        if not isinstance(parameter, list) or not parameter:
            raise Unfit(f"{operator} without a list of values", "a list with at least one value")
        node: Node = exp.In(this=column(field.name), expressions=[literal(v, field.type) for v in parameter])
        return exp.Not(this=node) if operator == "NOT_IN" else node
    if operator not in _OPERATORS:
        raise Unfit(f"unknown operator {operator!r}", ", ".join([*_OPERATORS, "IN", "NOT_IN"]))
    return _OPERATORS[operator](this=column(field.name), expression=literal(parameter, field.type))


def _field(form: Mapping[str, Any], dataset: Dataset) -> Field:
    name = form.get("column")
    name = name.get("name") if isinstance(name, dict) else name
    try:
        return dataset.field(str(name))
    except KeyError:
        columns = ", ".join(f.name for f in dataset.fields)
        raise Unfit(f"row_condition: there is no column '{name}'", columns) from None


def _gx_text(value: str) -> dict[str, Any]:
    """GX's own condition text as its JSON form."""
    found = _GX_TEXT.match(value)
    if found is None:
        raise Unfit("row_condition cannot be read", _FORMS)
    name = {"name": found["column"]}
    if found["notnull"]:
        return {"type": "nullity", "column": name, "is_null": False}
    raw = found["number"]
    parameter: Any = found["text"] if raw is None else (float(raw) if re.search(r"[.eE]", raw) else int(raw))
    return {"type": "comparison", "column": name, "operator": found["op"], "parameter": parameter}


def _python_text(value: str) -> dict[str, Any]:
    """A pandas query of comparisons, `and` and `or` as GX's JSON form."""
    try:
        tree = ast.parse(value, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise Unfit("row_condition cannot be read", "comparisons of a column with a value, and, or") from None
    return _python_node(tree)


def _python_node(node: ast.expr) -> dict[str, Any]:
    match node:
        case ast.BoolOp(op=operator, values=values):
            kind = "and" if isinstance(operator, ast.And) else "or"
            return {"type": kind, "conditions": [_python_node(v) for v in values]}
        case ast.Compare(left=ast.Name(id=name), ops=[operator], comparators=[right]) if type(operator) in _PYTHON:
            try:
                parameter = ast.literal_eval(right)
            except (ValueError, TypeError, MemoryError, RecursionError):
                raise Unfit("row_condition compares with something that is not a value", "a text or number") from None
            values = sorted(parameter, key=repr) if isinstance(parameter, set) else parameter
            values = list(values) if isinstance(values, tuple | list) else values
            return {"type": "comparison", "column": name, "operator": _PYTHON[type(operator)], "parameter": values}
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=("notnull" | "isnull") as method), args=[]):
            return {"type": "nullity", "column": name, "is_null": method == "isnull"}
    raise Unfit("row_condition is more than simple comparisons", "comparisons of a column with a value, and, or")
