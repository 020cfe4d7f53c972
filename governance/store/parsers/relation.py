"""What every parser gives: a SELECT of raw values in the order of the original, and what it could not parse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa
from sqlglot import exp

from governance.catalog.types import Field
from governance.errors import GovernanceError, SourceContentError

LINE = "__line"
"""Column of a relation that carries broken lines among the others: the raw text of such a line, NULL for a parsed record."""

UNPARSED = pa.schema([("record", pa.int64()), ("line", pa.string())])
"""Lines that no parser accepts: number of the record in its original, from 1, and its raw text."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A file that is being parsed in one connection.

    `sql` is a SELECT in the order of the original with one column per wanted field, named by `raw_name`, and LINE where `has_lines`.
    `types` says which of them are typed already (the source's own DuckDB type by field name); all others are VARCHAR, empty text where
    the source has nothing to say or NULL. `rejected` gives the lines that are not in the relation, once it is read to its end; it
    raises what went wrong while the source was read, so that a short answer never counts as a whole one.
    """

    sql: str
    rejected: Callable[[], pa.Table]
    types: Mapping[str, str] = field(default_factory=dict)
    has_lines: bool = False
    ignored: tuple[str, ...] = ()
    """Columns of the source that the contract does not name."""
    doubtful: frozenset[str] = frozenset()
    """Fields that the start of the source does not have: missing columns when no record has a value for them."""
    source_error: Callable[[], BaseException | None] = lambda: None
    """What the source itself raised so far: it comes before what the engine makes of it."""


def raw_name(position: int) -> str:
    """The raw column of the field at `position` of the contract."""
    return f"__c{position}"


def quoted(name: str) -> str:
    """An identifier for DuckDB.

    >>> print(quoted('a "b" c'))
    "a ""b"" c"
    """
    return exp.to_identifier(name, quoted=True).sql("duckdb")


def literal(text: str) -> str:
    """A text literal for DuckDB.

    >>> literal("it's")
    "'it''s'"
    """
    return exp.Literal.string(text).sql("duckdb")


def places(header: Sequence[str], fields: Sequence[Field], where: str) -> tuple[dict[str, int], tuple[str, ...]]:
    """Position in `header` by field name, and the columns that no field names. Exact names first, then without regard to case.

    Raises SourceContentError that names every field whose column is missing, or is there twice: which one is meant, nobody knows.
    """
    exact: dict[str, int] = {}
    names = [name.strip() for name in header]
    if twice := sorted({f.source_name for f in fields if names.count(f.source_name) > 1}):
        raise SourceContentError(
            f"the source has more than one column {', '.join(twice)}",
            where=where,
            do="land a file that names each column once",
        )
    folded: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        exact[name] = position
        folded.setdefault(name.casefold(), []).append(position)
    found: dict[str, int] = {}
    missing = []
    for wanted in fields:
        close = folded.get(wanted.source_name.casefold(), [])
        if wanted.source_name in exact:
            found[wanted.name] = exact[wanted.source_name]
        elif len(close) == 1:
            found[wanted.name] = close[0]
        else:
            missing.append(wanted.source_name)
    if missing:
        raise SourceContentError(
            f"the source has no column {', '.join(missing)}",
            where=where,
            do="correct physicalName in the contract, or land a file that has it",
        )
    taken = set(found.values())
    return found, tuple(name for position, name in enumerate(names) if position not in taken)


def nothing_rejected() -> pa.Table:
    return UNPARSED.empty_table()


class Watched:
    """Batches of a source, remembering what it raised while an engine read them."""

    def __init__(self, batches: Iterable[pa.RecordBatch], broken: str, where: str) -> None:
        self._batches = batches
        self._said = SourceContentError(broken, where=where, do="land it again")
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._batches
        except (pa.ArrowException, OSError):
            self.error = self._said
            raise
        except GovernanceError as error:
            self.error = error
            raise


def from_reader(
    con: duckdb.DuckDBPyConnection,
    name: str,
    schema: pa.Schema,
    batches: Watched,
    found: Mapping[str, int],
    fields: Sequence[Field],
    ignored: tuple[str, ...],
) -> Relation:
    """The relation of a source that comes as Arrow with the wanted columns at `found`; their own types are kept."""
    con.register(name, pa.RecordBatchReader.from_batches(schema, batches))
    described = con.execute(f"DESCRIBE SELECT * FROM {quoted(name)}").fetchall()  # noqa: S608
    types = {f.name: str(described[found[f.name]][1]) for f in fields}
    columns = ", ".join(
        f"{quoted(described[found[f.name]][0])} AS {quoted(raw_name(position))}" for position, f in enumerate(fields)
    )
    typed = {column: kind for column, kind in types.items() if kind != "VARCHAR"}
    select = f"SELECT {columns} FROM {quoted(name)}"  # noqa: S608
    return Relation(select, nothing_rejected, typed, ignored=ignored, source_error=lambda: batches.error)
