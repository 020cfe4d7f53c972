"""Brings a state database to the present schema with Alembic; its revisions are in `migrations/versions`."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Engine


def upgrade(engine: Engine) -> None:
    """Apply every revision that is missing. Safe to call from several processes on PostgreSQL and SQLite."""
    from alembic import command
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)  # one line a revision otherwise, in every task's log
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
