"""One contract's text -> its datasets and its faults. Pure: what needs other files is left to `links`.

A contract with one schema object is the dataset that its file is named after; one with several is as many datasets, named after the objects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from governance.catalog.fields import read_fields
from governance.catalog.names import CURATED, name_fault
from governance.catalog.properties import DATASET, SERVER, read_properties
from governance.catalog.servers import holds_password, source_of
from governance.catalog.service_level import Period, entries, period_of
from governance.catalog.standard import violations
from governance.catalog.types import Dataset, LoadMode, Source
from governance.catalog.yaml_tree import Document, dotted, parse_yaml
from governance.errors import Fault

_CYCLES: Mapping[str, str] = {
    **dict.fromkeys(("h", "hr", "hour", "hours", "hourly", "@hourly"), "hourly"),
    **dict.fromkeys(("d", "day", "days", "daily", "@daily"), "daily"),
    **dict.fromkeys(("w", "week", "weeks", "weekly", "@weekly"), "weekly"),
    **dict.fromkeys(("m", "mo", "month", "months", "monthly", "@monthly"), "monthly"),
    **dict.fromkeys(("y", "year", "years", "yearly", "annually", "@yearly", "@annually"), "yearly"),
}


@dataclass(frozen=True, slots=True)
class Parsed:
    """What one contract's file gives: every dataset that could be read, and every fault."""

    datasets: tuple[Dataset, ...]
    faults: tuple[Fault, ...]


def parse_contract(text: str, *, file: str, department: str, stem: str, sources: Mapping[str, str]) -> Parsed:
    """The datasets of the contract `text`. `sources` are the home's locations by system."""
    document, faults = parse_yaml(text, file)
    if document is None or faults:
        return Parsed((), faults)
    broken = tuple(
        Fault(file, document.line(v.path), dotted(v.path), v.found, v.allowed, v.do) for v in violations(document.data)
    )
    if broken:
        return Parsed((), broken)
    return _Reader(document, file, department, stem, sources, hashlib.sha256(text.encode("utf-8")).hexdigest()).read()


