"""Corrected rows of one batch, judged again: the values of the patch over those that the quarantine has, through the store pass's own judging."""

from __future__ import annotations

import pyarrow as pa

from governance.catalog.rules import RowRules
from governance.catalog.types import Dataset, Field
from governance.errors import Refused
from governance.lake.reader import quoted
from governance.lake.specs import quarantine_spec, stored_spec
from governance.manage.items import UNPARSED
from governance.manage.patch import fields_of
from governance.manage.patch_cells import NO_VALUE, read
from governance.manage.repair import BatchRepair
from governance.pipeline.quarantine_rows import CHOSEN, ITEMS, Opened
from governance.state.batches import BatchRow
from governance.state.values import DataFile
from governance.store.parsers.relation import literal, raw_name
from governance.store.replay import CARRIED, OTHERS, OWN, Again, Replay, judge_again, needed, reads_own_table

PATCH = "patch"


def replay_batch(quarantine: Opened, row: BatchRow, rules: RowRules, patch: pa.Table) -> BatchRepair | None:
    """The new files of one batch whose chosen rows are corrected by `patch`; None when that changes nothing at all.

    Raises Refused when an unparsed line is not given whole.
    """
    dataset, con = quarantine.dataset, quarantine.con
    con.register(PATCH, patch)
    _require_whole_lines(quarantine, row.id, patch)
    _bind_others(quarantine, row, rules)
    assert row.stored is not None
    replay = Replay(
        dataset, rules, quarantine.context.catalogue.code_sets, row.stored.base, quarantine.context.lake, con
    )
    relation = _relation(dataset, patch, row.id)
    again = judge_again(replay, relation, row.id, keystore=quarantine.context.keystore, grant_id=quarantine.grant_id)
    held = _held(quarantine, again, row.id)
    if again.passed.num_rows == 0 and not _differs(quarantine, held):
        return None
    added = _write_passed(quarantine, again, row.id)
    kept = quarantine.kept(row.id, more=held)
    return quarantine.repaired(row, added=added, quarantine=kept, held=held.num_rows)


def _write_passed(quarantine: Opened, again: Again, batch: str) -> tuple[DataFile, ...]:
    with quarantine.context.lake.writer(stored_spec(quarantine.dataset), batch) as writer:
        if again.passed.num_rows:
            writer.write(again.passed)
        return writer.close()


def _relation(dataset: Dataset, patch: pa.Table, batch: str) -> str:
    """Raw text of every field: the patch's cell, else the raw text that did not convert, else the value that it has."""
    columns = [
        f"{_raw(f, position, patch)} AS {quoted(raw_name(position))}" for position, f in enumerate(dataset.fields)
    ]
    return (
        f"SELECT {', '.join(columns)}, i.__key AS {CARRIED} FROM {ITEMS} i"  # noqa: S608
        f" JOIN {CHOSEN} c ON c.batch = i._batch AND c.key = i.__key"
        f" JOIN {PATCH} p ON p.batch = i._batch AND p.key = i.__key WHERE i._batch = {literal(batch)}"
    )


def _raw(field: Field, position: int, patch: pa.Table) -> str:
    path = literal('$."' + field.name.replace('"', '\\"') + '"')
    kept = f"coalesce(json_extract_string(i._raw, {path}), CAST(i.{quoted(field.name)} AS VARCHAR))"
    if f"f{position}" not in patch.column_names:
        return kept
    cell = f"p.f{position}"
    return f"CASE WHEN coalesce({cell}, '') = '' THEN {kept} WHEN {cell} = {literal(NO_VALUE)} THEN NULL ELSE {_iso(field, read(cell))} END"


def _iso(field: Field, cell: str) -> str:
    """A date in the contract's format as ISO 8601; anything else as it is."""
    if not field.format or field.type.kind not in ("date", "timestamp"):
        return cell
    parsed = f"CAST(try_strptime({cell}, {literal(field.format)}) AS {field.type.duckdb()})"
    return f"coalesce(CAST({parsed} AS VARCHAR), {cell})"


