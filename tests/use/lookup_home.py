"""A home under the demo's own catalogue and policy, its curated tables filled with a few hundred people and real tokens."""

from __future__ import annotations

import itertools
from pathlib import Path

import duckdb
import pyarrow as pa
from sqlalchemy import insert

from governance.catalog.load import load_catalogue
from governance.catalog.types import TOKEN_SUFFIX
from governance.config import Settings, load_settings
from governance.demo.steward import SUBJECT, demo_key
from governance.keys import grants
from governance.keys.keyring import Keyring
from governance.keys.names import DigestKeyName
from governance.keys.tokens import sql_standard, tokens
from governance.lake.lake import Lake, TableChange
from governance.lake.specs import curated_spec
from governance.lineage.edges import EdgeSet
from governance.state.database import Database
from governance.state.tables import build, edge_set, pin
from governance.state.values import BUILT, Actor, Built, Pin
from governance.use.lookup import Lookups
from governance.use.release import approve, propose, publish, sign

ROOT = Path(__file__).parents[2]
PEOPLE = 400
NUMBER = "(CASE WHEN {0} % 7 = 0 THEN '44010319' ELSE '44010619' END || lpad(CAST({0} AS VARCHAR), 9, '0') || 'X')"
CODE = "('9144' || lpad(CAST({0} % 25 AS VARCHAR), 14, '0'))"
FIELDS = {
    "resident_no": NUMBER.format("i"),
    "relative_no": NUMBER.format("(i + 200)"),
    "representative_no": NUMBER.format("i"),
    "credit_code": "'9144' || lpad(CAST(i AS VARCHAR), 14, '0')",
    "employer_code": f"CASE WHEN i % 3 = 0 THEN NULL ELSE {CODE.format('i')} END",
    "division_code": "CASE WHEN i % 7 = 0 THEN '440103' ELSE '440106' END",
    "relation": "CASE WHEN i % 2 = 0 THEN '05' ELSE '04' END",
    "birth_date": "DATE '1950-01-01' + CAST(i * 67 % 20000 AS INTEGER)",
    "phone": "'138' || lpad(CAST(i AS VARCHAR), 8, '0')",
    "name": "'王' || chr(CAST(20000 + i % 20000 AS INTEGER))",
    "address": "'广东省广州市天河区农林路' || i || '号'",
}
"""SQL of a field by its name, over row number `i`; others by their type."""
BY_TYPE = {"string": "'v' || i", "integer": "i", "decimal": "i + 0.25", "date": "DATE '2000-01-01'", "boolean": "i > 5"}
_CHUNK = 1_000_000
_runs = itertools.count(1)


class Home:
    """Settings, catalogue, database, keystore and lake of one folder."""

    def __init__(self, folder: Path, **given: int) -> None:
        var = folder / "var"
        self.settings = Settings(
            home=folder,
            catalog=folder / "catalog",
            expectations=folder / "expectations",
            var=var,
            keyring=var / "keys",
            database_url=f"sqlite:///{var / 'state.sqlite'}",
            **{"threads": 1, "memory_limit_mb": 512, **given},
        )
        self.catalogue = load_catalogue(load_settings(ROOT))
        self.database = Database(self.settings.database_url)
        self.database.create()
        self.keystore = Keyring(self.settings.keyring, self.database)
        self.lake = Lake(self.settings, self.database, self.keystore)

    def lookups(self, **given) -> Lookups:
        return Lookups(
            settings=self.settings, catalogue=self.catalogue, database=self.database, lake=self.lake, **given
        )

    def fill(self, table: str, rows: int = PEOPLE, **fields: str) -> None:
        """Replace a curated table by `rows` generated ones and record the build; `fields` are SQL over `i`."""
        model, run = self.catalogue.models[table], f"run-{next(_runs)}"
        spec = curated_spec(model)
        self.lake.ensure(spec)
        writer, names = self.lake.writer(spec, run), [column.name for column in spec.columns]
        for start in range(0, rows, _CHUNK):
            writer.write(self._rows(model, (start, min(rows, start + _CHUNK)), fields, run).select(names))
        files = writer.close()
        before = self.lake.snapshot(table)
        old = tuple(file.path for file in self.lake.files(table, before)) if before else ()
        prepared = self.lake.prepare([TableChange(table, add=files, remove=old)])
        edges, own_pin, at = EdgeSet(table, run, (), True), Pin(f"pin-{run}", table, run, {}), self.database.clock()
        with self.database.unit_of_work() as tx:
            snapshot = self.lake.swap(tx, prepared)[table]
            built = Built(table, "go", (), snapshot, own_pin, files, rows, edges.id, {})
            tx.execute(insert(pin).values(id=own_pin.id, model=table, run=run, pin="{}", recorded_at=at))
            tx.execute(insert(edge_set).values(id=edges.id, output=table, stage=run, complete=True, recorded_at=at))
            body = {"built": BUILT.dump_json(built).decode(), "snapshot": snapshot, "pin": own_pin.id, "outcome": "go"}
            tx.execute(insert(build).values(model=table, run=run, recorded_at=at, **body))

    def release(self, *models: str) -> None:
        actor = Actor(SUBJECT, "pipeline.use", "run-1")
        given = {"catalogue": self.catalogue, "database": self.database, "actor": actor}
        proposed = propose(models=models, lake=self.lake, **given)
        approve(proposed, subject=SUBJECT, signature=sign(proposed, demo_key()), **given)
        publish(proposed, settings=self.settings, lake=self.lake, **given)

    def _rows(self, model, rows, fields, run) -> pa.Table:
        columns, domains = [], {}
        for field in model.contract.fields:
            made = fields.get(field.name) or FIELDS.get(field.name) or BY_TYPE[field.type.kind]
            columns.append(f"CAST({made} AS {field.type.duckdb()}) AS {field.name}")
            if field.token_name:
                domains[field.name] = field.domain
        with duckdb.connect() as con:
            table = con.sql(f"SELECT {', '.join(columns)} FROM range({rows[0]}, {rows[1]}) AS r(i)").to_arrow_table()  # noqa: S608
            con.register("made", table)
            queries = {name: f"SELECT {sql_standard(name)} AS s FROM made" for name in domains}  # noqa: S608
            standard = {name: con.sql(query).to_arrow_table() for name, query in queries.items()}
        with self.database.unit_of_work() as tx:
            grant = grants.issue(
                tx,
                actor=Actor("service:store@curated", "pipeline.store", run),
                keys=(),
                digest_keys=[DigestKeyName("domain", domain) for domain in set(domains.values())],
                digest_budget=(rows[1] - rows[0]) * len(domains),
                database=self.database,
            )
        for name, domain in domains.items():
            key, values = DigestKeyName("domain", domain), standard[name].column("s").combine_chunks()
            made = tokens(values, keystore=self.keystore, key=key, grant_id=grant.id)
            table = table.append_column(name + TOKEN_SUFFIX, made)
        return table


def number(i: int) -> str:
    """The resident number of person `i`."""
    return f"{'44010319' if i % 7 == 0 else '44010619'}{i:09d}X"
