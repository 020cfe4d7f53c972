"""A released home with one wide curated table of synthetic people, for the measures of the query service."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert

from benchmarks.measure import BUILD
from governance.catalog.types import Catalogue, ColumnType, Dataset, Field, Level, Model
from governance.config import Settings
from governance.keys.keyring import Keyring
from governance.lake.lake import Lake, TableChange
from governance.lake.specs import curated_spec
from governance.lineage.edges import EdgeSet
from governance.state.database import Database
from governance.state.tables import build, edge_set, pin
from governance.state.values import BUILT, Actor, Built, Pin
from governance.use.release import approve, propose, publish, sign

TABLE = "curated.people"
WHO = ("user:analyst", "statistics")
STEWARD = Ed25519PrivateKey.from_private_bytes(b"\x05" * 32)
ACTOR = Actor("user:steward", "bench", "bench")
ROWS = """
    SELECT i AS id,
        lpad(CAST(110101000000000000 + i * 7919 AS VARCHAR), 18, '0') AS number,
        ['王','李','张','刘','陈','杨','赵','黄'][1 + i % 8] || ['伟','芳','娜','敏','静','强','磊','洋'][1 + (i // 8) % 8] AS name,
        '13' || lpad(CAST((i * 7907) % 1000000000 AS VARCHAR), 9, '0') AS phone,
        DATE '1940-01-01' + CAST(i % 25000 AS INTEGER) AS born,
        CAST((i * 31) % 1000000 / 100.0 AS DECIMAL(12, 2)) AS income,
        '1101' || lpad(CAST(i % 10 AS VARCHAR), 2, '0') AS district,
        i % 100 AS score
    FROM range({start}, {stop}) r(i)
"""
"""A tenth of the rows is of each district."""


def fields(encrypted: bool = True) -> tuple[Field, ...]:
    level = Level.L3 if encrypted else Level.L2
    text, whole = ColumnType("string"), ColumnType("integer")
    return (
        Field("id", whole, "id", classification=Level.L1),
        Field("number", text, "number", classification=level, tags=("number",)),
        Field("name", text, "name", classification=level, tags=("name",)),
        Field("phone", text, "phone", classification=level, tags=("phone",)),
        Field("born", ColumnType("date"), "born", classification=level, tags=("born",)),
        Field("income", ColumnType("decimal", 12, 2), "income", classification=level, tags=("income",)),
        Field("district", text, "district", classification=Level.L1),
        Field("score", whole, "score", classification=Level.L1),
    )


def access() -> str:
    """Two of ten districts, masks for name, phone, number and birth, the rest raw."""
    key = STEWARD.public_key().public_bytes_raw().hex()
    filtered = 'row_filter: {column: district, op: in, values: ["110100", "110101"]}'
    masks = {"name": "chinese-name", "phone": "phone", "number": "resident-number", "born": "truncate-to-month"}
    rules = [
        f"  - {{id: {tag}, roles: [analyst], purposes: [statistics], where: {{tags: [{tag}]}}, action: 'mask:{mask}', {filtered}}}"
        for tag, mask in masks.items()
    ]
    return "\n".join(
        [
            "roles: [{id: analyst}]",
            "purposes: [{id: statistics}]",
            'subjects: [{name: "user:analyst", roles: [analyst], clearance: L3}, {name: "user:steward"}]',
            f'approvers: [{{subject: "user:steward", public_key: "{key}"}}]',
            "rules:",
            f"  - {{id: open, roles: [analyst], purposes: [statistics], where: {{levels: [L1]}}, action: raw, {filtered}}}",
            f"  - {{id: paid, roles: [analyst], purposes: [statistics], where: {{tags: [income]}}, action: raw, {filtered}}}",
            *rules,
            "",
        ]
    )


@dataclass(frozen=True, slots=True)
class Home:
    settings: Settings
    catalogue: Catalogue
    database: Database
    keystore: Keyring
    lake: Lake


def opened(name: str, own: tuple[Field, ...]) -> Home:
    """An empty home under build/bench, in place of a former one."""
    folder = BUILD / "bench" / name
    shutil.rmtree(folder, ignore_errors=True)
    var = folder / "var"
    url = f"sqlite:///{var / 'state.sqlite'}"
    settings = Settings(folder, folder / "catalog", folder / "expectations", var, var / "keys", url)
    database = Database(url)
    database.create()
    keystore = Keyring(settings.keyring, database)
    contract = Dataset(TABLE, "curated", "curated", "1.0.0", own, None, "catalog/curated/people.odcs.yaml", "c" * 64)
    model = Model(TABLE, "SELECT 1", "catalog/curated/people.sql", "d" * 64, contract)
    texts = {"c" * 64: "contract", "d" * 64: "model"}
    catalogue = Catalogue({}, {TABLE: model}, {}, {}, "catalog/access.yaml", access(), texts)
    return Home(settings, catalogue, database, keystore, Lake(settings, database, keystore))


def fill(home: Home, rows: int) -> None:
    """Write the table and make it the current snapshot, with the record of a build."""
    spec = curated_spec(home.catalogue.models[TABLE])
    home.lake.ensure(spec)
    writer = home.lake.writer(spec, "bench")
    with duckdb.connect(config={"threads": 2}) as con:
        reader = con.sql(ROWS.format(start=0, stop=rows)).to_arrow_reader(122_880)
        for batch in reader:
            writer.write(batch)
    files = writer.close()
    prepared = home.lake.prepare([TableChange(TABLE, add=files)])
    own, edges, at = Pin("pin", TABLE, "bench", {}), EdgeSet(TABLE, "bench", (), True), home.database.clock()
    with home.database.unit_of_work() as tx:
        snapshot = home.lake.swap(tx, prepared)[TABLE]
        built = Built(TABLE, "go", (), snapshot, own, files, rows, edges.id, {})
        tx.execute(insert(pin).values(id=own.id, model=TABLE, run="bench", pin="{}", recorded_at=at))
        tx.execute(insert(edge_set).values(id=edges.id, output=TABLE, stage="bench", complete=True, recorded_at=at))
        facts = {
            "model": TABLE,
            "run": "bench",
            "pin": own.id,
            "outcome": "go",
            "snapshot": snapshot,
            "recorded_at": at,
        }
        tx.execute(insert(build).values(**facts, built=BUILT.dump_json(built).decode()))


def release(home: Home) -> None:
    """Propose, sign and publish what is there."""
    given: dict[str, Any] = {"catalogue": home.catalogue, "database": home.database}
    made = propose(home.catalogue, database=home.database, lake=home.lake, actor=ACTOR)
    approve(made, subject="user:steward", signature=sign(made, STEWARD), actor=ACTOR, **given)
    publish(made, settings=home.settings, lake=home.lake, actor=ACTOR, **given)


def plain(rows: int) -> Path:
    """The same rows as one plain Parquet file."""
    path = BUILD / "bench" / f"people-{rows}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as con:
            con.execute(f"COPY ({ROWS.format(start=0, stop=rows)}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    return path
