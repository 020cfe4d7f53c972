"""The worker of a reconciliation: what landed, what the lake holds of it, and what the source holds now, compared. Counts and positions come out.

It has two grants: of store for originals (manage sees none), of manage for the columns of the dataset and of its quarantine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import duckdb
import pyarrow as pa
from pydantic import TypeAdapter

from governance.catalog.types import Dataset, Field
from governance.config import from_request
from governance.errors import GovernanceError
from governance.keys.open import open_keystore
from governance.lake.lake import Lake
from governance.manage.items import KEY
from governance.state.database import Database
from governance.state.values import LANDED, Landed
from governance.store import compare
from governance.store.compare import Rows, Terms
from governance.store.engine import Engines, engines
from governance.store.landed import Originals
from governance.store.parsers.relation import literal

DATASET: TypeAdapter[Dataset] = TypeAdapter(Dataset)
_LAKE = "lake_rows"


@dataclass(frozen=True, slots=True)
class _Work:
    request: Mapping[str, Any]
    dataset: Dataset
    lake: Lake
    engine: Engines
    keystore: Any

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        return self.engine.judging

    def fields(self, names: Any) -> tuple[Field, ...]:
        return tuple(f for f in self.dataset.fields if f.name in names)

    def rows(self, landed: Landed) -> Rows:
        root, scratch = self.lake.root, self.engine.scratch
        originals = Originals(landed, self.dataset, root, scratch, self.keystore, self.request["originals_grant"])
        return compare.original_rows(originals, self.dataset, self.engine.parsing)


def scan(
    request: dict[str, Any],
    inputs: Mapping[str, pa.RecordBatchReader],
    emit: Callable[[pa.RecordBatchReader], None],
) -> dict[str, Any]:
    """Result: `lake` (what landed against what the lake holds, with `pushed` where asked), `source` (what landed against what the source has)."""
    settings = from_request(request["settings"])
    database = Database(settings.database_url)
    keystore = open_keystore(settings, database)
    answer: dict[str, Any] = {}
    with engines(settings) as engine:
        dataset = DATASET.validate_python(request["dataset"])
        work = _Work(request, dataset, Lake(settings, database, keystore), engine, keystore)
        landed = LANDED.validate_python(request["landed"])
        try:
            if request["tables"]:
                answer["lake"] = _against_lake(work, landed)
            if request["pushed_salt"]:
                answer["pushed"] = _pushed(work, landed)
            if request["again"]:
                answer["source"] = _against_source(work, landed, LANDED.validate_python(request["again"]))
        except duckdb.OutOfMemoryException:
            raise GovernanceError(
                "comparing needs more memory", where=dataset.name, do="raise engine.memory_limit_mb"
            ) from None
    return answer


def _against_lake(work: _Work, landed: Landed) -> dict[str, Any]:
    """By position: each parsed record of the batch must be in the dataset's table or in its quarantine, as it was parsed."""
    terms = Terms(work.fields(work.request["fields"]), "position", work.request["salt"])
    right = " UNION ALL ".join(_bound(work, number, terms) for number in range(len(work.request["tables"])))
    work.con.execute(f"CREATE OR REPLACE TEMP VIEW {_LAKE} AS {right}")
    rows = work.rows(landed)
    found = _compared(work, rows, lambda: work.rows(landed), f"SELECT * FROM {_LAKE}", terms)  # noqa: S608
    return {**found, "parsed": rows.parser.parsed, "unparsed": rows.parser.unparsed, "lines": _lines(work)}


def _against_source(work: _Work, landed: Landed, again: Landed) -> dict[str, Any]:
    """By primary key, else by the whole row: what came, went and changed since."""
    terms = Terms(work.dataset.fields, "key" if work.dataset.key else "row", work.request["salt"])
    now = work.rows(again)
    with _kept(work, now, terms, "now_sums"):
        rows = work.rows(landed)
        found = _compared(work, rows, lambda: work.rows(landed), "now_sums", terms, lambda: work.rows(again))
    return {**found, "parsed": now.parser.parsed, "unparsed": now.parser.unparsed}


