"""One tool of `suite_peers`, run by the peers' own Python: imports nothing of this project. Prints what the work took, as `measure.inside` does."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COLUMNS = [
    "order_id",
    "code",
    "name",
    "status",
    "region",
    "amount",
    "quantity",
    "ordered_on",
    "shipped_on",
    "lot",
    "seq",
    "email",
]


def gx_pandas(
    plain: str, codes: list[str], suite: list[dict[str, Any]], result_format: str = "SUMMARY"
) -> Callable[[], int]:
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("p").add_parquet_asset("sales", path=plain)
    return _validated(context, asset.add_batch_definition("whole"), codes, suite, result_format)


def gx_pandas_positions(plain: str, codes: list[str], suite: list[dict[str, Any]]) -> Callable[[], int]:
    return gx_pandas(plain, codes, suite, "COMPLETE")


def gx_sql(plain: str, codes: list[str], suite: list[dict[str, Any]]) -> Callable[[], int]:
    """GX returns its cursor after the pooled connection is reset, and has no regex for DuckDB: one connection is kept, two conditions are registered."""
    import great_expectations as gx
    import sqlalchemy as sa
    from great_expectations.datasource.fluent import SQLDatasource
    from great_expectations.execution_engine import SqlAlchemyExecutionEngine
    from great_expectations.expectations.metrics import column_condition_partial
    from great_expectations.expectations.metrics.column_map_metrics import (
        ColumnValuesMatchRegex,
        ColumnValuesNotMatchRegex,
    )

    database = str(Path(plain).with_suffix(".duckdb"))
    Path(database).unlink(missing_ok=True)
    context = gx.get_context(mode="ephemeral")

    def kept(self: Any) -> Any:
        if not hasattr(self, "_kept"):
            self._kept = self.engine.connect()
        from contextlib import nullcontext

        return nullcontext(self._kept)

    SqlAlchemyExecutionEngine.get_connection = kept
    for metric, name, negated in (
        (ColumnValuesMatchRegex, "column_values.match_regex", False),
        (ColumnValuesNotMatchRegex, "column_values.not_match_regex", True),
    ):

        def condition(cls: Any, column: Any, regex: str, _negated: bool = negated, **_: Any) -> Any:
            matched = sa.func.regexp_matches(column, regex)
            return sa.not_(matched) if _negated else matched

        made = type(
            f"Duck{metric.__name__}",
            (metric,),
            {
                "_sqlalchemy": column_condition_partial(engine=SqlAlchemyExecutionEngine)(condition),
                "condition_metric_name": name,
            },
        )
        assert made
    engine = sa.create_engine(f"duckdb:///{database}")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE VIEW sales AS SELECT * FROM read_parquet('{plain}')"))  # noqa: S608
        connection.commit()
    engine.dispose()
    source = SQLDatasource(name="s", connection_string=f"duckdb:///{database}")
    source = context.data_sources.add_or_update_sql(name=source.name, connection_string=f"duckdb:///{database}")
    asset = source.add_table_asset("sales", table_name="sales")
    return _validated(context, asset.add_batch_definition_whole_table("whole"), codes, suite, "SUMMARY")


def _validated(
    context: Any, batch: Any, codes: list[str], suite: list[dict[str, Any]], result_format: str
) -> Callable[[], int]:
    from great_expectations.core.expectation_suite import ExpectationSuite

    region = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "region", "value_set": codes}}
    expectations = [{"type": one["type"], "kwargs": one["kwargs"]} for one in suite] + [region]
    made = context.suites.add(ExpectationSuite(name="s", expectations=expectations))

    def run() -> int:
        found = batch.get_batch().validate(made, result_format=result_format)
        errored = [r for r in found.results if (r.exception_info or {}).get("raised_exception")]
        if errored:
            raise SystemExit(f"{len(errored)} errored: {errored[0].expectation_config.type}")
        return sum(r.result.get("unexpected_count") or 0 for r in found.results)

    return run


def pandera(plain: str, codes: list[str], suite: list[dict[str, Any]]) -> Callable[[], int]:
    import pandera.polars as pa
    import polars as pl

    checks: dict[str, list[Any]] = {}
    nullable = {"order_id": False, "code": False, "name": False, "status": False, "region": False, "amount": False}
    for one in suite:
        kwargs, kind = one["kwargs"], one["type"].removeprefix("expect_column_value")
        found = {
            "s_to_match_regex": lambda k: pa.Check.str_matches(k["regex"]),
            "s_to_not_match_regex": lambda k: pa.Check(
                lambda d, r=k["regex"]: d.lazyframe.select(~pl.col(d.key).str.contains(r))
            ),
            "_lengths_to_equal": lambda k: pa.Check.str_length(k["value"], k["value"]),
            "_lengths_to_be_between": lambda k: pa.Check.str_length(k["min_value"], k["max_value"]),
            "s_to_be_in_set": lambda k: pa.Check.isin(k["value_set"]),
        }.get(kind)
        if found:
            checks.setdefault(kwargs["column"], []).append(found(kwargs))
    checks.setdefault("amount", []).append(pa.Check.in_range(0, 100000))
    checks.setdefault("quantity", []).append(pa.Check.in_range(1, 100))
    checks["region"] = [pa.Check.isin(codes)]
    columns = {
        n: pa.Column(checks=checks.get(n, []), nullable=nullable.get(n, True), unique=n == "order_id", required=True)
        for n in COLUMNS
    }
    order = pa.Check(lambda d: d.lazyframe.select(pl.col("shipped_on") >= pl.col("ordered_on")))
    schema = pa.DataFrameSchema(columns, checks=[order], unique=["lot", "seq"])

    def run() -> int:
        frame = pl.read_parquet(plain)
        try:
            schema.validate(frame, lazy=True)
        except pa.errors.SchemaErrors as errors:
            return len(errors.failure_cases)
        return 0

    return run


def pointblank(plain: str, codes: list[str], suite: list[dict[str, Any]]) -> Callable[[], int]:
    import pointblank as pb
    import polars as pl

    def run() -> int:
        v = pb.Validate(pl.read_parquet(plain))
        v = v.col_vals_not_null(columns=["order_id", "code", "name", "status", "region", "amount", "email"])
        v = v.rows_distinct(columns_subset=["order_id"]).rows_distinct(columns_subset=["lot", "seq"])
        v = v.col_vals_regex("code", "^[0-9]{17}[0-9X]$", na_pass=True)
        v = v.col_vals_regex("email", r"^[a-z0-9.]+@[a-z0-9]+\.[a-z]{2,}$", na_pass=True)
        v = v.col_vals_expr(expr=~pl.col("name").str.contains("[0-9]"))
        v = v.col_vals_expr(expr=pl.col("code").str.len_chars() == 18)
        v = v.col_vals_expr(expr=pl.col("name").str.len_chars().is_between(1, 20))
        v = v.col_vals_in_set("status", ["new", "paid", "sent", "done"]).col_vals_in_set("region", codes)
        v = v.col_vals_between("amount", 0, 100000, na_pass=True).col_vals_between("quantity", 1, 100, na_pass=True)
        v = v.col_vals_expr(expr=pl.col("ordered_on").is_between(pl.date(2020, 1, 1), pl.date(2027, 1, 1)))
        v = v.col_vals_expr(expr=pl.col("shipped_on") >= pl.col("ordered_on"))
        return sum(v.interrogate().n_failed().values())

    return run


def soda(plain: str, codes: list[str], suite: list[dict[str, Any]]) -> Callable[[], int]:
    """A Soda contract over a view of the file in DuckDB: what it has no check of its own for is an expression of failed rows. Sends nothing home."""
    import os

    import duckdb

    os.environ["SODA_CORE_TELEMETRY_ENABLED"] = "false"
    from soda_core.contracts.api import verify_contract_locally

    database = Path(plain).with_suffix(".soda.duckdb")
    database.unlink(missing_ok=True)
    with duckdb.connect(str(database)) as con:
        con.execute(f"CREATE VIEW sales AS SELECT * FROM read_parquet('{plain}')")  # noqa: S608
        con.execute("CREATE TABLE regions (code VARCHAR)")
        con.executemany("INSERT INTO regions VALUES (?)", [[code] for code in codes])
    source = database.with_suffix(".yml")
    source.write_text(json.dumps({"name": "bench", "type": "duckdb", "connection": {"database": str(database)}}))
    contract = database.with_suffix(".contract.yml")
    contract.write_text(json.dumps(soda_contract(suite), ensure_ascii=False))

    def run() -> int:
        found = verify_contract_locally(data_source_file_path=str(source), contract_file_path=str(contract))
        results = [one for result in found.contract_verification_results for one in result.check_results]
        if found.has_errors or len(results) != len(suite) + 1:
            raise SystemExit(f"{len(results)} of {len(suite) + 1} checks: {found.get_errors_str()}")
        return sum(not one.is_passed for one in results)

    return run


def soda_contract(suite: list[dict[str, Any]]) -> dict[str, Any]:
    """The suite as a Soda contract, one check an expectation; last the code set of 3,000, a table of its own (as a list it takes Soda minutes)."""
    columns: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
    whole: list[dict[str, Any]] = []
    for n, one in enumerate(suite):
        kwargs, kind = one["kwargs"], one["type"].removeprefix("expect_")
        tagged = {"qualifier": f"q{n}"}
        if kind == "column_values_to_not_be_null":
            limit = {"threshold": {"metric": "percent", "must_be_less_than": 15}} if "mostly" in kwargs else {}
            columns[kwargs["column"]].append({"missing": {**tagged, **limit}})
        elif kind == "column_values_to_be_unique":
            columns[kwargs["column"]].append({"duplicate": tagged})
        elif kind == "compound_columns_to_be_unique":
            whole.append({"duplicate": {**tagged, "columns": kwargs["column_list"]}})
        elif kind == "column_pair_values_a_to_be_greater_than_b":
            expression = f"{kwargs['column_A']} < {kwargs['column_B']}"
            whole.append({"failed_rows": {**tagged, "expression": expression}})
        elif kwargs["column"] == "ordered_on":
            low, high = kwargs["min_value"], kwargs["max_value"]
            expression = f"ordered_on < DATE '{low}' OR ordered_on > DATE '{high}'"
            whole.append({"failed_rows": {**tagged, "expression": expression}})
        else:
            columns[kwargs["column"]].append({"invalid": {**tagged, **_soda_valid(kind, kwargs)}})
    known = {"dataset": "bench/main/regions", "column": "code"}
    columns["region"].append({"invalid": {"qualifier": "codes", "valid_reference_data": known}})
    listed = [{"name": name, **({"checks": checks} if checks else {})} for name, checks in columns.items()]
    return {"dataset": "bench/main/sales", "columns": listed, "checks": whole}


def _soda_valid(kind: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    match kind:
        case "column_values_to_match_regex":
            return {"valid_format": {"regex": kwargs["regex"], "name": "pattern"}}
        case "column_values_to_not_match_regex":
            return {"invalid_format": {"regex": kwargs["regex"], "name": "pattern"}}
        case "column_value_lengths_to_equal":
            return {"valid_length": kwargs["value"]}
        case "column_value_lengths_to_be_between":
            return {"valid_min_length": kwargs["min_value"], "valid_max_length": kwargs["max_value"]}
        case "column_values_to_be_in_set":
            return {"valid_values": kwargs["value_set"]}
        case "column_values_to_be_between":
            return {"valid_min": kwargs["min_value"], "valid_max": kwargs["max_value"]}
        case _:
            raise SystemExit(f"no check for {kind}")


def main(tool: str, plain: str, codes: str, suite: str) -> None:
    known = Path(codes).read_text().split()[1:]
    run = globals()[tool](plain, known, json.loads(Path(suite).read_text()))
    wall, cpu = time.monotonic(), time.process_time()
    found = run()
    took = {"wall_s": time.monotonic() - wall, "cpu_s": time.process_time() - cpu, "found": found}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("INSIDE", json.dumps({**took, "peak_mb": peak_mb}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
