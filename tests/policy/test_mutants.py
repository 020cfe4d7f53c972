"""Policy mutants: a dropped rule or condition, a widened level, a swapped mask, another subject. The access matrix must
tell each from the original, at one of its moments.
"""

from __future__ import annotations

from datetime import timedelta

from governance.catalog.types import Level
from governance.policy.access import Obligations, Where, parse_access
from governance.policy.decide import Column, Decider
from governance.policy.filters import And, Compare, Not, Or
from governance.policy.lattice import RAW, Outcome
from governance.policy.restrictions import Policy, compile_restrictions
from tests.policy.test_decide import ACCESS, MATRIX, NOW

RULES = (
    ACCESS.replace(
        '  - {name: "user:idle"}\n',
        '  - {name: "user:idle"}\n'
        '  - {name: "user:audit", roles: [auditor], clearance: L3, department: audit}\n'
        '  - {name: "user:guest", clearance: L4}\n',
    )
    + """\
  - {id: books, roles: [auditor], purposes: [statistics], where: {levels: [L1, L2, L3], without_tags: [phone, name]}, action: raw}
  - id: names-of-some
    roles: [auditor]
    purposes: [statistics]
    where: {tags: [name], tables: [curated.person]}
    action: "mask:mask-alphanum"
    row_filter: {and: [{column: rank, op: ">", value: 3}, {not: {column: district, op: in, values: ["110101", "110102"]}}]}
    valid_from: 2026-03-01
  - id: guests
    subjects: ["user:guest"]
    purposes: [benefits]
    where: {levels: [L1]}
    action: raw
    row_filter: {or: [{column: district, op: "=", value: "110101"}, {column: district, op: is_null}]}
    valid_to: 2026-07-01
"""
)
ASKED = (
    *MATRIX,
    ("user:audit", "statistics"),
    ("user:audit", "benefits"),
    ("user:guest", "benefits"),
    ("user:guest", "statistics"),
)
MOMENTS = (NOW, NOW - timedelta(days=120), NOW + timedelta(days=90), NOW + timedelta(days=365))
SWAPS = ("raw", "none", "mask:replace-with-null", "mask:mask-to-fixed-value")


def matrix(access, tables):
    """The canonical documents of every subject and purpose of the matrix, on every table, at every moment; one by one."""
    decider = Decider(access)
    for moment in MOMENTS:
        for table, columns in tables.items():
            for subject, purpose in ASKED:
                yield compile_restrictions(
                    [Policy(decider, columns, "")],
                    subject=subject,
                    purpose=purpose,
                    table=table,
                    snapshot=1,
                    field_ids={column.name: at for at, column in enumerate(columns, start=1)},
                    at=moment,
                ).canonical


def mutants(access):
    """Left out because nothing could tell them apart: obligations of what shows no row, another subject who sees
    nothing, a level at which no column of the tables is.
    """
    for at, rule in enumerate(access.rules):
        others = access.rules[:at] + access.rules[at + 1 :]
        yield f"{rule.id}: dropped", access.model_copy(update={"rules": others})
        for what, change in changed(rule, access):
            mutant = rule.model_copy(update=change)
            yield (
                f"{rule.id}: {what}",
                access.model_copy(update={"rules": (*access.rules[:at], mutant, *access.rules[at + 1 :])}),
            )
    for at, subject in enumerate(access.subjects):
        if subject.name in ("user:lost", "user:idle"):
            continue
        for change in ({"clearance": Level.L1}, {"clearance": Level.L4}, {"roles": ()}, {"attributes": {}}):
            other = subject.model_copy(update=change)
            if other == subject or (subject.name == "user:guest" and "clearance" in change):
                continue
            yield (
                f"{subject.name}: {change}",
                access.model_copy(update={"subjects": (*access.subjects[:at], other, *access.subjects[at + 1 :])}),
            )


