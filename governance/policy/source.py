"""YAML with the line of every key and item, read by libyaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from governance.errors import DeclarationError, Fault

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed document: plain `data` and the line (from 1) of each place in it."""

    file: str
    data: Any
    lines: Mapping[Place, int]

    def line(self, place: Place) -> int:
        """The line of `place`, or of the nearest place around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def fault(self, place: Place, found: str, allowed: str = "", do: str = "") -> Fault:
        return Fault(self.file, self.line(place), ".".join(map(str, place)), found, allowed, do)


def read_yaml(text: str, file: str) -> Source:
    """`text` as data with lines. Raises DeclarationError when it is no YAML or a key comes twice; empty text gives an
    empty mapping.
    """
    try:
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise DeclarationError(
            (Fault(file, line, "", f"not YAML: {getattr(error, 'problem', 'unreadable')}", "", "correct the file"),)
        ) from None
    lines: dict[Place, int] = {}
    faults: list[Fault] = []
    constructor = yaml.constructor.SafeConstructor()
    data = {} if node is None else _value(node, (), file, lines, faults, constructor)
    if faults:
        raise DeclarationError(tuple(faults))
    return Source(file, data, lines)


def _value(node: Any, place: Place, file: str, lines: dict[Place, int], faults: list[Fault], constructor: Any) -> Any:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            inner = (*place, key)
            if key in result:
                path = ".".join(map(str, inner))
                faults.append(Fault(file, key_node.start_mark.line + 1, path, "this key comes twice", "", "keep one"))
                continue
            lines[inner] = key_node.start_mark.line + 1
            result[key] = _value(value_node, inner, file, lines, faults, constructor)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*place, at), file, lines, faults, constructor) for at, item in enumerate(node.value)]
    return constructor.construct_object(node)
