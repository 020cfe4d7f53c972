"""Writes the TPC-DS queries and schema as DuckDB's extension has them, for `column_lineage_tpcds`. Runs in an environment of
its own, since the extension is bound to a version of DuckDB; the texts are TPC's and stay out of this repository.

    uv run --no-project --with duckdb==1.5.5 --with duckdb-extension-tpcds==1.5.5 python benchmarks/tpcds_texts.py FILE
"""

import json
import sys
from importlib.resources import files
from pathlib import Path

import duckdb


def main(target: Path) -> None:
    """One JSON object: `queries` (number -> text) and `tables` (name -> column -> type)."""
    extension = next((files("duckdb_extension_tpcds") / "extensions").rglob("tpcds.duckdb_extension"))
    con = duckdb.connect()
    con.execute(f"LOAD '{extension}'")
    con.execute("CALL dsdgen(sf = 0)")
    tables: dict[str, dict[str, str]] = {}
    query = (
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY 1, column_index"
    )
    for table, column, kind in con.execute(query).fetchall():
        tables.setdefault(table, {})[column] = kind
    queries = dict(con.execute("SELECT query_nr, query FROM tpcds_queries() ORDER BY 1").fetchall())
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"queries": queries, "tables": tables}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
