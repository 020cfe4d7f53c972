"""What a row is looked up in: repeated keys, code sets, keys of the base. Small tables beside the stream of rows.

The main pass joins the counted stream with these tables; every table has one row a key, so that no row is multiplied. Repeated keys come from a
scan of the landed keys before: its blocking operators hold salted hashes and positions only, and may spill; the salt lives in this process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from governance.catalog.rules import CodeSetRule, ReferenceRule, UniqueRule
from governance.catalog.types import CodeSet
from governance.store.membership import Beside
from governance.store.parsers.relation import quoted
from governance.store.plan import (
    BITS,
    FULL,
    ROW,
    Plan,
    Reason,
    key_hash,
    speaks_of,
    whole,
    word,
)

DUPLICATE = "__duplicate"
"""Column that is TRUE for a declared duplicate: a row that repeats an earlier one in everything."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """One join of the stream `src`: its table and condition, and the expression that is TRUE where reason `bit` is met."""

    bit: int
    join: str
    unexpected: str


@dataclass(slots=True)
class Lookups:
    """The joins of one pass, made in the connection that judges."""

    con: duckdb.DuckDBPyConnection
    found: list[Lookup] = field(default_factory=list)
    beside: list[Beside] = field(default_factory=list)
    """Rules that are judged in Arrow: code sets without a join, texts of a fixed shape."""
    duplicates: str = ""
    """Join with the rows of which only the first stays; empty when there are none."""

    def __bool__(self) -> bool:
        return bool(self.found or self.duplicates)

    def add_repeats(self, plan: Plan, bit: int, rule: UniqueRule, hashes: pa.Table) -> None:
        """Repeated keys of a unique rule: (low, high) halves of their hashes."""
        if hashes.num_rows == 0:
            return
        name = self._table(f"repeats_{bit}", hashes, f"SELECT DISTINCT {whole('')} AS __h FROM given")  # noqa: S608
        key = key_hash([f"src.{quoted(c)}" for c in rule.columns], plan.salt)
        self._join(plan, bit, rule, name, f"{name}.__h = {key}", f"{name}.__h IS NOT NULL")

    def add_repeated_values(self, plan: Plan, bit: int, rule: UniqueRule, sources: Sequence[str]) -> None:
        """As `add_repeats`, for a connection that never spills: the keys themselves are grouped, which is cheaper than hashes of their text. Asked by
        IN, so that the small side is built on even where nobody knows how many rows the stream has.
        """
        kinds = {f.name: f.type.kind for f in plan.dataset.fields}
        keys = [
            f"CAST({quoted(c)} AS VARCHAR)" if kinds[c] == "double" else quoted(c) for c in rule.columns
        ]  # as texts 0.0 and -0.0 differ, for the store pass and so here
        where, key = speaks_of(plan, rule), keys[0] if len(keys) == 1 else f"row({', '.join(keys)})"
        parts = " UNION ALL ".join(f"SELECT {', '.join(keys)} FROM {source} WHERE {where}" for source in sources)  # noqa: S608
        columns = ", ".join(f"k{n}" for n in range(len(keys)))
        self.con.execute(
            f"CREATE OR REPLACE TEMP TABLE repeated_{bit} AS SELECT {columns} FROM ({parts}) AS given({columns})"  # noqa: S608
            f" GROUP BY {columns} HAVING count(*) > 1"
        )
        known = f"SELECT {columns if len(keys) == 1 else f'row({columns})'} FROM repeated_{bit}"  # noqa: S608
        self.found.append(Lookup(bit, "", f"({where}) AND {key} IN ({known})"))

    def add_codes(self, plan: Plan, bit: int, rule: CodeSetRule, codes: CodeSet) -> None:
        """As `add_code_set`, asked by IN. Not for codes that are looked up at a date."""
        name = self._table(
            f"codes_{bit}",
            pa.table({"code": pa.array(codes.codes, pa.string())}),
            "SELECT DISTINCT code AS __code FROM given WHERE code IS NOT NULL",
        )
        code = f"CAST(({rule.key}) AS VARCHAR)" if rule.key else f"CAST({quoted(rule.columns[0])} AS VARCHAR)"
        speaks = speaks_of(plan, rule)
        broken = f"{code} IS NOT NULL AND {code} NOT IN (SELECT __code FROM {name})"  # noqa: S608
        self.found.append(Lookup(bit, "", f"({speaks}) AND {broken}" if speaks else broken))

    def add_code_set(self, plan: Plan, bit: int, rule: CodeSetRule, codes: CodeSet) -> None:
        given = pa.table(
            {
                "code": pa.array(codes.codes, pa.string()),
                "valid_from": pa.array([codes.valid_from.get(code) for code in codes.codes], pa.string()),
                "valid_to": pa.array([codes.valid_to.get(code) for code in codes.codes], pa.string()),
            }
        )
        name = self._table(
            f"codes_{bit}",
            given,
            "SELECT code AS __code, min(CAST(valid_from AS DATE)) AS __from, max(CAST(valid_to AS DATE)) AS __to"
            " FROM given GROUP BY code",
        )
        code = f"({rule.key})" if rule.key else f"src.{quoted(rule.columns[0])}"
        broken = f"{name}.__code IS NULL"
        if rule.valid_at:
            at = f"src.{quoted(rule.valid_at)}"
            broken = f"({broken} OR {at} < {name}.__from OR {at} >= {name}.__to)"
        condition = f"{name}.__code = CAST({code} AS VARCHAR)"
        self._join(plan, bit, rule, name, condition, f"CAST({code} AS VARCHAR) IS NOT NULL AND {broken}")

    def add_reference(self, plan: Plan, bit: int, rule: ReferenceRule, keys: pa.RecordBatchReader, kind: str) -> None:
        """Keys of a base snapshot, the one column of `keys`; `kind` says whether they are tokens or values."""
        column = quoted(keys.schema.names[0])
        name = self._table(
            f"keys_{bit}",
            keys,
            f"SELECT DISTINCT {column} AS __k FROM given WHERE {column} IS NOT NULL",  # noqa: S608
        )
        own = plan.dataset.field(rule.columns[0])
        source = f"src.{quoted(own.token_name or own.name)}" if kind == "token" else f"src.{quoted(own.name)}"
        condition = (
            f"{name}.__k = {source}" if kind == "token" else f"CAST({name}.__k AS VARCHAR) = CAST({source} AS VARCHAR)"
        )
        self._join(plan, bit, rule, name, condition, f"{source} IS NOT NULL AND {name}.__k IS NULL")

    def add_own_keys(self, plan: Plan, bit: int, rule: ReferenceRule, hashes: pa.Table) -> None:
        """A reference into the own dataset: hashes of all keys that the batch (and, where it adds to it, the base) has."""
        name = self._table(f"own_{bit}", hashes, f"SELECT DISTINCT {whole('')} AS __h FROM given")  # noqa: S608
        source = key_hash([f"src.{quoted(rule.columns[0])}"], plan.salt)
        self._join(plan, bit, rule, name, f"{name}.__h = {source}", f"{source} IS NOT NULL AND {name}.__h IS NULL")

    def add_duplicates(self, firsts: pa.Table) -> None:
        """Rows that repeat: hash of all values and the position of the one that stays."""
        if firsts.num_rows:
            name = self._table("firsts", firsts, "SELECT low AS __low, high AS __high, first AS __first FROM given")
            self.duplicates = f"LEFT JOIN {name} ON {name}.__low = src.{FULL}_low AND {name}.__high = src.{FULL}_high"

    def select(self, plan: Plan, source: str, versions: str = "", version_columns: Sequence[str] = ()) -> str:
        """The statement over the counted stream `source`: words with the bits of these look-ups, everything else as it came."""
        masks: dict[int, list[str]] = {}
        for lookup in self.found:
            number, bit = divmod(lookup.bit, BITS)
            masks.setdefault(number, []).append(f"CASE WHEN {lookup.unexpected} THEN {1 << bit}::BIGINT ELSE 0 END")
        replaced = ", ".join(
            f"{' + '.join([f'src.{word(number)}', *parts])} AS {word(number)}" for number, parts in masks.items()
        )
        star = f"src.* REPLACE ({replaced})" if replaced else "src.*"
        duplicate = f"coalesce(firsts.__first <> src.{ROW}, FALSE)" if self.duplicates else "FALSE"
        columns = [star, f"{duplicate} AS {DUPLICATE}", *version_columns]
        joins = [lookup.join for lookup in self.found] + [self.duplicates, versions]
        return f"SELECT {', '.join(columns)} FROM {source} AS src {' '.join(filter(None, joins))}"  # noqa: S608

    def _join(self, plan: Plan, bit: int, reason: Reason, table: str, condition: str, unexpected: str) -> None:
        speaks = speaks_of(plan, reason)
        self.found.append(
            Lookup(bit, f"LEFT JOIN {table} ON {condition}", f"({speaks}) AND {unexpected}" if speaks else unexpected)
        )

    def _table(self, name: str, given: pa.Table | pa.RecordBatchReader, query: str) -> str:
        self.con.register("given", given)
        try:
            self.con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")  # a pass may be made twice
        finally:
            self.con.unregister("given")
        return name
