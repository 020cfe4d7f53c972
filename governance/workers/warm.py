"""What a child does once with DuckDB before it gives up files."""

from __future__ import annotations

import duckdb


def warm(con: duckdb.DuckDBPyConnection) -> None:
    """Load whatever Python and DuckDB load on first use: afterwards no file can be opened."""
    rows = con.sql("SELECT 1 AS one, DATE '2000-01-01' AS day, 1.5 AS number, now() AS at").to_arrow_reader(1)
    con.register("__warm", rows.read_all().to_reader())
    con.sql("SELECT * FROM __warm").to_arrow_reader(1).read_all()
    con.unregister("__warm")