class _Reader:
    """Reads one contract that follows the standard."""

    def __init__(
        self, document: Document, file: str, department: str, stem: str, sources: Mapping[str, str], text_hash: str
    ) -> None:
        self.document, self.file, self.department, self.stem = document, file, department, stem
        self.sources, self.text_hash = sources, text_hash
        self.contract: Mapping[str, Any] = document.data
        self.faults: list[Fault] = []

    def read(self) -> Parsed:
        objects = self.contract.get("schema") or []
        if not objects:
            self._fault(("schema",), "no schema object", "at least one", "say which fields the dataset has")
        names = self._names(objects)
        servers = self._servers()
        shared, faults = read_properties(self.contract, DATASET, self.document, self.file, ())
        self.faults += faults
        datasets = tuple(self._dataset(i, names, servers, shared) for i in range(len(objects)))
        return Parsed(datasets, tuple(self.faults))

    def _names(self, objects: list[Mapping[str, Any]]) -> dict[str, str]:
        """Schema object name -> dataset name."""
        if len(objects) == 1:
            self._check_name((), self.stem, "rename the file")
            return {objects[0]["name"]: f"{self.department}.{self.stem}"}
        names: dict[str, str] = {}
        for index, item in enumerate(objects):
            path = ("schema", index, "name")
            self._check_name(path, item["name"], "rename it")
            if item["name"] in names:
                self._fault(
                    path, f"{item['name']!r} is the name of another schema object", "each name once", "rename one"
                )
            names[item["name"]] = f"{self.department}.{item['name']}"
        return names

    def _servers(self) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        pairs: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
        for index, server in enumerate(self.contract.get("servers") or []):
            ours, faults = read_properties(server, SERVER, self.document, self.file, ("servers", index))
            self.faults += faults
            pairs.append((server, ours))
        return pairs

    def _dataset(
        self,
        index: int,
        names: Mapping[str, str],
        servers: list[tuple[Mapping[str, Any], Mapping[str, Any]]],
        shared: Mapping[str, Any],
    ) -> Dataset:
        item, path = self.contract["schema"][index], ("schema", index)
        own, faults = read_properties(item, DATASET, self.document, self.file, path)
        self.faults += faults
        ours = {**shared, **own}
        fields, faults = read_fields(
            item,
            self.document,
            self.file,
            path,
            department=self.department,
            names=names,
            curated=self.department == CURATED,
        )
        self.faults += faults
        if not fields:
            self._fault((*path, "name"), "no properties", "at least one", "say which fields the dataset has")
        system = str(ours.get("gov.system", self.department))
        dataset = Dataset(
            name=names[item["name"]],
            department=self.department,
            system=system,
            version=self.contract["version"],
            fields=fields,
            source=self._source(servers, item, system),
            file=self.file,
            text_hash=self.text_hash,
            load_mode=_load_mode(ours.get("gov.loadMode", "full")),
            watermark=ours.get("gov.watermark"),
            deduplicate="identical" if "gov.deduplicate" in ours else None,
            max_quarantine=float(ours.get("gov.maxQuarantine", 1.0)),
            owner=_owner(self.contract.get("team")),
            update_cycle=_update_cycle(self.contract.get("slaProperties") or (), item["name"]),
            frequency=self._agreed("frequency", item["name"]),
            latency=self._agreed("latency", item["name"]),
            min_rows=ours.get("gov.minRows"),
            max_rows=ours.get("gov.maxRows"),
            drift=_drift(ours.get("gov.drift")),
            description=item.get("description") or (self.contract.get("description") or {}).get("purpose") or "",
        )
        self._check_loading(dataset, path)
        return dataset

    def _agreed(self, name: Literal["frequency", "latency"], table: str) -> Period | None:
        """The period that the service level agrees on; a latency that is none is a fault (a frequency may be a cron line)."""
        for index, entry in entries(self.contract.get("slaProperties") or (), table, name):
            period = period_of(entry["value"], entry.get("unit"))
            if period is None and name == "latency":
                path = ("slaProperties", index, "value")
                allowed = "a number and a unit (minutes, h, d, w, m, y)"
                self._fault(path, f"{entry['value']!r} is no period", allowed, "correct it")
            return period
        return None

    def _source(
        self, servers: list[tuple[Mapping[str, Any], Mapping[str, Any]]], item: Mapping[str, Any], system: str
    ) -> Source | None:
        if self.department == CURATED:
            return None
        override = self.sources.get(system)
        source = source_of(servers, str(item.get("physicalName") or item["name"]), override)
        if (
            source is not None
            and source.kind == "database"
            and "://" not in source.location
            and "${" not in source.location
        ):
            found = f"[sources.{system}] has no database URL"
            self._fault(
                ("servers",), found, "a SQLAlchemy URL, e.g. postgresql://host/database", "correct it in gov.toml"
            )
        if source is not None and holds_password(source.location):
            found = "a password in the clear" + (f" in [sources.{system}] of gov.toml" if override else "")
            self._fault(
                ("servers",), found, "${NAME} of an environment variable in its place", "move it out of the file"
            )
        return source

    def _check_loading(self, dataset: Dataset, path: tuple[str | int, ...]) -> None:
        if dataset.keeps_versions and not dataset.key:
            place = self._property_path("gov.loadMode", path)
            found = f"load mode {dataset.load_mode} without a primary key"
            self._fault(place, found, "at least one field with primaryKey: true", "declare the key, or load it in full")
        if dataset.min_rows is not None and dataset.max_rows is not None and dataset.min_rows > dataset.max_rows:
            place = self._property_path("gov.minRows", path)
            self._fault(place, "more than gov.maxRows", f"at most {dataset.max_rows}", "correct one of them")
        if dataset.watermark is None:
            return
        place = self._property_path("gov.watermark", path)
        fields = {f.name: f for f in dataset.fields}
        if dataset.watermark not in fields:
            self._fault(
                place, f"{dataset.watermark!r} is not a field", ", ".join(fields), "name a field of the dataset"
            )
        elif fields[dataset.watermark].type.kind not in ("date", "timestamp", "integer"):
            found = f"{dataset.watermark!r} is a {fields[dataset.watermark].type.kind}"
            self._fault(place, found, "a field of type date, timestamp or integer", "name another field")

    def _property_path(self, name: str, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
        """Where the value of a `gov.` property of the schema object (else of the whole contract) stands."""
        for owner, place in ((self.contract["schema"][path[1]], path), (self.contract, ())):
            for index, entry in enumerate(owner.get("customProperties") or ()):
                if entry["property"] == name:
                    return (*place, "customProperties", index, "value")
        return path

    def _check_name(self, path: tuple[str | int, ...], name: str, do: str) -> None:
        problem = name_fault(name)
        if problem:
            self._fault(path, f"{name!r} is no name for a dataset: {problem[0]}", problem[1], do)

    def _fault(self, path: tuple[str | int, ...], found: str, allowed: str, do: str) -> None:
        self.faults.append(Fault(self.file, self.document.line(path), dotted(path), found, allowed, do))


def _drift(word: str | None) -> Literal["warn", "stop"] | None:
    return "stop" if word == "stop" else "warn" if word == "warn" else None


def _load_mode(word: str) -> LoadMode:
    return next(mode for mode in get_args(LoadMode) if mode == word)


def _owner(team: Any) -> str:
    """The team member with role steward, else owner; else nobody. A team is an object (v3.1) or a list of members (v3.0)."""
    members = team.get("members") or [] if isinstance(team, Mapping) else team or []
    for role in ("steward", "data steward", "owner", "data owner"):
        for member in members:
            if str(member.get("role", "")).lower() == role and "dateOut" not in member:
                return str(member["username"])
    return ""


def _update_cycle(agreed: Any, table: str) -> str | None:
    """hourly, daily, weekly, monthly, yearly, or `<n> <unit>`, from the service level `frequency`; None when nothing is agreed."""
    for _, entry in entries(agreed, table, "frequency"):
        value, unit = entry["value"], str(entry.get("unit") or "").lower()
        if isinstance(value, str):
            return _CYCLES.get(value.lower(), value)
        cycle = _CYCLES.get(unit)
        return cycle if value == 1 and cycle else f"{value} {unit or 'd'}"
    return None
