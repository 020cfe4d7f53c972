"""`build`: one curated table from a pinned set of snapshots, judged as it is written, swapped in only on go.

    pin -> grant -> SELECT at the pin, written and judged (in a worker) -> verdict -> one unit of work:
    swap, build, validation, findings, run with its edges, ledger

Every step may be killed and `build` called again with the same run: the pin is found, the table is written again
under other file names, and a build that is recorded already is returned as it is. A stop leaves the previous snapshot
in force.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa
from sqlalchemy import Connection, insert, select

from governance.catalog import dimensions
from governance.catalog.rules import RowRules
from governance.catalog.types import Catalogue, Model
from governance.config import Settings
from governance.develop import pins
from governance.develop.analysis import Analysis
from governance.develop.execute import execute
from governance.develop.findings import count_by_check, replace_findings
from governance.develop.plan import pinned_tables, request_of, sound
from governance.keys.names import KeyStore
from governance.lake.lake import Lake, Prepared, TableChange
from governance.lake.specs import curated_spec
from governance.ledger.entry import Json, append
from governance.lineage.event import Assertion
from governance.lineage.record import record_run
from governance.state.crash import crash_point
from governance.state.database import Database
from governance.state.tables import build as build_table
from governance.state.tables import validation
from governance.state.values import BUILT, Actor, Built, Outcome, RuleMetric

Decide = Callable[[RowRules, Mapping[str, RuleMetric], int], tuple[Outcome, tuple[str, ...], str]]
"""(rules, metric by rule id, rows) -> (outcome, ids of what stopped or warned, GX validation result as JSON)."""


def build(
    model: Model,
    rules: RowRules,
    catalogue: Catalogue,
    *,
    settings: Settings,
    lake: Lake,
    database: Database,
    keystore: KeyStore,
    actor: Actor,
    decide: Decide,
) -> Built:
    """Build `model` for `actor.run`. The same run gives the same `Built`.

    Raises DeclarationError when the analysis has faults, NotReady when an input has no snapshot yet, Conflict when
    the table was built by another run meanwhile.
    """
    with database.read() as connection:
        known = find(connection, model.name, actor.run)
    if known is not None:
        return known
    analysis, checks = sound(model, catalogue)
    tables = pinned_tables(model, analysis, checks, rules, catalogue)
    pin = pins.resolve(model.name, tables, lake=lake, database=database, actor=actor)
    crash_point("develop.after_pin")
    lake.ensure(curated_spec(model))
    previous = lake.snapshot(model.name)
    job = request_of(model, rules, analysis, checks, pin, catalogue, settings)
    answer, found = execute(job, lake=lake, database=database, actor=actor)
    crash_point("develop.after_run")
    outcome, reasons, result = decide(rules, answer.metrics, answer.rows)
    prepared = None
    if outcome != "stop":
        old = tuple(f.path for f in lake.files(model.name, previous))
        prepared = lake.prepare([TableChange(model.name, answer.files, old, base=previous)])
    built = Built(
        model=model.name,
        outcome=outcome,
        reasons=reasons,
        snapshot=prepared.snapshots[model.name] if prepared else None,
        pin=pin,
        files=answer.files,
        rows=answer.rows,
        edge_set=analysis.edges.id,
        metrics=answer.metrics,
        findings=found.num_rows,
    )
    commit = _Commit(built, prepared, result, found, model, rules, analysis, settings.lineage_namespace)
    with database.unit_of_work() as tx:
        _write(tx, commit, lake=lake, database=database, actor=actor)
        crash_point("develop.in_commit")
    crash_point("develop.after_commit")
    return built


def find(connection: Connection, model: str, run: str) -> Built | None:
    """The recorded build of a run, if there is one."""
    query = select(build_table.c.built).where(build_table.c.model == model, build_table.c.run == run)
    text = connection.execute(query).scalar_one_or_none()
    return BUILT.validate_json(text) if text is not None else None


@dataclass(frozen=True, slots=True)
class _Commit:
    """All that one unit of work writes."""

    built: Built
    prepared: Prepared | None
    result: str
    found: pa.Table
    model: Model
    rules: RowRules
    analysis: Analysis
    namespace: str


def _write(tx: Connection, commit: _Commit, *, lake: Lake, database: Database, actor: Actor) -> None:
    built, model, at = commit.built, commit.model, database.clock()
    if commit.prepared is not None:
        lake.swap(tx, commit.prepared)
    tx.execute(
        insert(build_table).values(
            model=model.name,
            run=actor.run,
            pin=built.pin.id,
            outcome=built.outcome,
            snapshot=built.snapshot,
            built=BUILT.dump_json(built).decode("utf-8"),
            recorded_at=at,
        )
    )
    counts = {"rows": built.rows, "findings": built.findings}
    tx.execute(
        insert(validation).values(
            subject=model.name,
            run=actor.run,
            outcome=built.outcome,
            rules_hash=commit.rules.hash,
            counts=json.dumps(counts),
            result=commit.result,
            dimensions=dimensions.to_json(dimensions.tallies(commit.result)),
            recorded_at=at,
        )
    )
    replace_findings(tx, model, built.pin, commit.found, at=at)
    versions = record_run(
        tx,
        actor=actor,
        stage="develop",
        batch=None,
        output=model.name,
        output_snapshot=built.snapshot,
        outcome=built.outcome,
        counts=counts,
        versions=_versions(commit),
        inputs={name: built.pin.snapshots[name] for name in commit.analysis.inputs},
        edges=commit.analysis.edges,
        at=at,
        namespace=commit.namespace,
        assertions=_assertions(commit.rules, built.metrics),
    )
    append(tx, "build", _facts(commit, versions), actor=actor, writer=database.writer, at=at)
    if model.lineage:
        append(tx, "lineage_declared", _declared(commit), actor=actor, writer=database.writer, at=at)


def _versions(commit: _Commit) -> dict[str, str]:
    model = commit.model
    return {
        "model": model.text_hash,
        "contract": model.contract.text_hash,
        "rules": commit.rules.hash,
        **{f"check:{check.name}": check.text_hash for check in model.checks},
    }


def _facts(commit: _Commit, versions: Mapping[str, str]) -> dict[str, Json]:
    built = commit.built
    names = tuple(check.name for check in commit.model.checks)
    return {
        "model": built.model,
        "outcome": built.outcome,
        "reasons": list(built.reasons),
        "snapshot": built.snapshot,
        "pin": built.pin.id,
        "snapshots": dict(built.pin.snapshots),
        "rows": built.rows,
        "findings": count_by_check(commit.found, names),
        "edge_set": built.edge_set,
        "versions": dict(versions),
    }


def _declared(commit: _Commit) -> dict[str, Json]:
    """What a person declares of a model's lineage, in the text of this hash."""
    model = commit.model
    columns: dict[str, Json] = {
        name: {"from": list(sources), "because": why} for name, (sources, why) in model.lineage.items()
    }
    return {"model": model.name, "text": model.text_hash, "edge_set": commit.built.edge_set, "columns": columns}


def _assertions(rules: RowRules, metrics: Mapping[str, RuleMetric]) -> tuple[Assertion, ...]:
    """Counts by rule for listeners; a rule that could not be evaluated is no success."""
    found = []
    for rule in rules.rules:
        metric = metrics.get(rule.id)
        if metric is not None and rule.kind != "table":
            column = rule.columns[0] if len(rule.columns) == 1 else None
            success = not metric.error and metric.unexpected == 0
            found.append(
                Assertion(
                    rule.id, rule.kind, success, column, rule.severity, expected="0", actual=str(metric.unexpected)
                )
            )
    return tuple(found)
