"""YAML text -> plain data whose every part knows its line. Pure; libyaml does the parsing.

Only what JSON can say, and no surprises: dates stay text, a key that stands twice is a fault, so are tags and recursive aliases.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from governance.errors import Fault

_LARGEST = sys.float_info.max
_MAX_NODES = 1_000_000
_MAX_DEPTH = 64
_STR, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_PLAIN = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "timestamp", "value"))


@dataclass(frozen=True, slots=True)
class Document:
    """Parsed data and the tree that it was made from."""

    data: Any
    root: yaml.Node | None

    def line(self, path: Sequence[str | int] = ()) -> int:
        """Line (from 1) of the key or item at `path`; of the nearest part above it when it is not there."""
        node, line = self.root, 1
        if node is not None:
            line = node.start_mark.line + 1
        for part in path:
            step = _step(node, part)
            if step is None:
                return line
            line, node = step
        return line


def parse_yaml(text: str, file: str) -> tuple[Document | None, tuple[Fault, ...]]:
    """The one document in `text` and what is wrong with its form. Document None: it could not be read at all."""
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        return None, (
            Fault(file, line, "", f"not YAML: {error.problem or error}", "one YAML document", "correct the file"),
        )
    except (yaml.YAMLError, RecursionError) as error:
        found = f"not YAML: {' '.join(str(error).split())}"
        return None, (Fault(file, 1, "", found, "one YAML document", "correct the file"),)
    if root is None:
        return Document(None, None), ()
    builder = _Builder(file)
    data = builder.build(root, ())
    return Document(data, root), tuple(builder.faults)


def dotted(path: Sequence[str | int]) -> str:
    """A path as people write it.

    >>> dotted(("schema", 0, "properties", 2, "name"))
    'schema.0.properties.2.name'
    """
    return ".".join(map(str, path))


def _step(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item.start_mark.line + 1, item
    return None


class _Builder:
    """Data from nodes; stops at `_MAX_NODES`, so that a few nested aliases cannot fill the memory."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []
        self.nodes = 0
        self.scalars = yaml.constructor.SafeConstructor()

    def build(self, node: yaml.Node, path: tuple[str | int, ...]) -> Any:
        self.nodes += 1
        if self.nodes > _MAX_NODES or len(path) > _MAX_DEPTH:
            if not self.faults or "too large" not in self.faults[-1].found:
                self._fault(
                    node,
                    path,
                    "too large or too deep when its aliases are written out",
                    "at most 64 levels",
                    "unfold it",
                )
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, path)
        return self._fault(node, path, f"the tag {node.tag}", "plain YAML without tags", "remove the tag")

    def _mapping(self, node: yaml.MappingNode, path: tuple[str | int, ...]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                parts = self.build(value, path)
                for part in parts if isinstance(parts, list) else [parts]:
                    merged = {**(part if isinstance(part, dict) else {}), **merged}
            elif not isinstance(key, yaml.ScalarNode):
                self._fault(key, path, "a key that is no text", "text", "write a plain key")
            elif key.value in data:
                self._fault(key, (*path, key.value), "a key that stands twice", "each key once", "remove one of them")
            else:
                data[key.value] = self.build(value, (*path, key.value))
        return {**merged, **data} if merged else data

    def _scalar(self, node: yaml.ScalarNode, path: tuple[str | int, ...]) -> Any:
        tag = node.tag
        if tag in _PLAIN:
            return node.value
        name = tag.rpartition(":")[2]
        if name == "null":
            return None
        if name == "bool":
            return self.scalars.construct_yaml_bool(node)
        if name in ("int", "float"):
            if ":" in node.value:  # YAML 1.1 reads 12:30 as a number to base 60
                return node.value
            try:
                construct = self.scalars.construct_yaml_int if name == "int" else self.scalars.construct_yaml_float
                number = construct(node)
            except ValueError:
                return node.value
            if not -_LARGEST <= number <= _LARGEST:  # an integer beyond every float is none that JSON's readers keep
                return self._fault(node, path, "not a finite number", "a number or text in quotes", "correct it")
            return number
        return self._fault(node, path, f"the tag {tag}", "plain YAML without tags", "remove the tag")

    def _fault(self, node: yaml.Node, path: tuple[str | int, ...], found: str, allowed: str, do: str) -> None:
        self.faults.append(Fault(self.file, node.start_mark.line + 1, dotted(path), found, allowed, do))
