"""A home made of files in a temporary folder, run by the pipeline's own functions: what every test here works with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import func, select

from governance.config import load_settings
from governance.develop.tablehash import order_free_hash
from governance.keys import grants
from governance.lake.specs import curated_spec, quarantine_spec, stored_spec
from governance.pipeline.context import Context, open_context
from governance.pipeline.run import RunResult, new_run, run_all
from governance.state import batches, tables
from governance.state.batches import BatchRow
from governance.state.values import Actor, Window

ROOT = Path(__file__).parents[2]
READER = Actor("service:build@curated", "pipeline.develop", "reading")

METERS: Mapping[str, Mapping[str, Any]] = {
    "meter": {"logicalType": "integer", "classification": "L1", "primaryKey": True, "required": True},
    "person_no": {
        "logicalType": "string",
        "classification": "L4",
        "customProperties": [{"property": "gov.domain", "value": "person"}],
    },
    "holder": {"logicalType": "string", "classification": "L3"},
    "reading": {"logicalType": "integer", "classification": "L2", "logicalTypeOptions": {"minimum": 0}},
}
ACCOUNTS: Mapping[str, Mapping[str, Any]] = {
    "person_no": METERS["person_no"],
    "kwh": {"logicalType": "integer", "classification": "L2", "required": True},
}
SUPPLY: Mapping[str, Mapping[str, Any]] = {
    "meter": {"logicalType": "integer", "classification": "L1", "required": True},
    "holder": METERS["holder"],
    "reading": {"logicalType": "integer", "classification": "L2"},
    "kwh": {"logicalType": "integer", "classification": "L2"},
}
SUPPLY_SQL = """\
SELECT m.meter, m.holder, m.reading, p.kwh
FROM water.meters AS m LEFT JOIN power.accounts AS p ON p.person_no__token = m.person_no__token
"""
FIRST = ["1,11010119900307001X,张三甲,10", "2,110101199003070028,李四乙,20", "3,110101199003070036,王五丙,30"]
USE = ["11010119900307001X,100", "110101199003070028,200"]


def month(number: int, year: int = 2026) -> Window:
    """The window of a month."""
    following = (year + number // 12, number % 12 + 1, 1)
    return Window(datetime(year, number, 1, tzinfo=UTC), datetime(*following, tzinfo=UTC))


@dataclass
class Home:
    """One home; opened anew for every run, as commands and tasks do."""

    folder: Path

    def declare(
        self,
        name: str,
        fields: Mapping[str, Mapping[str, Any]],
        *,
        mode: str = "full",
        path: str = "",
        format: str = "csv",
        sql: str = "",
        server: Mapping[str, object] | None = None,
        **ours: object,
    ) -> None:
        """Write the contract of a dataset, or of a curated table with its model. `ours` are `gov.` properties of the dataset."""
        department, _, short = name.partition(".")
        properties = {"gov.system": "main", "gov.loadMode": mode, "gov.maxQuarantine": 0.9}
        properties |= {f"gov.{key}": value for key, value in ours.items()}
        table: dict[str, Any] = {"name": short, "properties": [{"name": n, **facts} for n, facts in fields.items()]}
        contract = {"apiVersion": "v3.1.0", "kind": "DataContract", "id": name.replace(".", "-"), "version": "1.0.0"}
        contract |= {"status": "active", "schema": [table]}
        folder = self.folder / "catalog" / department
        folder.mkdir(parents=True, exist_ok=True)
        if sql:
            (folder / f"{short}.sql").write_text(sql, encoding="utf-8")
        else:
            table["customProperties"] = [{"property": k, "value": v} for k, v in properties.items()]
            where = path or f"sources/{name}.{format}"
            told = [{"property": f"gov.{key}", "value": value} for key, value in (server or {}).items()]
            contract["servers"] = [
                {"server": "s", "type": "local", "path": where, "format": format, "customProperties": told}
            ]
        text = json.dumps(contract, ensure_ascii=False, indent=1)
        (folder / f"{short}.odcs.yaml").write_text(text, encoding="utf-8")

    def deliver(self, name: str, lines: Sequence[str] | bytes, fields: Mapping[str, object] | None = None) -> Path:
        """What the source of a dataset holds now: lines under a header of its fields, or bytes."""
        header = ",".join(fields or {"water.meters": METERS, "power.accounts": ACCOUNTS}.get(name, {}))
        path = self.folder / "sources" / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(lines if isinstance(lines, bytes) else "\n".join([header, *lines, ""]).encode("utf-8"))
        return path

    @contextmanager
    def opened(self) -> Iterator[Context]:
        context = open_context(load_settings(self.folder))
        try:
            yield context
        finally:
            context.database.close()

    def run(self, window: Window, **options: Any) -> RunResult:
        """One `run_all`."""
        with self.opened() as context:
            return run_all(context, window, **{"run": new_run(), **options})

    def rows(self, table: str, columns: Sequence[str], *, snapshot: int | None = None) -> list[tuple[Any, ...]]:
        """Rows of a table, sorted as texts, under a grant for exactly its keys; as they are now, or at a snapshot."""
        with self.opened() as context:
            at = snapshot if snapshot is not None else context.lake.snapshot(table)
            assert at is not None
            with context.lake.scan(table, at, columns, grant_id=_granted(context, table, at, columns)) as reader:
                return sorted((tuple(row.values()) for row in reader.read_all().to_pylist()), key=str)

    def snapshot(self, table: str) -> int | None:
        with self.opened() as context:
            return context.lake.snapshot(table)

    def hashes(self, *, volatile: bool = True) -> dict[str, str]:
        """Order-free hash of every stored, quarantine and curated table; without `volatile`, of what does not depend on when and by which
        run a row was written.
        """
        catalogue_specs = []
        with self.opened() as context:
            for dataset in context.catalogue.datasets.values():
                catalogue_specs += [stored_spec(dataset), quarantine_spec(dataset)]
            catalogue_specs += [curated_spec(model) for model in context.catalogue.models.values()]
            found = {}
            for spec in catalogue_specs:
                at = context.lake.snapshot(spec.name)
                if at is None:
                    continue
                types = {c.name: _duck(c.type) for c in spec.columns if volatile or c.name != "_recorded_at"}
                with duckdb.connect() as con:
                    grant = _granted(context, spec.name, at, list(types))
                    context.lake.bind(con, "rows", spec.name, at, list(types), grant_id=grant)
                    found[spec.name] = order_free_hash(con, "rows", types)
            return found

    def batches(self, dataset: str | None = None) -> tuple[BatchRow, ...]:
        with self.opened() as context, context.database.read() as connection:
            return batches.batches(connection, dataset)

    def entries(self) -> dict[str, int]:
        """Number of ledger entries by kind."""
        return self._counted(tables.ledger_entry.c.kind)

    def runs(self) -> dict[tuple[str, str, str | None], int]:
        """Number of recorded runs by (stage, output, batch)."""
        c = tables.run.c
        with self.opened() as context, context.database.read() as connection:
            query = select(c.stage, c.output, c.batch, func.count()).group_by(c.stage, c.output, c.batch)
            return {(stage, output, batch): n for stage, output, batch, n in connection.execute(query)}

    def leases(self) -> list[str]:
        with self.opened() as context, context.database.read() as connection:
            return list(connection.execute(select(tables.lease.c.name)).scalars())

    def events(self) -> list[str]:
        """Lines of the OpenLineage file."""
        return (self.folder / "var" / "lineage" / "openlineage.jsonl").read_text(encoding="utf-8").splitlines()

    def keep(self) -> Path:
        """A copy of everything that was written, for `restore`: in place, since metadata hold absolute paths."""
        kept = self.folder.with_name(f"{self.folder.name}-kept")
        shutil.copytree(self.folder, kept)
        return kept

    def restore(self, kept: Path) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(kept, self.folder)

    def _counted(self, column: Any) -> dict[str, int]:
        with self.opened() as context, context.database.read() as connection:
            return {str(name): int(n) for name, n in connection.execute(select(column, func.count()).group_by(column))}


def empty_home(folder: Path) -> Home:
    """A home with nothing declared."""
    (folder / "catalog").mkdir(parents=True)
    (folder / "expectations").mkdir()
    (folder / "sources").mkdir()
    (folder / "catalog" / "access.yaml").write_text("version: 1\n", encoding="utf-8")
    (folder / "gov.toml").write_text("[engine]\nthreads = 1\nmemory_limit_mb = 512\n", encoding="utf-8")
    return Home(folder)


def utility_home(folder: Path, *, mode: str = "full") -> Home:
    """Two departments, a dataset each (meters in `mode`), and a model that joins them by the token of the person."""
    home = empty_home(folder)
    home.declare("water.meters", METERS, mode=mode)
    home.declare("power.accounts", ACCOUNTS)
    home.declare("curated.supply", SUPPLY, sql=SUPPLY_SQL)
    home.deliver("water.meters", FIRST)
    home.deliver("power.accounts", USE)
    return home


def outcomes(result: RunResult) -> dict[tuple[str, str], str]:
    """(stage, subject) -> outcome, of the last step of each."""
    return {(step.stage, step.subject): step.outcome for step in result.steps}


def _granted(context: Context, table: str, snapshot: int, columns: Sequence[str]) -> str:
    keys = sorted(context.lake.keys(table, snapshot, columns))
    with context.database.unit_of_work() as tx:
        return grants.issue(tx, actor=READER, keys=keys, database=context.database).id


def _duck(iceberg: str) -> str:
    if iceberg.startswith("fixed"):
        return "BLOB"
    if iceberg.startswith("list"):
        return "VARCHAR[]"
    names = {"string": "VARCHAR", "long": "BIGINT", "timestamp": "TIMESTAMP", "boolean": "BOOLEAN", "double": "DOUBLE"}
    return names.get(iceberg, iceberg.upper())
