"""Rules about a whole table, put together from what each data file adds: counts, and exact sums of integers and decimals (and so means).

    rule      AVG("kwh") FILTER (WHERE …)   ->   leaves   SUM("kwh") FILTER (…), COUNT("kwh") FILTER (…)   ->   one text a group of files

A leaf's value holds for the files it was made of, which never change. What is in the table now is the sum over its files, so a replaced revision
takes its part out with its files, and a row that a steward releases comes in with its file. Files of which nothing is known yet are scanned, once.
Medians, quantiles, extremes, distinct values and sums of floats are not put together: those rules scan the table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal

import duckdb
import numpy as np
import sqlglot
from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlglot import exp

from governance.catalog.rules import TableRule
from governance.catalog.types import Dataset
from governance.state.tables import rule_partial
from governance.state.values import RuleMetric
from governance.store.aggregates import plain

_EXACT = Context(prec=60)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One aggregate whose values add up. `key` is a hash of its text and of the types that it reads."""

    key: str
    sql: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """A rule that is put together of leaves. `nodes` are the aggregates of its text in the order in which they are met: a mean has two leaves."""

    rule: TableRule
    nodes: tuple[tuple[str, tuple[Leaf, ...]], ...]
    scales: tuple[int, ...]
    """Decimals of each node's sum."""

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        return tuple(leaf for _, leaves in self.nodes for leaf in leaves)

    def value(self, totals: Mapping[str, Decimal | None], con: duckdb.DuckDBPyConnection) -> object:
        """The rule's value, as its own statement over all rows would give it."""
        tree = sqlglot.parse_one(self.rule.value, dialect="duckdb")
        for node, (_, leaves), scale in zip(_aggregates(tree), self.nodes, self.scales, strict=True):
            made = _constant([totals[leaf.key] for leaf in leaves], scale, filtered=isinstance(node, exp.Filter))
            if node is tree:
                tree = made
            else:
                node.replace(made)
        return plain(con.execute(f"SELECT {tree.sql('duckdb')}").fetchall()[0][0])


def merged(rule: TableRule, dataset: Dataset) -> Merged | None:
    """The rule as leaves, None when some part of it does not add up exactly.

    >>> from governance.catalog.types import ColumnType, Dataset, Field
    >>> d = Dataset("a.b", "a", "a", "1", (Field("n", ColumnType("integer"), "n"), Field("x", ColumnType("double"), "x")), None, "f", "h")
    >>> [leaf.sql for leaf in merged(TableRule("r", "warn", ("n",), 'CAST(AVG("n") AS DOUBLE)'), d).leaves]
    ['SUM("n")', 'COUNT("n")']
    >>> merged(TableRule("r", "warn", ("x",), 'SUM("x")'), d), merged(TableRule("r", "warn", ("n",), 'MEDIAN("n")'), d)
    (None, None)
    """
    tree = sqlglot.parse_one(rule.value, dialect="duckdb")
    known = {f.name for f in dataset.fields}
    if any(column.name not in known for column in tree.find_all(exp.Column)):
        return None
    nodes, scales = [], []
    for node in _aggregates(tree):
        made = _leaves(node, dataset)
        if made is None:
            return None
        nodes.append((node.sql("duckdb"), made[0]))
        scales.append(made[1])
    inside = {id(part) for node in _aggregates(tree) for part in node.walk()}
    rest = [part for part in tree.walk() if id(part) not in inside]
    if not nodes or any(isinstance(part, exp.Column | exp.AggFunc | exp.Anonymous | exp.Subquery) for part in rest):
        return None
    return Merged(rule, tuple(nodes), tuple(scales))


def leaf_rules(rules: Sequence[Merged]) -> tuple[TableRule, ...]:
    """Each leaf once, as a rule whose value is its text."""
    leaves = {leaf.key: leaf for rule in rules for leaf in rule.leaves}
    return tuple(TableRule(leaf.key, "warn", leaf.columns, f"CAST({leaf.sql} AS VARCHAR)") for leaf in leaves.values())


def metrics(
    rules: Sequence[Merged],
    parts: Sequence[Mapping[str, RuleMetric]],
    known: Mapping[str, Sequence[str | None]],
    rows: int,
) -> dict[str, RuleMetric]:
    """One metric a rule: of `parts`, each what was counted now, and `known`, texts by leaf that were counted before; of `rows` rows in all."""
    found = {}
    with duckdb.connect(config={"threads": 1, "temp_directory": ""}) as con:
        for rule in rules:
            errors = [part[leaf.key].error for part in parts for leaf in rule.leaves if part[leaf.key].error]
            error, value = errors[0] if errors else "", None
            if not error:
                totals = {
                    leaf.key: _total([*known.get(leaf.key, ()), *(_text(part[leaf.key]) for part in parts)])
                    for leaf in rule.leaves
                }
                try:
                    value = rule.value(totals, con)
                except duckdb.Error as failed:
                    error = type(failed).__name__
            found[rule.rule.id] = RuleMetric(rule.rule.id, rows, 0, 0, value=value, error=error)
    return found


