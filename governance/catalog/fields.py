"""The properties of a schema object -> fields. Pure. Nested properties stay inside: an object or array is one text column that holds JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from governance.catalog.column_types import column_type, is_iso, strptime_format
from governance.catalog.names import column_fault
from governance.catalog.properties import FIELD, read_properties
from governance.catalog.types import ColumnType, Field, Level, Reference, Severity
from governance.catalog.yaml_tree import Document, dotted
from governance.errors import Fault

Path_ = tuple[str | int, ...]

_SHORTHAND = re.compile(r"^(?:(?P<department>\w+)\.)?(?P<table>\w+)\.(?P<field>\w+)$")
_FULL = re.compile(r"^/?schema/(?P<table>[^/]+)/properties/(?P<field>[^/]+)$")


def read_fields(
    item: Mapping[str, Any],
    document: Document,
    file: str,
    path: Path_,
    *,
    department: str,
    names: Mapping[str, str],
    curated: bool = False,
) -> tuple[tuple[Field, ...], list[Fault]]:
    """The fields of one schema object. `names` maps the contract's schema objects to datasets, for references."""
    reader = _Reader(document, file, department, names, curated)
    fields = tuple(
        reader.field(entry, (*path, "properties", i)) for i, entry in enumerate(item.get("properties") or ())
    )
    reader.check_names(fields, path)
    return reader.with_positions(fields, item.get("properties") or (), path), reader.faults


