"""Whether some columns of a scope tell its rows apart. Pure; see `repeat` for what the heuristic covers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlglot import exp
from sqlglot.optimizer.scope import Scope

from governance.catalog.types import Catalogue, Dataset
from governance.develop.schema import Schema

KeySets = frozenset[frozenset[str]]


class Orders:
    """Unique column sets of tables and scopes of one statement."""

    def __init__(self, schema: Schema, catalogue: Catalogue) -> None:
        self.schema, self.catalogue = schema, catalogue

    def total(self, scope: Scope, parts: Iterable[exp.Expr]) -> bool:
        """True when these expressions hold a unique set of the scope's own rows, or of at least one of its sources."""
        columns = self._columns(scope, parts)
        named = {name for table, name in columns if table == ""}
        return any(keys <= named for keys in self.unique(scope)) or self._of_inputs(scope, columns)

    def total_of_inputs(self, scope: Scope, parts: Iterable[exp.Expr]) -> bool:
        """The same of the rows that an aggregate of `scope` works on."""
        return self._of_inputs(scope, self._columns(scope, parts))

    def _columns(self, scope: Scope, parts: Iterable[exp.Expr]) -> set[tuple[str, str]]:
        return {column for part in parts for column in self._plain(scope.expression, part)}

    def _of_inputs(self, scope: Scope, columns: set[tuple[str, str]]) -> bool:
        for alias, (_, source) in scope.selected_sources.items():
            named = {name for table, name in columns if table == alias}
            if any(keys <= named for keys in self._of_source(source)):
                return True
        return False

    def unique(self, scope: Scope) -> KeySets:
        """Sets of output columns that are unique in the scope's rows."""
        select = scope.expression
        if isinstance(select, exp.SetOperation):
            distinct = not isinstance(select, exp.Union) or select.args.get("distinct")
            return frozenset({frozenset(select.named_selects)}) if distinct else frozenset()
        if not isinstance(select, exp.Select):
            return frozenset()
        outputs = self._outputs(select)
        distinct = select.args.get("distinct")
        if distinct is not None and distinct.args.get("on") is None:
            return frozenset({frozenset(select.named_selects)})
        group = select.args.get("group")
        if group is not None:
            return self._of_group(select, group, outputs)
        if any(p.find(exp.AggFunc) and not p.find(exp.Window) for p in select.expressions):
            return frozenset({frozenset()})
        found = set()
        for alias, (_, source) in scope.selected_sources.items():
            for keys in self._of_source(source):
                renamed = [outputs.get((alias, key)) for key in keys]
                if None not in renamed:
                    found.add(frozenset(name for name in renamed if name is not None))
        return frozenset(found)

    def _of_source(self, source: Any) -> KeySets:
        if isinstance(source, Scope):
            return self.unique(source)
        name = self.schema.tables.get((source.text("db").lower(), source.name.lower()))
        return _of_table(self.catalogue.table(name)) if name is not None else frozenset()

    def _of_group(self, select: exp.Select, group: exp.Expr, outputs: dict[tuple[str, str], str]) -> KeySets:
        if group.args.get("all"):
            plain = [p.alias_or_name for p in select.expressions if not p.find(exp.AggFunc)]
            return frozenset({frozenset(plain)})
        names: set[str] = set()
        for expression in group.expressions:
            for projection in select.expressions:
                if projection.unalias() == expression or projection.alias_or_name == expression.name:
                    names.add(projection.alias_or_name)
                    break
            else:
                return frozenset()
        return frozenset({frozenset(names)})

    def _plain(self, select: exp.Expr, part: exp.Expr) -> set[tuple[str, str]]:
        """(source, column) that an expression stands for: a column, an output column by name ('' as source), nothing
        else."""
        node = part.unalias()
        position = node.name if isinstance(node, exp.Literal) and node.is_int else ""
        if position and 0 < int(position) <= len(select.expressions):
            part = select.expressions[int(position) - 1]
            node = part.unalias()
        found = {("", part.alias)} if isinstance(part, exp.Alias) else set()
        if isinstance(node, exp.Column):
            found |= {(node.table, node.name), ("", node.name)} if not node.table else {(node.table, node.name)}
            for projection in select.args.get("expressions") or ():
                if not node.table and projection.alias_or_name == node.name and projection is not part:
                    found |= self._plain(select, projection)
                if node.table and projection.unalias() == node:
                    found.add(("", projection.alias_or_name))
        return found

    def _outputs(self, select: exp.Select) -> dict[tuple[str, str], str]:
        columns = [(p.unalias(), p.alias_or_name) for p in select.expressions]
        return {(c.table, c.name): name for c, name in columns if isinstance(c, exp.Column)}


def _of_table(dataset: Dataset) -> KeySets:
    """Unique sets of a table in lower case: the key, with tokens in place of its fields, and the position of the
    record."""
    sets = set()
    key = dataset.key
    if key:
        sets.add(frozenset(f.name.lower() for f in key))
        sets.add(frozenset((f.token_name or f.name).lower() for f in key))
    sets |= {frozenset({f.name.lower()}) for f in dataset.fields if f.unique and f.required}
    sets |= {frozenset({f.token_name.lower()}) for f in dataset.fields if f.unique and f.required and f.token_name}
    if dataset.source is not None or dataset.department != "curated":
        sets.add(frozenset({"_row"}) if dataset.load_mode == "full" else frozenset({"_batch", "_row"}))
    return frozenset(sets)
