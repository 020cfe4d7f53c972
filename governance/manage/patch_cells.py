"""How a text stands in a cell of a patch file, so that it comes back as it was and no spreadsheet takes it for a formula. Pure: DuckDB expressions.

\\N              no value; the text \\N itself is written \\\\N, and so one more backslash before all texts that begin with two
'text           text that begins with = + - @, a tab or a return, and is no number: a spreadsheet would run it. One more ' before texts that
                begin with ' and one of these
"""

from __future__ import annotations

from sqlglot import exp

NO_VALUE = "\\N"


def written(text: str) -> str:
    r"""The cell of a text (an expression; NULL stays NULL).

    >>> import duckdb
    >>> texts = r"(VALUES ('a'), ('\N'), ('=1+1'), ('-5.00'), ('-5 kg'), ('''-1')) AS t(v)"
    >>> [cell for cell, in duckdb.sql(f"SELECT {written('v')} FROM {texts}").fetchall()]
    ['a', '\\\\N', "'=1+1", '-5.00', "'-5 kg", "''-1"]
    """
    return (
        f"CASE WHEN {text} = {_literal(NO_VALUE)} OR starts_with({text}, {_literal(_TWO)}) THEN {_literal(_ONE)} || {text}"
        f" WHEN regexp_matches({text}, {_literal(_FORMULA)}) AND NOT regexp_full_match({text}, {_literal(_NUMBER)})"
        f" THEN '''' || {text} ELSE {text} END"
    )


def read(cell: str) -> str:
    r"""The text of a cell (an expression) that is neither empty nor NO_VALUE.

    >>> import duckdb
    >>> cells = [r"\\N", "'=1+1", "-5", "''-1", "'quoted'"]
    >>> [duckdb.execute(f"SELECT {read('?1')}", [cell]).fetchall()[0][0] for cell in cells]
    ['\\N', '=1+1', '-5', "'-1", "'quoted'"]
    """
    marked = f"starts_with({cell}, {_literal(_TWO)}) OR regexp_matches({cell}, {_literal(_MARKED)})"
    return f"CASE WHEN {marked} THEN substr({cell}, 2) ELSE {cell} END"


_ONE, _TWO = "\\", "\\\\"
_FORMULA = r"^'*[=+@\t\r-]"
_MARKED = r"^'+[=+@\t\r-]"
_NUMBER = r"[+-]?[0-9][0-9.,]*([eE][+-]?[0-9]+)?"


def _literal(text: str) -> str:
    return exp.Literal.string(text).sql("duckdb")
