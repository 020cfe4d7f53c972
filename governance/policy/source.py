"""A declaration's text as data that knows its lines; faults of form are raised at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from governance.catalog.yaml_tree import Document, dotted, parse_yaml
from governance.errors import DeclarationError, Fault

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed document: plain data, and the line of each place in it."""

    file: str
    document: Document

    @property
    def data(self) -> Any:
        """The data; an empty mapping when the text is empty."""
        return {} if self.document.data is None else self.document.data

    def fault(self, place: Place, found: str, allowed: str = "", do: str = "") -> Fault:
        """A fault at `place`, or at the nearest part above it."""
        return Fault(self.file, self.document.line(place), dotted(place), found, allowed, do)


def read_yaml(text: str, file: str) -> Source:
    """`text` as data with lines. Raises DeclarationError when it is no YAML, has tags, or a key stands twice."""
    document, faults = parse_yaml(text, file)
    if faults or document is None:
        raise DeclarationError(faults)
    return Source(file, document)
