"""Policy mutants: a dropped rule, a dropped condition, a swapped mask. The access matrix must tell each from the
original.
"""

from __future__ import annotations

from governance.catalog.types import Level
from governance.policy.access import Where, parse_access
from governance.policy.decide import Column, Decider
from governance.policy.lattice import RAW, Outcome
from governance.policy.restrictions import Policy, compile_restrictions
from tests.policy.test_decide import ACCESS, MATRIX, NOW

SWAPS = ("raw", "none", "mask:replace-with-null", "mask:mask-to-fixed-value")


def matrix(access, columns):
    """The canonical documents of every subject and purpose of the matrix."""
    policy = Policy(Decider(access), columns, "")
    field_ids = {column.name: at for at, column in enumerate(columns, start=1)}
    return [
        compile_restrictions(
            [policy], subject=subject, purpose=purpose, table="curated.person", snapshot=1, field_ids=field_ids, at=NOW
        ).canonical
        for subject, purpose in MATRIX
    ]


def mutants(access):
    """Left out because nothing could tell them apart: obligations of what shows no row, another subject who sees
    nothing, aggregate_only made none (the query service gives nothing for both).
    """
    for at, rule in enumerate(access.rules):
        others = access.rules[:at] + access.rules[at + 1 :]
        yield f"{rule.id}: dropped", access.model_copy(update={"rules": others})
        changes = [
            {"action": Outcome.parse(text)}
            for text in SWAPS
            if Outcome.parse(text) != rule.action and (text, rule.action.kind) != ("none", "aggregate_only")
        ]
        if rule.row_filter is not None:
            changes.append({"row_filter": None})
        changes.append({"where": Where(levels=tuple(Level))})
        if rule.action.kind in ("mask", "raw"):
            changes.append({"obligations": type(rule.obligations)(max_rows=1)})
        changes += [{"purposes": tuple(p for p in rule.purposes if p != purpose)} for purpose in rule.purposes]
        changes.append({"valid_to": NOW})
        for change in changes:
            mutant = rule.model_copy(update=change)
            yield (
                f"{rule.id}: {change}",
                access.model_copy(update={"rules": (*access.rules[:at], mutant, *access.rules[at + 1 :])}),
            )
    for at, subject in enumerate(access.subjects):
        if subject.name in ("user:lost", "user:idle"):
            continue
        for change in ({"clearance": Level.L1}, {"roles": ()}, {"attributes": {}}):
            changed = subject.model_copy(update=change)
            if changed != subject:
                yield (
                    f"{subject.name}: {change}",
                    access.model_copy(
                        update={"subjects": (*access.subjects[:at], changed, *access.subjects[at + 1 :])}
                    ),
                )


def test_the_access_matrix_kills_the_mutants(catalogue):
    access = parse_access(ACCESS, "catalog/access.yaml", catalogue)
    columns = tuple(Column.of(field) for field in catalogue.models["curated.person"].contract.fields)
    original = matrix(access, columns)
    tried = dict(mutants(access))
    alive = [name for name, mutant in tried.items() if matrix(mutant, columns) == original]
    assert len(tried) > 60
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
