"""What a trace did not meet: a column that is bound as NULL because nobody seems to read it, though somebody does, would change the
rows in silence; and what stands for columns without naming them, so that no trace can meet it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from sqlglot import exp, tokenize
from sqlglot.tokenizer_core import Token, TokenType

_UNITS = frozenset({"DATE_TRUNC", "DATETRUNC", "DATE_DIFF", "DATEDIFF"})
"""Functions whose first argument sqlglot reads as a word, a column's name too."""


def overlooked(root: exp.Expr, followed: Set[int]) -> list[exp.Column]:
    """Columns of a qualified statement that are not `followed` (ids of nodes). Those of a PIVOT are its own affair; CTEs that nobody
    names are never computed.
    """
    met = followed | _never_named(root)
    return [c for c in root.find_all(exp.Column) if id(c) not in met and not c.find_ancestor(exp.Pivot)]


def unnamed(root: exp.Expr) -> Iterator[tuple[str, exp.Expr]]:
    """What reads columns of a qualified statement and is none: whole rows, positions, and methods, below which names stay unresolved.
    Each with what it is.
    """
    for node in root.walk():
        match node:
            case exp.TableColumn():
                yield f"{node.name} as a whole row: name its columns", node
            case exp.PositionalColumn():
                yield f"#{node.name}: name the column", node
            case exp.Dot(this=exp.Identifier()) | exp.Dot(expression=exp.Func()):
                yield f"{node.sql('duckdb')}: write a method as a function, upper(name)", node


def units(sql: str) -> Iterator[str]:
    """Units that are columns, which sqlglot takes for words.

    >>> [*units("SELECT date_trunc(grain, day), date_trunc('month', day)")]
    ['grain']
    """
    tokens: list[Token] = tokenize(sql, dialect="duckdb")
    for name, opened, unit, after in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False):
        called = name.text.upper() in _UNITS and opened.token_type is TokenType.L_PAREN
        if called and after.token_type is TokenType.COMMA and unit.token_type is not TokenType.STRING:
            yield unit.text


def _never_named(root: exp.Expr) -> set[int]:
    found: set[int] = set()
    while True:
        named = {table.name for table in root.find_all(exp.Table) if id(table) not in found}
        more = {id(part) for cte in root.find_all(exp.CTE) if cte.alias not in named for part in cte.walk()}
        if more <= found:
            return found
        found |= more
