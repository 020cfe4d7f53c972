"""A published home of two curated tables, under rules that use every construct once."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
from sqlalchemy import insert

from governance.catalog.types import Catalogue, ColumnType, Dataset, Field, Level, Model
from governance.lake.lake import TableChange
from governance.lake.specs import curated_spec
from governance.lineage.edges import EdgeSet
from governance.state.tables import build, edge_set, pin
from governance.state.values import BUILT, Built, Pin
from tests.use.conftest import PUBLIC_KEY, open_home, text_hash

STRING, DATE = ColumnType("string"), ColumnType("date")
L1, L2, L3, L4 = Level
ACCESS = f"""\
roles: [{{id: counter}}, {{id: clerk}}]
purposes: [{{id: counting}}, {{id: care}}, {{id: "O'Brien; DROP \\\\ %"}}]
subjects:
  - {{name: "user:li", roles: [counter], department: health, clearance: L3}}
  - {{name: "user:zhao", roles: [clerk], clearance: L4, attributes: {{places: ["110101"], least: 2}}}}
  - {{name: "user:o'neil;--%s$gov$", roles: [clerk], clearance: L4, attributes: {{places: ["110102", "110103"], least: 0}}}}
  - {{name: "user:idle"}}
  - {{name: "user:wang"}}
approvers: [{{subject: "user:wang", public_key: "{PUBLIC_KEY}"}}]
rules:
  - {{id: clear, roles: [counter], purposes: [counting], where: {{levels: [L1, L2], without_tags: [secret, real, late]}}, action: raw}}
  - {{id: names, roles: [counter], purposes: [counting], where: {{tags: [name]}}, action: "mask:chinese-name"}}
  - {{id: births, roles: [counter], purposes: [counting], where: {{tags: [birth]}}, action: "mask:date-decade"}}
  - {{id: phones, roles: [counter], purposes: [counting], where: {{tags: [phone]}}, action: "mask:phone"}}
  - {{id: tokens, roles: [counter], purposes: [counting], where: {{tags: [identifier]}}, action: "mask:token"}}
  - {{id: money, roles: [counter], purposes: [counting], where: {{tags: [money]}}, action: "mask:number-bucket(1000)"}}
  - {{id: gone, roles: [counter], purposes: [counting], where: {{tags: [late]}}, action: raw, valid_to: 2020-01-01}}
  - {{id: grouped, roles: [counter], purposes: [counting], where: {{tags: [real]}}, action: aggregate_only(10)}}
  - id: near
    roles: [clerk]
    purposes: [care]
    where: {{tables: [curated.person], levels: [L1, L2, L3, L4], without_tags: [secret, phone]}}
    action: raw
    row_filter: {{and: [{{column: place, op: in, session: places}}, {{column: visits, op: ">=", session: least}}]}}
    valid_to: 2999-01-01
  - {{id: shown, roles: [clerk], purposes: [care], where: {{tags: [phone]}}, action: "mask:show-last-4"}}
  - {{id: never, roles: [counter, clerk], purposes: [counting, care], where: {{tags: [secret]}}, action: none}}
  - id: hostile
    roles: [clerk]
    purposes: ["O'Brien; DROP \\\\ %"]
    where: {{tables: [curated.place]}}
    action: raw
    row_filter: {{not: {{column: label, op: "=", value: "'; DROP TABLE curated.place; -- \\\\ % $gov$"}}}}
  - id: held
    roles: [clerk]
    purposes: [counting]
    where: {{tables: [curated.place], levels: [L1]}}
    action: raw
    obligations: {{max_rows: 3}}
