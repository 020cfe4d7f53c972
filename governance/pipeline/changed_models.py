"""`model_changes`: what differs between two texts of a model or of its checks, by what they compute and what their heads declare. Pure.

Two texts are one SELECT when DuckDB's parser makes the same of both (Python steps: Python's parser): comments, line ends,
brackets and the case of keywords are no change.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import Any

import duckdb

from governance.catalog.types import Catalogue, Check, Model
from governance.develop import Analysis, analyse
from governance.errors import DeclarationError
from governance.lineage.graph import ROWS
from governance.pipeline.change import Change

_PLACES = frozenset({"query_location", "query_location_length"})


def model_changes(old: Model, new: Model, before: Catalogue, after: Catalogue) -> Iterator[Change]:
    """A changed SELECT: what it makes, of what; one that does not hold over the new declarations breaks though its text stayed."""
    analysis = _analysed(new, after)
    if isinstance(analysis, str):
        yield Change(new.name, ROWS, "model", True, f"does not hold any more: {analysis}")
    elif old.text_hash != new.text_hash:
        declared = [*_declarations(old, new)]
        was = _analysed(old, before)
        same = isinstance(was, Analysis) and _alike(was, analysis)
        yield from declared
        if not same_computation(old.sql, new.sql, python=new.language == "python"):
            word = "step" if new.language == "python" else "SELECT"
            how = (
                "the same columns of the same sources"
                if same
                else "columns are made of other sources or in another way"
            )
            yield Change(new.name, ROWS, "model", not same, f"another {word}, {how}: its rows may differ")
        elif not same and not any(change.kind == "declared lineage" for change in declared):
            yield Change(new.name, ROWS, "model", True, "it computes the same, of sources that are others")
        elif not declared:
            yield Change(new.name, ROWS, "model", False, "only its text changed (comments, form): it computes the same")
    yield from _checks(old, new)


def same_computation(old: str, new: str, *, python: bool = False) -> bool:
    """Whether two texts are the same statement but for comments and form. False where one of them cannot be parsed.

    >>> same_computation("SELECT a FROM t -- of all", "select (a)\\nfrom t"), same_computation("SELECT a FROM t", "SELECT b FROM t")
    (True, False)
    >>> same_computation("def rows(inputs): return []", "def rows(inputs):\\n    return []  # none yet", python=True)
    True
    """
    mine, other = (_step(old), _step(new)) if python else (_statement(old), _statement(new))
    return mine is not None and mine == other


def _statement(text: str) -> Any:
    """What DuckDB's parser makes of a SELECT, without the places in the text; None of what it does not take."""
    with duckdb.connect() as con:
        found = con.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchone()
    tree = json.loads(found[0]) if found else {"error": True}
    return None if tree["error"] else _placeless(tree)


def _step(text: str) -> str | None:
    try:
        return ast.dump(ast.parse(text))
    except (SyntaxError, ValueError):
        return None


def _placeless(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _placeless(value) for name, value in tree.items() if name not in _PLACES}
    return [_placeless(value) for value in tree] if isinstance(tree, list) else tree


def _declarations(old: Model, new: Model) -> Iterator[Change]:
    """What the head declares otherwise. Other sources of a column break as those of a SELECT do; a level that is lowered shows in the
    contract as well.
    """
    if old.tolerance != new.tolerance:
        said = [text for text in (old.tolerance, new.tolerance) if text is not None]
        yield Change(new.name, ROWS, "tolerance", False, _told(said, old.tolerance, new.tolerance))
    for column in sorted(old.declassify.keys() | new.declassify.keys()):
        before, after = old.declassify.get(column), new.declassify.get(column)
        if before != after:
            what = _told(
                [f"{level} because {evidence}" for level, evidence in filter(None, [before, after])], before, after
            )
            yield Change(new.name, column, "declassified", False, what)
    for column in sorted(old.lineage.keys() | new.lineage.keys()):
        was, now = old.lineage.get(column), new.lineage.get(column)
        if was != now:
            said = [
                f"from {', '.join(sources) or 'nothing'} because {why}" for sources, why in filter(None, [was, now])
            ]
            moved = was is not None and now is not None and set(was[0]) != set(now[0])
            yield Change(new.name, column, "declared lineage", moved, _told(said, was, now))


def _told(said: list[str], before: object, after: object) -> str:
    if before is None:
        return f"is declared: {said[0]}"
    return f"is not declared any more: {said[0]}" if after is None else " -> ".join(said)


def _alike(old: Analysis, new: Analysis) -> bool:
    """Whether the columns that both make, and the rows, are made of the same columns in the same way."""
    both = {name for name, _ in old.columns} & {name for name, _ in new.columns} | {ROWS}
    mine, other = ({e for e in a.edges.edges if e.output_column in both} for a in (old, new))
    return mine == other


def _checks(old: Model, new: Model) -> Iterator[Change]:
    earlier = {check.name: check for check in old.checks}
    later = {check.name: check for check in new.checks}
    for name in sorted(earlier.keys() | later.keys()):
        if name not in later:
            yield Change(new.name, ROWS, "check", False, f"{name} is gone")
        elif name not in earlier:
            yield Change(new.name, ROWS, "check", later[name].severity == "stop", f"{name} is new")
        elif earlier[name].text_hash != later[name].text_hash:
            yield _check(earlier[name], later[name])


def _check(old: Check, new: Check) -> Change:
    stops = new.severity == "stop"
    if not same_computation(old.sql, new.sql):
        return Change(new.model, ROWS, "check", stops, f"{new.name} is another")
    if old.severity != new.severity:
        return Change(new.model, ROWS, "check", stops, f"{new.name}: severity {old.severity} -> {new.severity}")
    return Change(new.model, ROWS, "check", False, f"{new.name}: only its text changed")


def _analysed(model: Model, catalogue: Catalogue) -> Analysis | str:
    """The analysis, or its first fault."""
    try:
        analysis = analyse(model, catalogue)
    except DeclarationError as error:
        return error.faults[0].found
    return analysis.faults[0].found if analysis.faults else analysis
