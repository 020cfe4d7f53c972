"""`record_run`: a stage's run, its inputs, its column edges and its OpenLineage event, written in the transaction of
its commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, insert
from sqlalchemy.dialects import postgresql, sqlite

from governance.lineage.edges import EdgeSet
from governance.lineage.event import Assertion, RunFacts, complete_event
from governance.program import program
from governance.state.tables import edge, edge_set, outbox, run, run_input
from governance.state.texts import keep
from governance.state.values import Actor


def record_run(
    tx: Connection,
    *,
    actor: Actor,
    stage: str,
    batch: str | None,
    output: str,
    output_snapshot: int | None,
    outcome: str,
    counts: Mapping[str, int],
    versions: Mapping[str, str],
    inputs: Mapping[str, int | None],
    edges: EdgeSet | None,
    at: datetime,
    namespace: str,
    assertions: tuple[Assertion, ...] = (),
) -> dict[str, str]:
    """Record one output of one run; visible together with the caller's commit or not at all. Returns the versions as recorded: those
    given and `program`, the hash of the text that says which code ran.

    `inputs` maps dataset (or `<system>:<source>`) to the snapshot that was read, None when it has none.
    `counts["rows"]`, else `counts["passed"]`, becomes the output's row count. An edge set that is known already is
    only pointed at.
    """
    code = program()
    keep(tx, code.sha256, "program", code.text, at=at)
    versions = {**versions, "program": code.sha256}
    facts = RunFacts(
        actor, stage, batch, output, output_snapshot, outcome, counts, versions, inputs, edges, at, assertions
    )
    edge_set_id = keep_edges(tx, edges, at) if edges is not None else None
    row = tx.execute(
        insert(run).values(
            run=actor.run,
            stage=stage,
            subject=actor.subject,
            purpose=actor.purpose,
            batch=batch,
            output=output,
            output_snapshot=output_snapshot,
            outcome=outcome,
            counts=_json(counts),
            versions=_json(versions),
            edge_set=edge_set_id,
            recorded_at=at,
        )
    ).inserted_primary_key
    assert row is not None
    if inputs:
        rows = [{"run_row": row[0], "input": name, "snapshot": snapshot} for name, snapshot in sorted(inputs.items())]
        tx.execute(insert(run_input), rows)
    event = json.dumps(complete_event(facts, namespace=namespace), ensure_ascii=False, separators=(",", ":"))
    tx.execute(insert(outbox).values(event=event, recorded_at=at))
    return versions


def keep_edges(tx: Connection, edges: EdgeSet, at: datetime) -> str:
    """Write the set once; whoever comes second (also at the same moment, on PostgreSQL) writes nothing."""
    name = edges.id  # a hash over all of its edges: reckoned once, not once an edge
    values = {
        "id": name,
        "output": edges.output,
        "stage": edges.stage,
        "complete": edges.complete,
        "recorded_at": at,
    }
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    new = dialect.insert(edge_set).values(values).on_conflict_do_nothing(index_elements=["id"])
    written = tx.execute(new.returning(edge_set.c.id)).first()  # an INSERT's rowcount is told by SQLite alone
    if written is not None and edges.edges:
        rows = [
            {
                "edge_set": name,
                "input": e.input,
                "input_column": e.input_column,
                "output_column": e.output_column,
                "kind": e.kind,
                "subtype": e.subtype,
                "masking": e.masking,
            }
            for e in sorted(set(edges.edges))
        ]
        tx.execute(insert(edge), rows)
    return name


def _json(values: Mapping[str, int] | Mapping[str, str]) -> str:
    return json.dumps(dict(values), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
