"""A graph answer as one SVG: a box for each table, layered from the sources on the left to the last user on the
right. Pure.

Static and offline: no script, no font, nothing to fetch. Boxes never overlap; lines run beneath them. Solid lines
carry values (grey identity, blue transformation, green aggregation), dashed ones decide rows or conditions, and a
thick red one masks.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from governance.lineage.graph import ROWS, Answer, Link, Node

ROW, TITLE, PAD, GAP_X, GAP_Y, MARGIN = 20, 26, 10, 110, 22, 16
_CHAR = 6.7
_COLOURS = {"IDENTITY": "#5b6470", "TRANSFORMATION": "#1f6feb", "AGGREGATION": "#1a7f37"}
_INDIRECT, _MASKED = "#9a6700", "#cf222e"
_LEGEND = (
    ("identity", _COLOURS["IDENTITY"], False),
    ("transformation", _COLOURS["TRANSFORMATION"], False),
    ("aggregation", _COLOURS["AGGREGATION"], False),
    ("masking", _MASKED, False),
    ("decides rows or conditions", _INDIRECT, True),
)


@dataclass(frozen=True, slots=True)
class Box:
    """One table of the picture, with its columns from top to bottom."""

    table: str
    columns: tuple[str, ...]
    x: float
    y: float
    width: float

    @property
    def height(self) -> float:
        return TITLE + ROW * len(self.columns) + 6

    def row_y(self, column: str) -> float:
        """Height of the middle of a column's line."""
        return self.y + TITLE + ROW * (self.columns.index(column) + 0.5)


def picture(answer: Answer) -> str:
    """The SVG element as text. The same answer gives the same picture."""
    boxes = layout(answer)
    height = max(b.y + b.height for b in boxes.values()) + MARGIN + 26
    legend_width = MARGIN + sum(44 + _text_width(name) for name, _, _ in _LEGEND)
    width = max(max(b.x + b.width for b in boxes.values()) + MARGIN + 30, legend_width)
    links = "".join(_link(link, boxes) for link in answer.links)
    drawn = "".join(_box(box, answer.root) for box in boxes.values())
    title = f"{'Origin' if answer.direction == 'upstream' else 'Use'} of {answer.root}"
    state = "complete" if answer.complete else "not complete: " + "; ".join(answer.cut)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="lineage" role="img" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="ui-sans-serif, system-ui, sans-serif" font-size="12">'
        f"<title>{escape(title)} ({escape(state)})</title>"
        f'<rect width="100%" height="100%" fill="#ffffff"/>{links}{drawn}{_legend(height - 14)}</svg>'
    )


def layout(answer: Answer) -> dict[str, Box]:
    """Where each table stands: the layer by its longest way to the root's table, within a layer one below the other."""
    columns: dict[str, set[str]] = {}
    for node in answer.nodes:
        columns.setdefault(node.table, set()).add(node.column)
    for link in answer.links:
        columns[link.target.table].add(link.target.column)
    layers = _layers(answer)
    boxes: dict[str, Box] = {}
    x = float(MARGIN)
    for tables in layers:
        ordered = sorted(tables, key=lambda table: (_middle(table, answer, boxes), table))
        y = float(MARGIN)
        width = max(_width(table, columns[table]) for table in ordered)
        for table in ordered:
            box = Box(table, tuple(sorted(columns[table], key=lambda c: (c == ROWS, c))), x, y, width)
            boxes[table] = box
            y += box.height + GAP_Y
        x += width + GAP_X
    return boxes


def _layers(answer: Answer) -> list[list[str]]:
    """Tables by layer, in the direction of the data. Links inside a table and links that close a circle do not
    count."""
    feeds: dict[str, set[str]] = {node.table: set() for node in answer.nodes}
    for link in answer.links:
        if link.source.table != link.target.table:
            feeds[link.target.table].add(link.source.table)
    rank: dict[str, int] = {}

    def ranked(table: str, way: frozenset[str]) -> int:
        if table not in rank:
            before = [ranked(s, way | {table}) + 1 for s in sorted(feeds[table]) if s not in way and s != table]
            rank[table] = max(before, default=0)
        return rank[table]

    for table in sorted(feeds):
        ranked(table, frozenset())
    last = max(rank.values())
    if answer.direction == "upstream":
        rank = {t: _pulled(t, feeds, rank, last) for t in rank}
    found: list[list[str]] = [[] for _ in range(max(rank.values()) + 1)]
    for table, number in sorted(rank.items()):
        found[number].append(table)
    return [layer for layer in found if layer]


