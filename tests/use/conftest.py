"""A home with one curated table in a real lake, encrypted columns included, released under a small policy."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert

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

STEWARD_KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC_KEY = STEWARD_KEY.public_key().public_bytes_raw().hex()
ACCESS = f"""\
roles: [{{id: statistician}}, {{id: caseworker}}]
purposes: [{{id: statistics}}, {{id: benefits}}, {{id: research}}]
subjects:
  - {{name: "user:li", roles: [statistician], clearance: L3}}
  - {{name: "user:zhao", roles: [caseworker], clearance: L4, attributes: {{districts: ["110101"]}}}}
  - {{name: "user:idle"}}
  - {{name: "user:wang"}}
approvers: [{{subject: "user:wang", public_key: "{PUBLIC_KEY}"}}]
rules:
  - {{id: clear, roles: [statistician], purposes: [statistics, research], where: {{levels: [L1, L2]}}, action: raw}}
  - {{id: names, roles: [statistician], purposes: [statistics], where: {{tags: [name]}}, action: "mask:chinese-name"}}
  - {{id: births, roles: [statistician], purposes: [statistics], where: {{tags: [birth]}}, action: "mask:date-decade"}}
  - id: tokens
    roles: [statistician]
    purposes: [statistics, research]
    where: {{tags: [identifier]}}
    action: "mask:token"
  - {{id: money, roles: [statistician], purposes: [statistics], where: {{tags: [money]}}, action: aggregate_only(10)}}
  - id: cases
    roles: [caseworker]
    purposes: [benefits]
    where: {{levels: [L1, L2, L3, L4], without_tags: [money]}}
    action: raw
    row_filter: {{column: district, op: in, session: districts}}
    obligations: {{no_export: true, max_rows: 2}}
"""
STRING = ColumnType("string")
CANARIES = ("王小明", "110101199003074514", "HIDDEN", "张无忌", "110102198001010022")
PEOPLE = [
    ("110101199003074514", "王小明", date(1990, 3, 7), Decimal("1000.50"), "110101", 1),
    ("110101195512240011", "李HIDDEN", date(1955, 12, 24), Decimal("2000.00"), "110101", 2),
    ("110102198001010022", "张无忌", date(1980, 1, 1), Decimal("7777.77"), "110102", 3),
    (None, None, None, None, "110103", 4),
]


def fields():
    return (
        Field("id_number", STRING, "id_number", classification=Level.L4, tags=("identifier",), domain="person"),
        Field("name", STRING, "name", classification=Level.L3, tags=("name",)),
        Field("born", ColumnType("date"), "born", classification=Level.L3, tags=("birth",)),
        Field("income", ColumnType("decimal", 12, 2), "income", classification=Level.L3, tags=("money",)),
        Field("district", STRING, "district", classification=Level.L1),
        Field("rank", ColumnType("integer"), "rank", classification=Level.L2),
    )


def text_hash(text):
    return hashlib.sha256(text.encode()).hexdigest()


def catalogue_of(access=ACCESS, own_fields=None):
    contract = Dataset(
        "curated.person",
        "curated",
        "curated",
        "1.0.0",
        own_fields or fields(),
        None,
        "catalog/curated/person.odcs.yaml",
        text_hash("contract"),
    )
    model = Model("curated.person", "SELECT 1", "catalog/curated/person.sql", text_hash("model"), contract)
    texts = {text_hash("contract"): "contract", text_hash("model"): "model", text_hash(access): access}
    return Catalogue({}, {"curated.person": model}, {}, {}, "catalog/access.yaml", access, texts)


@dataclasses.dataclass
class Home:
    settings: Settings
    catalogue: Catalogue
    database: Database
    keystore: Keyring
    lake: Lake

    def actor(self, subject="user:wang", purpose="pipeline.use"):
        return Actor(subject, purpose, "run-1")

    def fill(self, people, outcome="go", complete=True, run="run-1"):
        """Replace curated.person by `people` and record the build."""
        model = self.catalogue.models["curated.person"]
        spec = curated_spec(model)
        self.lake.ensure(spec)
        columns = list(zip(*people, strict=True))
        tokens = [None if value is None else hashlib.sha256(value.encode()).digest()[:12] for value in columns[0]]
        arrays = {
            "id_number": pa.array(columns[0], pa.string()),
            "name": pa.array(columns[1], pa.string()),
            "born": pa.array(columns[2], pa.date32()),
            "income": pa.array(columns[3], pa.decimal128(12, 2)),
            "district": pa.array(columns[4], pa.string()),
            "rank": pa.array(columns[5], pa.int64()),
            "id_number__token": pa.array(tokens, pa.binary(12)),
        }
        names = [column.name for column in spec.columns]
        writer = self.lake.writer(spec, run)
        writer.write(pa.RecordBatch.from_arrays([arrays[name] for name in names], names=names))
        files = writer.close()
        before = self.lake.snapshot("curated.person")
        old = tuple(file.path for file in self.lake.files("curated.person", before)) if before else ()
        prepared = self.lake.prepare([TableChange("curated.person", add=files, remove=old)])
        edges = EdgeSet("curated.person", run, (), complete)
        at = self.database.clock()
        with self.database.unit_of_work() as tx:
            snapshot = self.lake.swap(tx, prepared)["curated.person"]
            own_pin = Pin(f"pin-{run}", "curated.person", run, {})
            built = Built("curated.person", outcome, (), snapshot, own_pin, files, len(people), edges.id, {})
            tx.execute(insert(pin).values(id=own_pin.id, model="curated.person", run=run, pin="{}", recorded_at=at))
            tx.execute(
                insert(edge_set).values(id=edges.id, output=edges.output, stage=run, complete=complete, recorded_at=at)
            )
            tx.execute(
                insert(build).values(
                    model="curated.person",
                    run=run,
                    pin=own_pin.id,
                    outcome=outcome,
                    snapshot=snapshot,
                    built=BUILT.dump_json(built).decode(),
                    recorded_at=at,
                )
            )

    def propose(self):
        return propose(self.catalogue, database=self.database, lake=self.lake, actor=self.actor())

    def approve(self, release, key=STEWARD_KEY, subject="user:wang"):
        approve(
            release,
            subject=subject,
            signature=sign(release, key),
            catalogue=self.catalogue,
            database=self.database,
            actor=self.actor(subject),
        )

    def publish(self, release):
        return publish(
            release,
            catalogue=self.catalogue,
            settings=self.settings,
            database=self.database,
            lake=self.lake,
            actor=self.actor(),
        )

    def release(self):
        release = self.propose()
        self.approve(release)
        return self.publish(release)


def open_home(folder: Path, catalogue=None) -> Home:
    var = folder / "var"
    settings = Settings(
        home=folder,
        catalog=folder / "catalog",
        expectations=folder / "expectations",
        var=var,
        keyring=var / "keys",
        database_url=f"sqlite:///{var / 'state.sqlite'}",
        threads=1,
        memory_limit_mb=512,
    )
    database = Database(settings.database_url)
    database.create()
    keystore = Keyring(settings.keyring, database)
    return Home(settings, catalogue or catalogue_of(), database, keystore, Lake(settings, database, keystore))


@pytest.fixture
def home(tmp_path):
    opened = open_home(tmp_path)
    opened.fill(PEOPLE)
    yield opened
    opened.database.close()


@pytest.fixture(scope="session")
def published_home(tmp_path_factory):
    """A released home that tests only read."""
    opened = open_home(tmp_path_factory.mktemp("home"))
    opened.fill(PEOPLE)
    opened.release()
    yield opened
    opened.database.close()