def covered(
    connection: Connection, table: str, keys: Collection[str], files: Collection[str]
) -> tuple[dict[str, list[str | None]], frozenset[str]]:
    """What is known of `files`: texts by key, and the files that are covered for every key. Only groups whose files are all there count."""
    c = rule_partial.c
    there, groups = frozenset(files), dict[str, dict[str, str | None]]()
    names: dict[str, tuple[str, ...]] = {}
    query = select(c.key, c.files_hash, c.files, c.value).where(c.table_name == table, c.key.in_(sorted(keys)))
    for row in connection.execute(query.order_by(c.recorded_at, c.files_hash)):
        paths = names.setdefault(row.files_hash, tuple(json.loads(row.files)))
        if there.issuperset(paths):
            groups.setdefault(row.files_hash, {})[row.key] = row.value
    texts: dict[str, list[str | None]] = {key: [] for key in keys}
    taken: set[str] = set()
    for name, values in groups.items():
        if set(values) == set(keys) and taken.isdisjoint(names[name]):
            taken.update(names[name])
            for key, value in values.items():
                texts[key].append(value)
    return texts, frozenset(taken)


def keep(tx: Connection, table: str, files: Sequence[str], part: Mapping[str, RuleMetric], *, at: datetime) -> None:
    """Keep what was counted of exactly these files; nothing when it is there already, or some leaf errored."""
    if not files or any(metric.error for metric in part.values()):
        return
    paths = json.dumps(sorted(files))
    own = {
        "table_name": table,
        "files_hash": hashlib.sha256(paths.encode()).hexdigest(),
        "files": paths,
        "recorded_at": at,
    }
    rows = [{**own, "key": key, "value": _text(metric)} for key, metric in part.items()]
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    tx.execute(dialect.insert(rule_partial).on_conflict_do_nothing(), rows)


def _aggregates(tree: exp.Expr) -> list[exp.Expr]:
    """The outermost aggregates, filters included, in order."""
    found: list[exp.Expr] = []

    def look(node: exp.Expr) -> None:
        if isinstance(node, exp.AggFunc | exp.Filter):
            found.append(node)
            return
        for child in node.iter_expressions():
            look(child)

    look(tree)
    return found


def _leaves(node: exp.Expr, dataset: Dataset) -> tuple[tuple[Leaf, ...], int] | None:
    """An aggregate's leaves and the decimals of its sum; None when it does not add up."""
    aggregate = node.this if isinstance(node, exp.Filter) else node
    argument = aggregate.this
    if isinstance(aggregate, exp.Count) and isinstance(argument, exp.Star | exp.Column) and not aggregate.expressions:
        return (_leaf(node, dataset),), 0
    if not isinstance(aggregate, exp.Sum | exp.Avg) or not isinstance(argument, exp.Column):
        return None
    kind = dataset.field(argument.name).type
    if kind.kind not in ("integer", "decimal"):
        return None
    total = _leaf(_with(node, exp.Sum(this=argument.copy())), dataset)
    leaves = (total, _leaf(_with(node, exp.Count(this=argument.copy(), big_int=True)), dataset))
    return (leaves if isinstance(aggregate, exp.Avg) else leaves[:1]), kind.scale or 0


def _with(node: exp.Expr, aggregate: exp.Expr) -> exp.Expr:
    """The node with another aggregate under the same filter."""
    if not isinstance(node, exp.Filter):
        return aggregate
    return exp.Filter(this=aggregate, expression=node.expression.copy())


def _leaf(node: exp.Expr, dataset: Dataset) -> Leaf:
    sql = node.sql("duckdb")
    columns = tuple(sorted({column.name for column in node.find_all(exp.Column)}))
    kinds = "\n".join(f"{name} {dataset.field(name).type.duckdb()}" for name in columns)
    return Leaf(hashlib.sha256(f"{sql}\n{kinds}".encode()).hexdigest(), sql, columns)


def _constant(totals: Sequence[Decimal | None], scale: int, *, filtered: bool) -> exp.Expr:
    """What the aggregate is over all rows, of the type that it has, to the last bit as DuckDB makes it.

    It rewrites a mean to a quotient of doubles, but not one with a filter: that divides the unscaled sum in long double.
    """
    if len(totals) == 1:
        kind = f"DECIMAL(38, {scale})" if scale else "HUGEINT"
        return exp.Null() if totals[0] is None else exp.cast(exp.Literal.string(format(totals[0], "f")), kind)
    total, count = totals
    if total is None or not count:
        return exp.Null()
    if not filtered:
        parts = (_constant([total], scale, filtered=False), _constant([count], 0, filtered=False))
        return exp.paren(exp.Div(this=exp.cast(parts[0], "DOUBLE"), expression=exp.cast(parts[1], "DOUBLE")))
    unscaled = np.longdouble(str(int(total.scaleb(scale, _EXACT))))
    mean = float(unscaled / (np.longdouble(int(count)) * np.longdouble(10**scale)))
    return exp.cast(exp.Literal.string(repr(mean)), "DOUBLE")


def _total(texts: Iterable[str | None]) -> Decimal | None:
    """The exact sum; None when there is nothing to add, as SUM has it."""
    numbers = [Decimal(text) for text in texts if text is not None]
    total: Decimal | None = None
    for number in numbers:
        total = number if total is None else _EXACT.add(total, number)
    return total


def _text(metric: RuleMetric) -> str | None:
    return None if metric.value is None else str(metric.value)