class _Reader:
    def __init__(self, document: Document, file: str, department: str, names: Mapping[str, str], curated: bool) -> None:
        self.document, self.file, self.department, self.names, self.curated = document, file, department, names, curated
        self.faults: list[Fault] = []

    def field(self, entry: Mapping[str, Any], path: Path_) -> Field:
        ours, faults = read_properties(entry, FIELD, self.document, self.file, path)
        self.faults += faults
        kind = self._type(entry, path)
        options = entry.get("logicalTypeOptions") or {}
        minimum, exclusive_minimum = self._bound(options, "minimum", kind, path)
        maximum, exclusive_maximum = self._bound(options, "maximum", kind, path)
        level = str(entry.get("classification"))
        field = Field(
            name=entry["name"],
            type=kind,
            source_name=entry.get("physicalName") or entry["name"],
            required=entry.get("required", False),
            unique=entry.get("unique", False),
            classification=Level(level) if level in Level.__members__ else None,
            tags=tuple(entry.get("tags") or ()),
            domain=ours.get("gov.domain"),
            key_group=ours.get("gov.keyGroup"),
            code_set=ours.get("gov.codeSet"),
            check=ours.get("gov.check"),
            pattern=self._pattern(options, path),
            minimum=minimum,
            maximum=maximum,
            exclusive_minimum=exclusive_minimum,
            exclusive_maximum=exclusive_maximum,
            min_length=options.get("minLength"),
            max_length=options.get("maxLength"),
            exact=self._exact(options, kind, path),
            format=self._format(options, kind, path),
            references=self._reference(entry, path),
            sharing=ours.get("gov.sharing", "none"),
            open=ours.get("gov.open", False),
            severities=_severities(ours),
            description=entry.get("description") or entry.get("businessName") or "",
            line=self.document.line(path),
            id=entry.get("id", ""),
        )
        self._check_facts(field, path)
        return field

    def check_names(self, fields: tuple[Field, ...], path: Path_) -> None:
        seen: dict[str, str] = {}
        ids: dict[str, str] = {}
        tokens = {f.token_name.lower() for f in fields if f.token_name}
        for i, field in enumerate(fields):
            place: Path_ = (*path, "properties", i, "name")
            problem = column_fault(field.name, curated=self.curated)
            if problem:
                self._fault(
                    place,
                    f"{field.name!r}: {problem[0]}",
                    problem[1],
                    "rename it; physicalName keeps the source's name",
                )
            elif field.name.lower() in tokens:
                self._fault(
                    place, f"{field.name!r} is the token column of another field", "one of the two", "remove it"
                )
            if field.name.lower() in seen:
                found = f"{field.name!r} is a field already ({seen[field.name.lower()]!r}; case does not count)"
                self._fault(place, found, "each name once", "rename or remove one")
            seen.setdefault(field.name.lower(), field.name)
            if field.id and field.id in ids:
                self._fault(
                    (*path, "properties", i, "id"),
                    f"{field.id!r} is the id of {ids[field.id]!r}",
                    "each id once",
                    "change it",
                )
            ids.setdefault(field.id, field.name)

    def with_positions(self, fields: tuple[Field, ...], entries: Any, path: Path_) -> tuple[Field, ...]:
        """Fields with key positions 1..n: those that the contract numbers first, then the others as they stand."""
        numbered: dict[int, str] = {}
        order: list[tuple[int, int]] = []
        for i, entry in enumerate(entries):
            if not entry.get("primaryKey"):
                continue
            position = entry.get("primaryKeyPosition", -1)
            if position in numbered:
                place = (*path, "properties", i, "primaryKeyPosition")
                self._fault(
                    place, f"position {position} is {numbered[position]!r}'s", "each position once", "renumber the key"
                )
            if position > 0:
                numbered[position] = entry["name"]
            order.append((position if position > 0 else 1_000_000, i))
        positions = {i: n for n, (_, i) in enumerate(sorted(order), 1)}
        return tuple(
            replace(f, primary_key_position=positions[i]) if i in positions else f for i, f in enumerate(fields)
        )

    def _type(self, entry: Mapping[str, Any], path: Path_) -> ColumnType:
        kind = column_type(entry.get("logicalType"), entry.get("physicalType"))
        if kind is None:
            found = f"{entry.get('physicalType')!r} cannot be kept"
            self._fault((*path, "physicalType"), found, "DECIMAL(p,s) with p 1..38 and s 0..p", "correct it")
            return ColumnType("double")
        return kind

    def _bound(self, options: Mapping[str, Any], side: str, kind: ColumnType, path: Path_) -> tuple[str | None, bool]:
        """The tighter of an inclusive and an exclusive bound, as text, and whether it is exclusive."""
        exclusive_name = f"exclusive{side.capitalize()}"
        inclusive, exclusive = options.get(side), options.get(exclusive_name)
        if exclusive is None:
            return (None, False) if inclusive is None else (_number(inclusive), False)
        if inclusive is None:
            return _number(exclusive), True
        tighter = exclusive >= inclusive if side == "minimum" else exclusive <= inclusive
        return (_number(exclusive), True) if tighter else (_number(inclusive), False)

    def _pattern(self, options: Mapping[str, Any], path: Path_) -> str | None:
        pattern = options.get("pattern")
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                self._fault(
                    (*path, "logicalTypeOptions", "pattern"), f"not a regular expression: {error}", "", "correct it"
                )
        return pattern

    def _exact(self, options: Mapping[str, Any], kind: ColumnType, path: Path_) -> bool:
        """Whether `multipleOf` asks for no more places than the scale has; any other step is a fault, never left out in silence."""
        step = options.get("multipleOf")
        if step is None:
            return False
        if kind.kind != "decimal" or Decimal(str(step)) != Decimal(1).scaleb(-(kind.scale or 0)):
            allowed = "on a decimal, one unit of its last place, such as 0.01 of DECIMAL(18,2)"
            self._fault(
                (*path, "logicalTypeOptions", "multipleOf"), f"{step} on {kind.duckdb()}", allowed, "correct it"
            )
        return True

    def _format(self, options: Mapping[str, Any], kind: ColumnType, path: Path_) -> str | None:
        declared = options.get("format")
        if declared is None or kind.kind not in ("date", "timestamp") or is_iso(declared):
            return None
        translated = strptime_format(declared)
        if translated is None:
            allowed = "letters of yyyy MM dd HH mm ss SSS, or strptime's %Y %m %d ..."
            self._fault(
                (*path, "logicalTypeOptions", "format"), f"{declared!r} cannot be read", allowed, "write it with these"
            )
        return translated

    def _reference(self, entry: Mapping[str, Any], path: Path_) -> Reference | None:
        """The first reference that names a field of one of our datasets; those into other people's files are left alone."""
        for relationship in entry.get("relationships") or ():
            to = relationship["to"]
            if not isinstance(to, str):
                to = to[0] if len(to) == 1 else ""
            match = _SHORTHAND.match(to)
            if match and match["department"]:
                return Reference(f"{match['department']}.{match['table']}", match["field"])
            match = match or _FULL.match(to)
            if match:
                table = match["table"]
                return Reference(self.names.get(table, f"{self.department}.{table}"), match["field"])
        return None

    def _check_facts(self, field: Field, path: Path_) -> None:
        if field.domain and field.type.kind not in ("string", "integer"):
            found = f"gov.domain on a {field.type.kind}"
            self._fault(path, found, "an identifier is a string or an integer", "correct the type or remove the domain")
        if field.min_length is not None and field.max_length is not None and field.min_length > field.max_length:
            place = (*path, "logicalTypeOptions", "minLength")
            self._fault(place, "minLength is above maxLength", "a range that some value fits", "correct one of them")

    def _fault(self, path: Path_, found: str, allowed: str, do: str) -> None:
        self.faults.append(Fault(self.file, self.document.line(path), dotted(path), found, allowed, do))


def _severities(ours: Mapping[str, Any]) -> Mapping[str, Severity]:
    return {n.removeprefix("gov.severity."): v for n, v in ours.items() if n.startswith("gov.severity.")}


def _number(value: Any) -> str:
    """A bound as text: numbers without an exponent, dates as they stand.

    >>> _number(1e22), _number(0.1), _number("2020-01-01")
    ('10000000000000000000000', '0.1', '2020-01-01')
    """
    return value if isinstance(value, str) else format(Decimal(repr(value)), "f")