"""


def field(name, kind, level, *tags, **given):
    return Field(name, kind, name, classification=level, tags=tags, **given)


PERSON = (
    field("id_number", STRING, L4, "identifier", domain="person"),
    field("name", STRING, L3, "name"),
    field("phone", STRING, L3, "phone", min_length=12),
    field("born", DATE, L3, "birth"),
    field("income", ColumnType("decimal", 12, 2), L3, "money"),
    field("ratio", ColumnType("double"), L2, "real"),
    field("seen", ColumnType("timestamp"), L2),
    field("active", ColumnType("boolean"), L1),
    field("visits", ColumnType("integer"), L1),
    field("place", STRING, L1),
    field("illness", STRING, L2, "secret"),
    field("later", STRING, L1, "late"),
)
PLACE = (
    field("code", STRING, L1),
    field("label", STRING, L1),
    field("odd ' ; $gov$ `%s` 名", STRING, L1),
    field("since", DATE, L2, "birth"),
)
PEOPLE = [
    ("110101199003074514", "王小明", "13800138000", date(1990, 3, 7), Decimal("1000.50"), 1.5, datetime(2026, 1, 2, 3), True, 2, "110101", "SECRET", "l"),
    ("110101195512240011", "李", "13900139000", date(1955, 12, 24), Decimal("2000.00"), -0.0, None, False, 1, "110101", "SECRET", None),
    ("110102198001010022", "HIDDEN", "+86 1", date(1980, 1, 1), Decimal("-7777.77"), float("nan"), datetime(2026, 1, 2), None, 3, "110102", None, "l"),
    ("110103198001010033", "欧阳", "", None, None, None, None, True, 0, "110103", None, None),
    (None, None, None, None, None, None, None, None, None, None, None, None),
]  # fmt: skip
PLACES = [
    ("110101", "东城区", "x", date(1949, 10, 1)),
    ("110102", "'; DROP TABLE curated.place; -- \\ % $gov$", "y", date(1949, 10, 1)),
    ("110103", None, None, None),
]
ROWS = {"curated.person": (PERSON, PEOPLE), "curated.place": (PLACE, PLACES)}


def catalogue_of(access=ACCESS, tables=None):
    """A catalogue of curated tables: name -> fields."""
    models, texts = {}, {text_hash(access): access}
    for name, fields in (tables or {name: fields for name, (fields, _) in ROWS.items()}).items():
        contract = Dataset(
            name, "curated", "curated", "1.0.0", tuple(fields), None, f"catalog/{name}.odcs.yaml", text_hash(f"c{name}")
        )
        models[name] = Model(name, "SELECT 1", f"catalog/{name}.sql", text_hash(f"m{name}"), contract)
        texts |= {text_hash(f"c{name}"): f"c{name}", text_hash(f"m{name}"): f"m{name}"}
    return Catalogue({}, models, {}, {}, "catalog/access.yaml", access, texts)


def published(folder, access=ACCESS):
    """The home, filled and released."""
    home = open_home(folder, catalogue_of(access))
    for name, (fields, rows) in ROWS.items():
        fill(home, name, fields, rows)
    home.release()
    return home


def fill(home, table, fields, rows):
    spec = curated_spec(home.catalogue.models[table])
    home.lake.ensure(spec)
    columns = list(zip(*rows, strict=True))
    arrays = {f.name: pa.array(values, arrow(f.type)) for f, values in zip(fields, columns, strict=True)}
    for own, values in zip(fields, columns, strict=True):
        if own.token_name:
            tokens = [None if v is None else hashlib.sha256(v.encode()).digest()[:12] for v in values]
            arrays[own.token_name] = pa.array(tokens, pa.binary(12))
    names = [column.name for column in spec.columns]
    writer = home.lake.writer(spec, "run-1")
    writer.write(pa.RecordBatch.from_arrays([arrays[name] for name in names], names=names))
    files = writer.close()
    prepared = home.lake.prepare([TableChange(table, add=files, remove=())])
    edges, at = EdgeSet(table, "run-1", (), True), home.database.clock()
    with home.database.unit_of_work() as tx:
        snapshot = home.lake.swap(tx, prepared)[table]
        own_pin = Pin(f"pin-{table}", table, "run-1", {})
        built = Built(table, "go", (), snapshot, own_pin, files, len(rows), edges.id, {})
        tx.execute(insert(pin).values(id=own_pin.id, model=table, run="run-1", pin="{}", recorded_at=at))
        tx.execute(insert(edge_set).values(id=edges.id, output=table, stage="run-1", complete=True, recorded_at=at))
        made = {"outcome": "go", "snapshot": snapshot, "built": BUILT.dump_json(built).decode(), "recorded_at": at}
        tx.execute(insert(build).values(model=table, run="run-1", pin=own_pin.id, **made))


def arrow(kind):
    match kind.kind:
        case "decimal":
            return pa.decimal128(kind.precision, kind.scale)
        case other:
            return {
                "string": pa.string(),
                "integer": pa.int64(),
                "double": pa.float64(),
                "boolean": pa.bool_(),
                "date": pa.date32(),
                "timestamp": pa.timestamp("us"),
            }[other]
