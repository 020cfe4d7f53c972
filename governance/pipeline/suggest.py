"""What a dataset's rows suggest to expect of them, and a steward's yes or no to each proposal.

The rows that were let in are read under a grant of `service:manage@<department>` with the purpose `pipeline.suggest`. What is accepted goes into the
dataset's suite as a warning; what is refused is remembered there (`meta.gov.refused`), and is not proposed again.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from governance.catalog.types import Dataset
from governance.errors import GovernanceError, NotReady
from governance.keys import grants
from governance.manage.suggest import Proposal, suggest
from governance.pipeline.context import Context
from governance.pipeline.quarantine import dataset_of
from governance.pipeline.quarantine_rows import connection
from governance.state.values import Actor

PURPOSE = "pipeline.suggest"


def proposals(context: Context, name: str) -> tuple[Proposal, ...]:
    """Proposals for a dataset that were not refused before. Raises NotReady when nothing was let in yet."""
    dataset = dataset_of(context, name)
    snapshot = context.lake.snapshot(name)
    if snapshot is None:
        raise NotReady("no batch was let in yet", where=name, do="gov run")
    there = {column.name for column in context.lake.schema(name, snapshot).columns}
    columns = [f.name for f in dataset.fields if f.name in there]
    actor = Actor(f"service:manage@{dataset.department}", PURPOSE, uuid.uuid4().hex)
    keys = sorted(context.lake.keys(name, snapshot, columns))
    with context.database.unit_of_work() as tx:
        grant = grants.issue(tx, actor=actor, keys=keys, database=context.database)
    try:
        with connection(context) as con:
            context.lake.bind(
                con, "stored", name, snapshot, [*columns, "_batch", "_row"], grant_id=grant.id, current=True
            )
            con.execute("CREATE TEMP TABLE rows AS SELECT * FROM stored")
            suite = context.catalogue.suites.get(name)
            known = _known(dataset, columns)
            found = suggest(con, known, suite, context.catalogue.code_sets)
    finally:
        with context.database.unit_of_work() as tx:
            grants.revoke(tx, grant.id, actor=actor, database=context.database)
    refused = set(_document(_file(context, dataset), name).get("meta", {}).get("gov", {}).get("refused", []))
    return tuple(proposal for proposal in found if proposal.key not in refused)


def decide(context: Context, name: str, *, accepted: Sequence[Proposal], refused: Sequence[Proposal]) -> Path:
    """Write both decisions into the suite file, which is made when there is none. Raises GovernanceError for a proposal that belongs into the
    contract.
    """
    for proposal in accepted:
        if proposal.expectation is None:
            raise GovernanceError(
                f"{proposal.column}: {proposal.says}", where=name, do="this belongs into the contract: write it there"
            )
    file = _file(context, dataset_of(context, name))
    document = _document(file, name)
    for proposal in accepted:
        notes = f"Suggested by {proposal.rows:,} rows, of which {proposal.support:.2%} meet it."
        document["expectations"].append(
            {**(proposal.expectation or {}), "severity": "warning", "meta": {"notes": notes}}
        )
    if refused:
        meta = document.setdefault("meta", {}).setdefault("gov", {})
        meta["refused"] = sorted({*meta.get("refused", []), *(proposal.key for proposal in refused)})
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    draft.replace(file)
    return file


def _known(dataset: Dataset, columns: Sequence[str]) -> Dataset:
    return replace(dataset, fields=tuple(f for f in dataset.fields if f.name in columns))


def _file(context: Context, dataset: Dataset) -> Path:
    return context.settings.expectations / dataset.department / f"{dataset.name.partition('.')[2]}.json"


def _document(file: Path, name: str) -> dict[str, Any]:
    if not file.is_file():
        return {"name": name, "expectations": []}
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
