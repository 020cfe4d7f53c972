"""Runs one build: reads the pinned inputs, streams the rows of the SELECT or step at the contract's types, judges them
and writes files; then the checks.

`build` is a worker's entry; `run` is the same in this process, for models that read no encrypted column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

from governance.catalog.rules import TableRule
from governance.catalog.types import Model
from governance.develop.evaluate import SOURCE, Evaluator
from governance.develop.inputs import connection, quoted
from governance.develop.output import FINDING_COLUMNS
from governance.develop.request import ANSWER, REQUEST, BuildAnswer, BuildRequest
from governance.develop.step import held_rows, require_columns, step_rows
from governance.keys.open import open_keystore
from governance.lake.lake import BATCH_ROWS, Lake
from governance.lake.specs import curated_spec
from governance.state.crash import crash_point
from governance.state.database import Database

FINDINGS = pa.schema(
    [
        ("check_name", pa.string()),
        ("token", pa.binary()),
        ("left_batch", pa.string()),
        ("left_row", pa.int64()),
        ("right_batch", pa.string()),
        ("right_row", pa.int64()),
    ]
)
"""The stream of a build: findings of its checks, positions and tokens only."""


def build(
    request: Mapping[str, Any],
    _inputs: Mapping[str, pa.RecordBatchReader],
    emit: Callable[[pa.RecordBatchReader], None],
) -> dict[str, Any]:
    """Entry of the worker: a `BuildRequest` as JSON text in, its answer out; emits the findings."""
    job = REQUEST.validate_json(request["job"])
    database = Database(job.settings.database_url)
    try:
        answer, findings = run(job, Lake(job.settings, database, open_keystore(job.settings, database)))
        emit(findings)
    finally:
        database.close()
    return {"answer": ANSWER.dump_json(answer).decode("utf-8")}


def run(job: BuildRequest, lake: Lake) -> tuple[BuildAnswer, pa.RecordBatchReader]:
    """Write the table and count its rules; the findings come as a stream that is read as it is asked for."""
    held = held_rows(job, lake) if _read_again(job) else None
    answer = _write(job, lake, held) if job.write else BuildAnswer((), 0, {})
    return answer, pa.RecordBatchReader.from_batches(FINDINGS, _findings(job, lake, held))


def typed_select(model: Model, source: str) -> str:
    """The statement that casts the model's rows (relation `source`) to the contract's types, tokens as they are.

    Columns come in the order of the lake's table.
    """
    types = {f.name: f.type.duckdb() for f in model.contract.fields}
    parts = []
    for column in curated_spec(model).columns:
        kind = types.get(column.name) if not column.type.startswith("fixed") else None
        name = exp.column(column.name, quoted=True)
        part: exp.Expr = exp.cast(name, kind, dialect="duckdb") if kind else name
        parts.append(exp.alias_(part, column.name, quoted=True))
    return exp.select(*parts).from_(exp.to_identifier(source, quoted=True)).sql("duckdb")


def _read_again(job: BuildRequest) -> bool:
    """Whether the rows of a step are read more than once, or by checks alone: a step gives them once."""
    if job.model.language != "python":
        return False
    return any(check.own for check in job.checks) or (
        job.write and any(isinstance(rule, TableRule) for rule in job.rules.rules)
    )


def _write(job: BuildRequest, lake: Lake, held: pa.Table | None) -> BuildAnswer:
    model, spec = job.model, curated_spec(job.model)
    names = [column.name for column in spec.columns]
    scratch = str(job.settings.scratch)
    python = model.language == "python"
    with (
        step_rows(job, lake) if python and held is None else nullcontext(held) as rows,
        connection(
            () if python else job.inputs,
            lake=lake,
            settings=job.settings,
            grant_id=job.grant_id,
            sensitive=job.sensitive,
        ) as con,
    ):
        _view_of_model(con, model, SOURCE, rows)
        evaluator = Evaluator(con, job.rules, code_sets=job.code_sets, targets=job.targets, lake=lake, scratch=scratch)
        try:
            with lake.writer(spec, f"{model.name}@{job.run}") as writer:
                for batch in con.sql(evaluator.statement()).to_arrow_reader(BATCH_ROWS):
                    writer.write(evaluator.count(batch, names))
                files = writer.close()
            metrics = evaluator.metrics()
        finally:
            evaluator.close()
    crash_point("develop.after_write")
    return BuildAnswer(files, sum(f.rows for f in files), metrics)


def _view_of_model(
    con: duckdb.DuckDBPyConnection, model: Model, name: str, rows: pa.RecordBatchReader | pa.Table | None
) -> None:
    """The model's rows at the contract's types: of its SELECT, or `rows` that its step made."""
    if rows is None:
        con.execute(f'CREATE VIEW "__model" AS {model.sql}')
    else:
        con.register("__model", rows)
        given = con.sql('SELECT * FROM "__model"')
        require_columns(tuple(zip(given.columns, map(str, given.types), strict=True)), model)
    con.execute(f"CREATE VIEW {name} AS {typed_select(model, '__model')}")


def _findings(job: BuildRequest, lake: Lake, held: pa.Table | None) -> Iterator[pa.RecordBatch]:
    for check in job.checks:
        with connection(
            check.inputs, lake=lake, settings=job.settings, grant_id=job.grant_id, sensitive=job.sensitive
        ) as con:
            if check.own:
                schema, _, table = job.model.name.partition(".")
                con.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
                _view_of_model(con, job.model, f"{quoted(schema)}.{quoted(table)}", held)
            con.execute(f'CREATE VIEW "__check" AS {check.sql}')
            there = set(con.sql('SELECT * FROM "__check" LIMIT 0').columns)
            parts = [f"{exp.Literal.string(check.name).sql('duckdb')} AS check_name"]
            for name, kind in FINDING_COLUMNS.items():
                parts.append(f"CAST({quoted(name) if name in there else 'NULL'} AS {kind}) AS {quoted(name)}")
            statement = f'SELECT {", ".join(parts)} FROM "__check"'  # noqa: S608 - fixed names, quoted literal
            for batch in con.sql(statement).to_arrow_reader(BATCH_ROWS):
                yield batch.cast(FINDINGS)