def _require_whole_lines(quarantine: Opened, batch: str, patch: pa.Table) -> None:
    given = set(fields_of(patch, quarantine.dataset))
    missing = [f.name for f in quarantine.dataset.fields if f.name not in given]
    if not missing:
        return
    query = f"SELECT count(*) FROM {CHOSEN} WHERE batch = $batch AND key < 0"  # noqa: S608
    found = quarantine.con.execute(query, {"batch": batch}).fetchall()[0]
    if found[0]:
        raise Refused(
            f"{found[0]} unparsed lines are given without {', '.join(missing)}",
            where=batch,
            allowed="whole rows",
            do="add the columns, or reject the lines",
        )


def _bind_others(quarantine: Opened, row: BatchRow, rules: RowRules) -> None:
    """The batch's rows that this correction leaves alone: passed ones, and open ones that are not chosen. Rejected ones are no rows any more."""
    dataset, con, lake = quarantine.dataset, quarantine.con, quarantine.context.lake
    names = needed(dataset, rules)
    if not names:
        return
    columns = ", ".join(map(quoted, names))
    there = lake.snapshot(dataset.name)
    of_table = f"SELECT {columns} FROM {ITEMS} WHERE FALSE"  # noqa: S608
    of_batch = of_table
    if there is not None:
        lake.bind(con, "passed_rows", dataset.name, there, [*names, "_batch"], grant_id=quarantine.grant_id)
        of_table = f"SELECT {columns} FROM passed_rows"  # noqa: S608
        of_batch = f"{of_table} WHERE _batch = {literal(row.id)}"
    open_rows = (
        f"SELECT {columns} FROM {ITEMS} i ANTI JOIN {CHOSEN} c ON c.batch = i._batch AND c.key = i.__key"  # noqa: S608
        f" WHERE i._batch = {literal(row.id)} AND i._state = 'quarantined'"
    )
    con.execute(f"CREATE OR REPLACE TEMP VIEW {OTHERS} AS {of_batch} UNION ALL {open_rows}")
    own = of_table if reads_own_table(dataset, rules) else of_batch
    con.execute(f"CREATE OR REPLACE TEMP VIEW {OWN} AS {own} UNION ALL {open_rows}")


def _held(quarantine: Opened, again: Again, batch: str) -> pa.Table:
    """The quarantine's rows of those that still fail. A line stays a line: its number, its text, and that it was not parsed."""
    con = quarantine.con
    con.register("held_rows", again.held)
    own = {
        "_row": "abs(h._row)",
        "_reasons": f"CASE WHEN h._row < 0 THEN list_prepend('{UNPARSED}', h._reasons) ELSE h._reasons END",
        "_line": "i._line",
    }
    names = [c.name for c in quarantine_spec(quarantine.dataset).columns]
    columns = ", ".join(f"{own.get(name, f'h.{quoted(name)}')} AS {quoted(name)}" for name in names)
    query = (
        f"SELECT {columns} FROM held_rows h JOIN {ITEMS} i ON i._batch = h._batch AND i.__key = h._row"  # noqa: S608
        " WHERE i._batch = $batch"
    )
    return con.sql(query, params={"batch": batch}).to_arrow_table()


def _differs(quarantine: Opened, held: pa.Table) -> bool:
    """Whether the rows that still fail are any other than those that are there."""
    con = quarantine.con
    con.register("held_now", held)
    columns = ", ".join(quoted(c.name) for c in quarantine_spec(quarantine.dataset).columns)
    before = f"SELECT {columns} FROM {ITEMS} i SEMI JOIN {CHOSEN} c ON c.batch = i._batch AND c.key = i.__key"  # noqa: S608
    found = con.execute(f"SELECT count(*) FROM (SELECT {columns} FROM held_now EXCEPT {before})").fetchall()[0]  # noqa: S608
    return bool(found[0])
