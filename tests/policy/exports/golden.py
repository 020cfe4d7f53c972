"""A small policy that uses every construct, and the files that each target made of it.

python -m tests.policy.exports.golden        # writes the files anew: read the difference before it is committed
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from governance.catalog.types import ColumnType, Field, Level
from governance.policy.access import parse_access
from governance.policy.decide import Column, Decider
from governance.policy.exports.model import Scope, next_change
from governance.policy.exports.targets import TARGETS
from governance.policy.restrictions import Policy, compile_restrictions
from tests.policy.exports.home import STRING, catalogue_of

FOLDER = Path(__file__).parent / "golden"
AT = datetime(2026, 6, 1, tzinfo=UTC)
MASKS = (
    ("mask-alphanum", "string"), ("mask-to-fixed-value", "string"), ("mask-to-fixed-value", "integer"),
    ("mask-to-fixed-value", "decimal"), ("mask-to-fixed-value", "double"), ("mask-to-fixed-value", "boolean"),
    ("mask-to-fixed-value", "date"), ("mask-to-fixed-value", "timestamp"), ("replace-with-null", "string"),
    ("replace-with-null", "date"), ("show-first-4", "string"), ("show-last-4", "string"), ("truncate-to-year", "date"),
    ("truncate-to-year", "timestamp"), ("truncate-to-month", "date"), ("sha-256-global", "string"),
    ("sha-256-query-local", "string"), ("token", "string"), ("chinese-name", "string"), ("resident-number", "string"),
    ("phone", "string"), ("address-county", "string"), ("date-decade", "date"), ("date-decade", "timestamp"),
    ("number-bucket(1000)", "integer"), ("number-bucket(1000)", "decimal"), ("number-bucket(1000)", "double"),
)  # fmt: skip
FILTERS = {
    "text": ["{column: text, op: '=', value: \"it's \\\\ 100%\"}", "{column: text, op: not_in, values: [a, '名']}"],
    "whole": ["{column: whole, op: '!=', value: 3}", "{column: whole, op: '>=', session: least}"],
    "amount": ["{column: amount, op: '<', value: '10.50'}", "{column: amount, op: '>', value: 1}"],
    "day": ["{column: day, op: '<=', value: '2026-01-31'}", "{column: day, op: is_null}"],
    "at": ["{column: at, op: '>', value: '2026-01-31T08:00:00'}", "{column: at, op: not_null}"],
    "flag": ["{column: flag, op: '=', value: true}", "{not: {column: flag, op: '=', value: false}}"],
    "place": ["{column: place, op: in, session: places}", "{column: place, op: '=', session: department}"],
}


def _masks():
    kinds = {"decimal": ColumnType("decimal", 12, 2)}
    for mask, kind in MASKS:
        name = f"{mask.partition('(')[0]}_{kind}".replace("-", "_")
        domain = "person" if mask == "token" else None
        yield (
            mask,
            Field(name, kinds.get(kind, ColumnType(kind)), name, classification=Level.L2, tags=(name,), domain=domain),
        )


FILTERED = tuple(
    Field(name, kind, name, classification=Level.L1)
    for name, kind in {
        "text": STRING,
        "whole": ColumnType("integer"),
        "amount": ColumnType("decimal", 12, 2),
        "day": ColumnType("date"),
        "at": ColumnType("timestamp"),
        "flag": ColumnType("boolean"),
        "place": STRING,
    }.items()
)
PLAIN = (
    Field("open", STRING, "open", classification=Level.L1, tags=("a",)),
    Field("tagged", STRING, "tagged", classification=Level.L2, tags=("a", "b")),
    Field("high", STRING, "high", classification=Level.L3, tags=("a",)),
    Field("unclassified", STRING, "unclassified"),
)
TABLES = {"curated.masked": tuple(f for _, f in _masks()), "curated.filtered": FILTERED, "curated.plain": PLAIN}


def _rules():
    for mask, own in _masks():
        yield f"{{id: {own.name}, roles: [masks], purposes: [masks], where: {{tags: [{own.name}]}}, action: 'mask:{mask}'}}"
    for name, (left, right) in FILTERS.items():
        row_filter = f"{{and: [{{or: [{left}, {right}]}}, {{not: {{and: [{left}, {right}]}}}}]}}"
        yield (
            f"{{id: rows-{name}, subjects: ['user:{name}'], purposes: [rows], where: {{tables: [curated.filtered]}}, "
            f"action: raw, row_filter: {row_filter}}}"
        )
    yield "{id: low, roles: [plain], purposes: [plain], where: {levels: [L1, L2], tags: [a], without_tags: [b]}, action: raw}"
    yield "{id: hidden, roles: [plain], purposes: [plain], where: {tags: [b]}, action: none}"
    for at, (subject, given) in enumerate(
        {
            "grouped": "action: aggregate_only(10)",
            "ending": "action: raw, valid_from: 2026-01-01, valid_to: 2027-01-01",
            "over": "action: raw, valid_to: 2026-01-01",
            "kept": "action: raw, obligations: {no_export: true}",
            "few": "action: raw, obligations: {max_rows: 10}",
        }.items()
    ):
        yield f"{{id: own-{at}, subjects: ['user:{subject}'], purposes: [plain], where: {{tables: [curated.plain], levels: [L1]}}, {given}}}"


def _access():
    names = [*FILTERS, "grouped", "ending", "over", "kept", "few"]
    subjects = [
        f"{{name: 'user:{name}', clearance: L3, department: health, attributes: {{least: 2, places: ['1', \"2'\"]}}}}"
        for name in names
    ]
    subjects += ["{name: 'user:masks', roles: [masks]}", "{name: 'user:plain', roles: [plain]}"]
    parts = {
        "roles": ["{id: masks}", "{id: plain}"],
        "purposes": ["{id: masks}", "{id: rows}", "{id: plain}"],
        "subjects": subjects,
        "rules": list(_rules()),
    }
    return "\n".join(f"{key}:\n" + "\n".join(f"  - {item}" for item in items) for key, items in parts.items())


def scopes(access=None, tables=TABLES, *, at=AT):
    """Every subject × purpose × table, decided at `at`; field ids are the fields' places."""
    text = access or _access()
    catalogue = catalogue_of(text, tables)
    parsed = parse_access(text, "access.yaml", catalogue)
    decider = Decider(parsed)
    for subject in parsed.subjects:
        for purpose in parsed.purposes:
            for name, fields in tables.items():
                columns = (*map(Column.of, fields), Column("_batch", STRING, None))
                restrictions = compile_restrictions(
                    [Policy(decider, columns, "p" * 64)],
                    subject=subject.name,
                    purpose=purpose.id,
                    table=name,
                    snapshot=7,
                    field_ids={column.name: at for at, column in enumerate(columns, start=1)},
                    at=at,
                )
                who = {"subject": subject.name, "purpose": purpose.id, "table": name}
                yield Scope(restrictions, next_change([parsed], **who, at=at))


@cache
def every_scope():
    """Those of the small policy, decided once."""
    return tuple(scopes())


def made():
    """Path relative to FOLDER -> text, for every target: its files and its report."""
    every = every_scope()
    found = {}
    for target, export in TARGETS.items():
        one = export(every)
        found |= {f"{target}/{path}": text for path, text in one.files.items()}
        report = one.report(every, release="r" * 64, at=AT) | {"decisions": {}}
        found[f"{target}/report.json"] = json.dumps(report, ensure_ascii=False, indent=2) + "\n"
    return found


if __name__ == "__main__":
    for path, text in made().items():
        file = FOLDER / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
