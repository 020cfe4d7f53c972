"""Tables on Parquet with Iceberg metadata: write files, prepare snapshots, swap them in the caller's unit of work, read
what a snapshot holds.

In: Arrow batches under a `TableSpec`. Out: `DataFile`s, snapshot ids, Arrow streams and DuckDB views. Sensitive columns
are encrypted one by one; what is current and which files a snapshot holds is asked of the state database. Start reading
in `lake.py`, then `writer.py`, `iceberg.py` (commits) and `reader.py`.
"""
