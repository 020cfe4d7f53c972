"""A contract's servers -> the source that we can collect from. Pure.

The first server that we can read counts; None when there is none (such a dataset is declared, but cannot be collected). `override` is the home's
`[sources.<system>] location`: an address or database URL in place of the server's, or the folder in which the server's relative path (or the
last part of its address) is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit

from governance.catalog.types import DatabaseSource, FileSource, HttpSource, Source

FileFormat = Literal["csv", "jsonl", "excel", "parquet"]

_FORMATS: Mapping[str, FileFormat] = {
    "csv": "csv", "tsv": "csv", "txt": "csv", "jsonl": "jsonl", "ndjson": "jsonl", "jsonlines": "jsonl", "json": "jsonl", "excel": "excel",
    "xlsx": "excel", "xls": "excel", "xlsb": "excel", "ods": "excel", "parquet": "parquet",
}  # fmt: skip
_DRIVERS: Mapping[str, str] = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "redshift": "postgresql+psycopg",
    "cloudsql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "oracle": "oracle+oracledb",
    "sqlserver": "mssql+pyodbc",
    "synapse": "mssql+pyodbc",
}


def source_of(
    servers: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], table: str, override: str | None = None
) -> Source | None:
    """The source of `table` (its physical name) from (server, its `gov.` properties) pairs."""
    for server, ours in servers:
        source = _source(server, ours, table, override)
        if source is not None:
            return source
    return None


def holds_password(location: str) -> bool:
    """Whether an address has a password in the clear: one that is no `${VARIABLE}`.

    >>> holds_password("postgresql://li:s3cret@db/x"), holds_password("postgresql://li:${DB_PASSWORD}@db/x")
    (True, False)
    """
    try:
        password = urlsplit(location).password if "://" in location else None
    except ValueError:  # not an address: collecting from it will say so
        return False
    return bool(password) and re.fullmatch(r"\$\{\w+\}", str(password)) is None


def _source(server: Mapping[str, Any], ours: Mapping[str, Any], table: str, override: str | None) -> Source | None:
    kind = server["type"]
    url = ours.get("gov.url") or _database_url(kind, server)
    if url is not None:
        schema, _, name = str(ours.get("gov.table", table)).rpartition(".")
        return DatabaseSource(override or url, name, schema or server.get("schema"))
    location = str(server.get("location") or "")
    path = str(server.get("path") or "").replace("{model}", table)
    if location.startswith(("http://", "https://")):
        return _web(server, ours, location, path, override)
    if kind in ("local", "custom", "sftp", "s3", "azure") and (path or location) and "://" not in (path or location):
        return _file(server, ours, path or location, override)
    return None


def _web(
    server: Mapping[str, Any], ours: Mapping[str, Any], location: str, path: str, override: str | None
) -> Source | None:
    name = path or PurePosixPath(urlsplit(location).path).name
    if override is not None and not override.startswith(("http://", "https://")):
        return _file(server, ours, name, override)
    address = location if override is None else f"{override.rstrip('/')}/{name}" if override.endswith("/") else override
    match _format(server, ours, name):
        case ("csv" | "jsonl") as format:
            return HttpSource(address, format, _encoding(ours), _delimiter(server, ours, name))
        case _:
            return None


def _file(server: Mapping[str, Any], ours: Mapping[str, Any], path: str, override: str | None) -> Source | None:
    format = _format(server, ours, path)
    if format is None:
        return None
    if override is not None and "://" in override:
        if format not in ("csv", "jsonl"):
            return None
        address = f"{override}{PurePosixPath(path).name}" if override.endswith("/") else override
        return HttpSource(address, format, _encoding(ours), _delimiter(server, ours, path))
    location = path if override is None else str(PurePosixPath(override) / path)
    return FileSource(location, format, _encoding(ours), _delimiter(server, ours, path), ours.get("gov.sheet"))


def _format(server: Mapping[str, Any], ours: Mapping[str, Any], path: str) -> FileFormat | None:
    declared = ours.get("gov.format") or server.get("format")
    suffixes = [s.lstrip(".").lower() for s in PurePosixPath(path).suffixes if s.lower() != ".gz"]
    word = str(declared).lower() if declared else (suffixes[-1] if suffixes else "")
    return _FORMATS.get(word)


def _encoding(ours: Mapping[str, Any]) -> str:
    return str(ours.get("gov.encoding", "utf-8"))


def _delimiter(server: Mapping[str, Any], ours: Mapping[str, Any], path: str) -> str:
    declared = ours.get("gov.delimiter") or server.get("delimiter")
    if isinstance(declared, str) and len(declared) == 1:
        return declared
    words = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
    return words.get(str(declared), "\t" if path.lower().removesuffix(".gz").endswith(".tsv") else ",")


def _database_url(kind: str, server: Mapping[str, Any]) -> str | None:
    """SQLAlchemy URL of a server of the standard; who logs in comes from the environment or a `gov.url`."""
    location = str(server.get("location") or "")
    if kind == "custom" and "://" in location and not location.startswith(("http://", "https://", "file://", "s3://")):
        return location
    if kind not in _DRIVERS or "host" not in server:
        return None
    host = str(server["host"]) + (f":{server['port']}" if "port" in server else "")
    if kind == "oracle":
        return f"{_DRIVERS[kind]}://{host}/?service_name={server['serviceName']}"
    return f"{_DRIVERS[kind]}://{host}/{server['database']}"
