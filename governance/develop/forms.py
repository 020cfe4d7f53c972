"""Forms of SQL written in another way that means the same and can be followed, in lineage and in traces. Builds run the text as it
stands. Pure, on sqlglot trees.
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from governance.develop.uses import group_keys

_SEVERAL = (exp.GroupingSets, exp.Rollup, exp.Cube, exp.Tuple)
_CLAUSES = ("group", "having", "qualify", "order", "windows", "distinct")


def spelled_out(tree: exp.Query) -> exp.Query:
    """The tree, in which `t AS x(p, q)` is `(SELECT * FROM t) AS x(p, q)`: names that are followed in queries are not in tables. A
    table that is pivoted as well stays what it is. Changes `tree`.

    >>> from sqlglot import parse_one
    >>> spelled_out(parse_one("SELECT p FROM a.t AS x(p), b AS y", dialect="duckdb")).sql("duckdb")
    'SELECT p FROM (SELECT * FROM a.t) AS x(p), b AS y'
    """
    for table in list(tree.find_all(exp.Table)):
        alias = table.args.get("alias")
        if not isinstance(alias, exp.TableAlias) or not alias.args.get("columns"):
            continue
        if isinstance(table.this, exp.Func) or table.args.get("pivots"):
            continue
        inner = table.copy()
        for part in ("alias", "joins"):
            inner.set(part, None)
        made = exp.Subquery(this=exp.Select(expressions=[exp.Star()]).from_(inner), alias=alias.copy())
        if table.args.get("joins"):
            made.set("joins", table.args["joins"])
        table.replace(made)
    return tree


def with_keys_apart(tree: exp.Query) -> exp.Query:
    """A qualified tree, in which a query nested in GROUP BY is computed for each row beside the tables, once, instead of wherever a group
    is named: what a group is of is then a column like any other. Changes `tree`.

    >>> from sqlglot import parse_one
    >>> print(with_keys_apart(parse_one("SELECT (SELECT 1) AS m FROM t GROUP BY (SELECT 1)", dialect="duckdb")).sql("duckdb"))
    SELECT "__keys1"."__key" AS m FROM t, LATERAL (SELECT (SELECT 1) AS "__key") AS "__keys1" GROUP BY "__keys1"."__key"
    """
    number = 0
    for select in reversed(list(tree.find_all(exp.Select))):  # those within first
        if select.args.get("from_") is None:
            continue
        for key in _nested_keys(select):
            number += 1
            _apart(select, key, f"__keys{number}")
    return tree


def values_of(source: exp.Expr) -> exp.Expr | None:
    """The VALUES that a source of FROM is, in brackets and after LATERAL as well."""
    inner: Any = source
    while isinstance(inner, exp.Lateral | exp.Subquery):
        inner = inner.this
    return inner if isinstance(inner, exp.Values) else None


def ordinality(source: exp.Expr) -> list[str]:
    """The name of the number that WITH ORDINALITY adds, if it does."""
    inner: Any = source.this if isinstance(source, exp.Lateral) else source
    offset = inner.args.get("offset") if isinstance(inner, exp.Unnest) else None
    return [offset.name] if isinstance(offset, exp.Expr) else []


def _nested_keys(select: exp.Select) -> list[exp.Expr]:
    """What a SELECT groups by and a query is nested in, each once; not of ROLLUP and its like."""
    keys = (key.unalias() for key in group_keys(select) if not isinstance(key, _SEVERAL))
    return list(dict.fromkeys(key.copy() for key in keys if key.find(exp.Query) is not None))


def _apart(select: exp.Select, key: exp.Expr, alias: str) -> None:
    column = exp.column("__key", table=alias, quoted=True)
    clauses = [select.args[name] for name in _CLAUSES if select.args.get(name)]
    for place in [*select.expressions, *(part for c in clauses for part in (c if isinstance(c, list) else [c]))]:
        for node in list(place.walk(prune=lambda n: n == key)):
            if node == key:
                node.replace(column.copy())
    inner = exp.select(exp.alias_(key, "__key", quoted=True)).subquery()
    named = exp.TableAlias(this=exp.to_identifier(alias, quoted=True))
    select.append("joins", exp.Join(this=exp.Lateral(this=inner, alias=named)))