def changed(rule, access):
    """What one rule could be by mistake."""
    where = rule.where
    yield from (
        (f"action {text}", {"action": Outcome.parse(text)}) for text in SWAPS if Outcome.parse(text) != rule.action
    )
    if rule.action.kind in ("mask", "raw"):
        yield "max_rows", {"obligations": Obligations(max_rows=1)}
        if rule.obligations != Obligations():
            yield "no obligations", {"obligations": Obligations()}
    yield "every level", {"where": Where(levels=tuple(Level))}
    for level in where.levels:
        rest = tuple(other for other in where.levels if other != level)
        if level != Level.L4 and (rest or where.tags or where.tables):
            yield f"without {level}", {"where": where.model_copy(update={"levels": rest})}
    if where.levels and Level.L3 not in where.levels:
        yield "with L3", {"where": where.model_copy(update={"levels": (*where.levels, Level.L3)})}
    for tag in where.without_tags:
        rest = tuple(other for other in where.without_tags if other != tag)
        yield f"without_tags less {tag}", {"where": where.model_copy(update={"without_tags": rest})}
    if where.tables and where.levels:
        yield "every table", {"where": where.model_copy(update={"tables": ()})}
    for purpose in rule.purposes:
        yield f"without {purpose}", {"purposes": tuple(p for p in rule.purposes if p != purpose)}
    if rule.valid_from is not None:
        yield "from ever", {"valid_from": None}
    if rule.valid_to is not None:
        yield "for ever", {"valid_to": None}
    yield "ended", {"valid_to": NOW - timedelta(days=200)}
    for role in rule.roles:
        yield f"another role than {role}", {"roles": tuple(r.id for r in access.roles if r.id != role)}
    if rule.row_filter is not None:
        yield from ((f"filter {at}", {"row_filter": made}) for at, made in enumerate([None, *weaker(rule.row_filter)]))


def weaker(row_filter):
    """A filter without one of its conjuncts or arms, turned round, with another operator or value."""
    match row_filter:
        case And() | Or():
            for at in range(len(row_filter.parts)):
                yield row_filter.parts[1 - at] if len(row_filter.parts) == 2 else None
                for part in weaker(row_filter.parts[at]):
                    yield type(row_filter).model_construct(
                        parts=(*row_filter.parts[:at], part, *row_filter.parts[at + 1 :])
                    )
            yield (Or if isinstance(row_filter, And) else And).model_construct(parts=row_filter.parts)
        case Not():
            yield row_filter.part
            yield from (Not.model_construct(part=part) for part in weaker(row_filter.part))
        case Compare():
            yield Not.model_construct(part=row_filter)
            turned = {"in": "not_in", "=": "!=", ">": ">=", "is_null": "not_null"}[row_filter.op]
            yield row_filter.model_copy(update={"op": turned})
            if len(row_filter.values) > 1:
                yield row_filter.model_copy(update={"values": row_filter.values[1:]})


def tables_of(catalogue):
    return {name: tuple(map(Column.of, model.contract.fields)) for name, model in catalogue.models.items()}


def test_the_access_matrix_kills_the_mutants(catalogue):
    access = parse_access(RULES, "catalog/access.yaml", catalogue)
    tables = tables_of(catalogue)
    original = list(matrix(access, tables))
    tried = dict(mutants(access))
    alive = [
        name
        for name, mutant in tried.items()
        if all(made == right for made, right in zip(matrix(mutant, tables), original, strict=True))
    ]
    assert len(tried) > 120
    assert len(alive) <= len(tried) * 0.05, alive


def test_an_outcome_never_grows_when_a_rule_is_added(catalogue):
    access = parse_access(ACCESS, "catalog/access.yaml", catalogue)
    columns = tuple(Column.of(field) for field in catalogue.models["curated.person"].contract.fields)
    order = ("none", "aggregate_only", "mask", "raw")
    closing = access.rule("no-phones").model_copy(
        update={"id": "more", "where": Where(levels=tuple(Level)), "roles": ("statistician",)}
    )
    narrowed = access.model_copy(update={"rules": (*access.rules, closing)})
    for subject, purpose in MATRIX:
        before = Decider(access).decide(subject, purpose, "curated.person", columns, at=NOW)
        after = Decider(narrowed).decide(subject, purpose, "curated.person", columns, at=NOW)
        for name in before:
            assert order.index(after[name].outcome.kind) <= order.index(before[name].outcome.kind)
            assert after[name].outcome != RAW or before[name].outcome == RAW
