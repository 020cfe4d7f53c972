"""A home on disk with two stored tables, for builds that really run: rows go in by the lake's own writer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from governance.catalog.rules import RowRules
from governance.catalog.types import Catalogue, Dataset, Model
from governance.config import Settings
from governance.develop.build import build
from governance.keys import grants
from governance.keys.keyring import Keyring
from governance.lake.lake import Lake, TableChange
from governance.lake.specs import curated_spec, stored_spec
from governance.state.database import Database
from governance.state.values import Actor, Built, Outcome, RuleMetric
from tests.develop.city import INSURED, RESIDENTS

ACTOR = Actor("service:build@curated", "pipeline.develop", "0b0f6f3e-3c0f-4b8f-9d8a-6a1c2f6c7b10")


def token(value: str | None) -> bytes | None:
    return hashlib.sha256(value.encode()).digest()[:12] if value is not None else None


def number(n: int) -> str:
    return f"11010119900307{n:04d}"


def residents(count: int = 20) -> list[dict[str, Any]]:
    return [
        {
            "id_number": number(n),
            "name": f"居民{n}",
            "birth_date": date(1990, 1, 1 + n % 28),
            "division": f"1101{n % 3:02d}",
            "note": None,
        }
        for n in range(count)
    ]


def insured(count: int = 20) -> list[dict[str, Any]]:
    return [
        {
            "id_number": number(n % 15),
            "kind": "ab"[n % 2],
            "salary": Decimal(n) + Decimal("0.10"),
            "score": n / 7,
            "month": 1 + n % 12,
        }
        for n in range(count)
    ]


@dataclass(frozen=True, slots=True)
class Home:
    settings: Settings
    database: Database
    keystore: Keyring
    lake: Lake

    def put(self, dataset: Dataset, rows: list[dict[str, Any]], batch: str = "b1") -> int:
        """Make `rows` the whole content of a stored table; its new snapshot."""
        spec = stored_spec(dataset)
        self.lake.ensure(spec)
        extra = {"_valid_from": None, "_valid_to": None, "_recorded_at": None, "_held": False, "_rowdigest": bytes(16)}
        full = []
        for ordinal, row in enumerate(rows, 1):
            tokens = {f.token_name: token(row[f.name]) for f in dataset.fields if f.token_name}
            versions = {k: v for k, v in extra.items() if dataset.keeps_versions}
            full.append({"_batch": batch, "_row": ordinal, **tokens, **versions, **row})
        with self.lake.writer(spec, batch) as writer:
            names = [c.name for c in spec.columns]
            columns = {n: [row.get(n) for row in full] for n in names}
            kinds = {
                "birth_date": pa.date32(),
                "salary": pa.decimal128(18, 2),
                "_current": pa.bool_(),
                "note": pa.string(),
            }
            table = pa.table({n: pa.array(v, kinds.get(n)) for n, v in columns.items()})
            writer.write(table)
            files = writer.close()
        old = tuple(f.path for f in self.lake.files(dataset.name, self.lake.snapshot(dataset.name)))
        prepared = self.lake.prepare([TableChange(dataset.name, files, old)])
        with self.database.unit_of_work() as tx:
            return self.lake.swap(tx, prepared)[dataset.name]

    def build(
        self, model: Model, rules: RowRules, catalogue: Catalogue, *, run: str = ACTOR.run, decide: Any = None
    ) -> Built:
        return build(
            model,
            rules,
            catalogue,
            settings=self.settings,
            lake=self.lake,
            database=self.database,
            keystore=self.keystore,
            actor=replace(ACTOR, run=run),
            decide=decide or go,
        )

    def read(self, model: Model, snapshot: int | None = None) -> list[dict[str, Any]]:
        """All rows of a curated table, under a grant for exactly its keys."""
        columns = [c.name for c in curated_spec(model).columns]
        at = snapshot if snapshot is not None else self.lake.snapshot(model.name)
        assert at is not None
        with self.database.unit_of_work() as tx:
            keys = self.lake.keys(model.name, at, columns)
            grant = grants.issue(tx, actor=ACTOR, keys=keys, database=self.database)
        with self.lake.scan(model.name, at, columns, grant_id=grant.id) as reader:
            return sorted(reader.read_all().to_pylist(), key=lambda row: json.dumps(row, default=str))


NO_RESULTS = json.dumps({"results": [], "meta": {"gov": {}}})


def go(rules: RowRules, metrics: Mapping[str, RuleMetric], rows: int) -> tuple[Outcome, tuple[str, ...], str]:
    """The verdict of manage in small: a rule that is broken or could not be evaluated stops, warns or passes by
    severity."""
    broken = [r for r in rules.rules if metrics[r.id].unexpected or metrics[r.id].error]
    if any(r.severity == "stop" or metrics[r.id].error for r in broken):
        return "stop", tuple(r.id for r in broken), NO_RESULTS
    return ("go_with_warnings" if broken else "go"), tuple(r.id for r in broken), NO_RESULTS


@contextmanager
def home(folder: Path, *, filled: bool = True) -> Iterator[Home]:
    var = folder / "var"
    settings = Settings(
        home=folder,
        catalog=folder / "catalog",
        expectations=folder / "expectations",
        var=var,
        keyring=var / "keys",
        database_url=f"sqlite:///{var / 'state.sqlite'}",
        memory_limit_mb=512,
    )
    database = Database(settings.database_url)
    database.create()
    keystore = Keyring(settings.keyring, database)
    made = Home(settings, database, keystore, Lake(settings, database, keystore))
    if filled:
        made.put(RESIDENTS, residents())
        made.put(INSURED, insured())
    try:
        yield made
    finally:
        database.close()