def _pulled(table: str, feeds: Mapping[str, set[str]], rank: Mapping[str, int], last: int) -> int:
    """A table as far right as what it feeds allows, so that lines stay short."""
    after = [rank[t] for t, sources in feeds.items() if table in sources and rank[t] > rank[table]]
    return min(after) - 1 if after else (last if rank[table] == last else rank[table])


def _middle(table: str, answer: Answer, boxes: Mapping[str, Box]) -> float:
    """Mean height of what feeds a table, to keep lines from crossing; tables without placed sources first, by name."""
    heights = [
        boxes[link.source.table].row_y(link.source.column)
        for link in answer.links
        if link.target.table == table and link.source.table in boxes and link.source.table != table
    ]
    return sum(heights) / len(heights) if heights else 0.0


def _box(box: Box, root: Node) -> str:
    parts = [
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="6" fill="#ffffff" '
        f'stroke="#8c959f"/><path d="M{box.x:.1f} {box.y + TITLE - 4:.1f}h{box.width:.1f}" stroke="#d0d7de"/>'
        f'<text x="{box.x + PAD:.1f}" y="{box.y + 16:.1f}" font-weight="600" fill="#1f2328">{escape(box.table)}</text>'
    ]
    for column in box.columns:
        y = box.row_y(column)
        if Node(box.table, column) == root:
            parts.append(
                f'<rect x="{box.x + 3:.1f}" y="{y - ROW / 2 + 1:.1f}" width="{box.width - 6:.1f}" height="{ROW - 2}" '
                'rx="4" fill="#fff8c5"/>'
            )
        label = "(rows)" if column == ROWS else column
        style = ' font-style="italic" fill="#57606a"' if column == ROWS else ' fill="#1f2328"'
        parts.append(f'<text x="{box.x + PAD:.1f}" y="{y + 4:.1f}"{style}>{escape(label)}</text>')
    return "<g>" + "".join(parts) + "</g>"


def _link(link: Link, boxes: Mapping[str, Box]) -> str:
    source, target = boxes[link.source.table], boxes[link.target.table]
    y1, y2 = source.row_y(link.source.column), target.row_y(link.target.column)
    x1 = source.x + source.width
    if source is target:
        path = f"M{x1:.1f} {y1:.1f}C{x1 + 26:.1f} {y1:.1f} {x1 + 26:.1f} {y2:.1f} {x1:.1f} {y2:.1f}"
    else:
        bend = max(40.0, abs(target.x - x1) / 2)
        path = f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {target.x - bend:.1f} {y2:.1f} {target.x:.1f} {y2:.1f}"
    direct = link.kind == "DIRECT"
    colour = _MASKED if link.masking and direct else _COLOURS[link.subtype] if direct else _INDIRECT
    dash = "" if direct else ' stroke-dasharray="4 3" opacity="0.75"'
    how = f"{link.source} → {link.target}: {link.subtype.lower().replace('_', ' ')}{', masked' if link.masking else ''}"
    width = 2.2 if link.masking and direct else 1.4
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}><title>{escape(how)}</title></path>'


def _legend(y: float) -> str:
    parts, x = [], float(MARGIN)
    for name, colour, dashed in _LEGEND:
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        parts.append(f'<path d="M{x:.1f} {y - 4:.1f}h22" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(f'<text x="{x + 28:.1f}" y="{y:.1f}" fill="#57606a">{name}</text>')
        x += 44 + _text_width(name)
    return "".join(parts)


def _width(table: str, columns: Iterable[str]) -> float:
    widest = max(
        [_text_width(table) * 1.16, *(_text_width(c) if c != ROWS else _text_width("(rows)") for c in columns)]
    )
    return widest + 2 * PAD


def _text_width(text: str) -> float:
    """Width at 12 px: wide (CJK) characters take two places.

    >>> _text_width("身份") == 2 * _text_width("id")
    True
    """
    return _CHAR * sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