@contextmanager
def _kept(work: _Work, rows: Rows, terms: Terms, name: str) -> Iterator[None]:
    with compare.streamed(work.con, rows) as side:
        compare.summarise(work.con, name, side, terms)
    yield


def _compared(
    work: _Work,
    left: Rows,
    left_again: Callable[[], Rows],
    right: str,
    terms: Terms,
    right_again: Callable[[], Rows] | None = None,
) -> dict[str, Any]:
    """Summaries, then the rows of the buckets that differ. `right` is a SELECT or, with `right_again`, a summary that is there already."""
    con = work.con
    with compare.streamed(con, left) as side:
        compare.summarise(con, "left_sums", side, terms)
    name = right
    if right_again is None:
        name = "right_sums"
        compare.summarise(con, name, right, terms)
    summary = compare.compare(con, "left_sums", name, terms)
    clear = {f.name for f in terms.fields if not f.encrypted}
    answer: dict[str, Any] = {
        "rows": list(summary.rows),
        "columns": list(summary.columns),
        "buckets": len(summary.buckets),
        "sums": {field: list(pair) for field, pair in summary.sums.items() if field in clear},
        "unequal_sums": sorted(field for field, (a, b) in summary.sums.items() if a != b),
        "looked_into": 0,
        "found": asdict(compare.Found(0, 0, 0, (), (), ())),
    }
    if not summary.buckets:
        return answer
    inside = compare.looked_into(con, "left_sums", name, summary.buckets)
    with compare.streamed(con, left_again()) as side:
        compare.open_rows(con, "left_rows", side, terms, inside)
    if right_again is None:
        compare.open_rows(con, "right_rows", right, terms, inside)
    else:
        with compare.streamed(con, right_again()) as side:
            compare.open_rows(con, "right_rows", side, terms, inside)
    return {**answer, "looked_into": len(inside), "found": asdict(compare.find(con, "left_rows", "right_rows"))}


def _bound(work: _Work, number: int, terms: Terms) -> str:
    """The batch's rows of one table of the lake, as a side."""
    table, snapshot, columns = work.request["tables"][number]
    quarantine = number > 0
    own = ["_batch", "_row", *(["_reasons"] if quarantine else [])]
    names = list(dict.fromkeys([*columns.values(), *own]))
    current = True if not quarantine and work.dataset.keeps_versions else None
    grant = work.request["columns_grant"]
    work.lake.bind(work.con, f"lake_{number}", table, snapshot, names, grant_id=grant, current=current)
    position = KEY if quarantine else "_row"
    where = f"_batch = {literal(work.request['batch'])} AND ({position}) > 0"
    return compare.typed(columns, terms.fields, position, f"lake_{number}", where)


def _lines(work: _Work) -> int:
    """Unparsed lines of the batch, those that a steward has corrected among them."""
    total = 0
    for number in range(len(work.request["tables"])):
        position = KEY if number else "_row"
        query = f"SELECT count(*) FROM lake_{number} WHERE _batch = $batch AND ({position}) < 0"  # noqa: S608
        total += int(work.con.execute(query, {"batch": work.request["batch"]}).fetchall()[0][0])
    return total


def _pushed(work: _Work, landed: Landed) -> dict[str, Any]:
    """What a database would say of the landed rows."""
    fields = work.dataset.fields
    with compare.streamed(work.con, work.rows(landed)) as side:
        row = work.con.execute(compare.pushed_sql(fields, work.request["pushed_salt"], side)).fetchall()[0]
    rows, checksum, *rest = row
    present, sums = rest[: len(fields)], rest[len(fields) :]
    return {
        "rows": int(rows),
        "checksum": str(checksum),
        "present": {f.name: int(n) for f, n in zip(fields, present, strict=True)},
        "sums": {f.name: str(total) for f, total in zip(fields, sums, strict=True) if total is not None},
    }
