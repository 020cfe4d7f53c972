"""Alembic's entry: runs on the connection that `state.migrate` hands over."""

from alembic import context

from governance.state import tables, tables_lake, tables_lineage, tables_use  # noqa: F401 - importing them registers every table
from governance.state.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite")
context.run_migrations()
