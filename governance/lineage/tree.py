"""A graph answer as text: a tree from the root to the ends, and as JSON values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from governance.lineage.graph import ROWS, Answer, Link, Node


def lines(answer: Answer) -> Iterator[str]:
    """One line a step; a node that stands further up already is not unfolded again. The last line says whether this
    is all."""
    yield str(answer.root)
    yield from _below(answer.root, "", _steps(answer), answer.direction == "upstream", {answer.root})
    yield "complete" if answer.complete else "not complete: " + "; ".join(answer.cut)


def as_json(answer: Answer) -> dict[str, Any]:
    """The answer as JSON values."""
    return {
        "root": _node(answer.root),
        "direction": answer.direction,
        "complete": answer.complete,
        "cut": list(answer.cut),
        "ends": [_node(node) for node in answer.ends],
        "links": [
            {
                "source": _node(link.source),
                "target": _node(link.target),
                "type": link.kind,
                "subtype": link.subtype,
                "masking": link.masking,
                "stage": link.stage,
            }
            for link in answer.links
        ],
    }


def _node(node: Node) -> dict[str, str]:
    return {"table": node.table, "column": node.column}


def _steps(answer: Answer) -> dict[Node, list[Link]]:
    """Links by the node from which they are told: DIRECT ones first."""
    steps: dict[Node, list[Link]] = {}
    for link in sorted(answer.links, key=lambda link: (link.kind, link)):
        steps.setdefault(link.target if answer.direction == "upstream" else link.source, []).append(link)
    return steps


def _below(node: Node, indent: str, steps: Mapping[Node, list[Link]], upstream: bool, told: set[Node]) -> Iterator[str]:
    """The links of a node; upstream the rows of its table as one more branch, downstream what is made of its table as a whole."""
    branches: list[tuple[Node, str]] = []
    for link in steps.get(node, ()):
        reached = link.source if upstream else link.target
        how = f"{link.subtype}{' masked' if link.masking else ''}"
        branches.append((reached, f"{reached}  [{how}]"))
    rows = Node(node.table, ROWS)
    if upstream and node.column != ROWS and rows in steps:
        branches.append((rows, f"{rows}  [which rows there are]"))
    if not upstream and node.column != ROWS:
        whole = [link.target for link in steps.get(rows, ()) if link.target.column == ROWS]
        branches += [(target, f"{target}  [of the whole table]") for target in dict.fromkeys(whole)]
    for number, (reached, text) in enumerate(branches):
        last = number == len(branches) - 1
        again = reached in told and reached in steps
        yield f"{indent}{'└─ ' if last else '├─ '}{text}{'  (as above)' if again else ''}"
        if reached not in told:
            told.add(reached)
            yield from _below(reached, indent + ("   " if last else "│  "), steps, upstream, told)
