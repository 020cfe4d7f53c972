"""What a trace did not meet: a column that is bound as NULL because nobody seems to read it, though somebody does, would change the
rows in silence. Pure.
"""

from __future__ import annotations

from collections.abc import Set

from sqlglot import exp


def overlooked(root: exp.Expr, followed: Set[int]) -> list[exp.Column]:
    """Columns of a qualified statement that are not `followed` (ids of nodes). Those of a PIVOT are its own affair; CTEs that nobody
    names are never computed.
    """
    met = followed | _never_named(root)
    return [c for c in root.find_all(exp.Column) if id(c) not in met and not c.find_ancestor(exp.Pivot)]


def _never_named(root: exp.Expr) -> set[int]:
    found: set[int] = set()
    while True:
        named = {table.name for table in root.find_all(exp.Table) if id(table) not in found}
        more = {id(part) for cte in root.find_all(exp.CTE) if cte.alias not in named for part in cte.walk()}
        if more <= found:
            return found
        found |= more
