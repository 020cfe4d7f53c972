"""`policy_compile`: decisions and their compilation at 10,000 fields × 100 roles, and of one table as a query asks for it.

Measured are all tables for one role and one table for all roles; `all_cpu_s` is what all tables for all roles would take.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from governance.catalog.types import Catalogue, ColumnType, Dataset, Field, Level, Model
from governance.policy.access import parse_access
from governance.policy.decide import Column, Decider
from governance.policy.restrictions import Policy, compile_restrictions

FIELDS = int(os.environ.get("BENCH_FIELDS", 10_000))
ROLES = int(os.environ.get("BENCH_ROLES", 100))
A_TABLE = 50
AT = datetime(2026, 6, 1, tzinfo=UTC)
LEVELS = tuple(Level)


def measure() -> Iterator[dict[str, object]]:
    catalogue = _catalogue()
    text = _access()
    began = time.monotonic()
    access = parse_access(text, "catalog/access.yaml", catalogue)
    parsed = time.monotonic()
    decider = Decider(access)
    made = time.monotonic()
    tables = {name: tuple(map(Column.of, model.contract.fields)) for name, model in catalogue.models.items()}
    used = time.process_time()
    one = [_compiled(decider, name, columns, 0) for name, columns in tables.items()]
    compiled = time.monotonic()
    roles = [_compiled(decider, next(iter(tables)), next(iter(tables.values())), role) for role in range(ROLES)]
    cpu = time.process_time() - used
    yield {
        "fields": FIELDS,
        "roles": ROLES,
        "rules": len(access.rules),
        "parse_s": round(parsed - began, 2),
        "decider_s": round(made - parsed, 2),
        "all_fields_one_role_s": round(compiled - made, 2),
        "one_table_ms": round(statistics.median([*one, *roles]) * 1000, 1),
        "one_table_max_ms": round(max(*one, *roles) * 1000, 1),
        "one_table_cpu_ms": round(cpu / (len(one) + len(roles)) * 1000, 1),
        "decisions_per_cpu_s": round(A_TABLE * (len(one) + len(roles)) / cpu),
        "all_cpu_s": round(cpu / (len(one) + len(roles)) * len(tables) * ROLES, 1),
    }


def _compiled(decider: Decider, table: str, columns: tuple[Column, ...], role: int) -> float:
    began = time.monotonic()
    ids = {column.name: at for at, column in enumerate(columns, start=1)}
    asked: dict[str, Any] = {"subject": f"user:u{role}", "purpose": "p0", "table": table, "snapshot": 1, "at": AT}
    _ = compile_restrictions([Policy(decider, columns, "h")], field_ids=ids, **asked).decision_hash
    return time.monotonic() - began


def _catalogue() -> Catalogue:
    models = {}
    for number in range(FIELDS // A_TABLE):
        name = f"curated.t{number}"
        fields = tuple(
            Field(f"f{at}", ColumnType("string"), f"f{at}", classification=LEVELS[at % 4], tags=(f"tag{at % 20}",))
            for at in range(A_TABLE)
        )
        contract = Dataset(
            name, "curated", "curated", "1.0.0", fields, None, f"catalog/curated/t{number}.yaml", "0" * 64
        )
        models[name] = Model(name, "SELECT 1", f"catalog/curated/t{number}.sql", "1" * 64, contract)
    return Catalogue({}, models, {}, {}, "catalog/access.yaml", "", {})


def _access() -> str:
    """Two rules a role: clear fields raw, fields of one tag masked."""
    lines = [
        f"roles: [{', '.join(f'{{id: r{n}}}' for n in range(ROLES))}]",
        "purposes: [{id: p0}, {id: p1}]",
        "subjects:",
    ]
    lines += [f'  - {{name: "user:u{n}", roles: [r{n}], clearance: L3}}' for n in range(ROLES)]
    lines.append("rules:")
    for n in range(ROLES):
        lines.append(f"  - {{id: clear{n}, roles: [r{n}], purposes: [p0], where: {{levels: [L1, L2]}}, action: raw}}")
        where = f"where: {{levels: [L3], tags: [tag{n % 20}, tag{(n + 7) % 20}]}}"
        lines.append(f"  - {{id: masked{n}, roles: [r{n}], purposes: [p0, p1], {where}, action: 'mask:mask-alphanum'}}")
    return "\n".join(lines) + "\n"
