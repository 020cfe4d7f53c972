"""Small pictures as inline SVG: a sparkline for a row of a table, a chart for a panel. Scores and dates alone, no value of the data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from markupsafe import Markup

from governance.pipeline.report.trend import Points

LEAST_SPAN = 2.0
"""A picture is at least two points of a hundred high, so that a small change looks small."""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 260, 92, 34, 16


def sparkline(points: Points, *, width: int = 84, height: int = 20, what: str = "by run 按运行") -> Markup:
    """A line without axes; empty when there are fewer than two points.

    >>> sparkline(())
    Markup('')
    """
    if len(points) < 2:
        return Markup("")
    values = [value for _, value in points]
    low, high = _bounds(values)
    coordinates = _line(values, low, high, 2, width - 4, 3, height - 6)
    last = coordinates[-1]
    told = f"{values[0]:.1f} – {values[-1]:.1f}, {what}"
    return Markup(
        f'<svg class="spark" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" aria-label="{told}">'
        f'<title>{told}</title><polyline points="{_text(coordinates)}"/><circle cx="{last[0]:.1f}" cy="{last[1]:.1f}" r="1.8"/></svg>'
    )


def chart(points: Points, *, unit: str = "") -> Markup:
    """A line with its highest and lowest value and its first and last day; a note when there are fewer than two points."""
    if len(points) < 2:
        return Markup('<p class="soft none">no trend yet <span lang="zh">尚无趋势</span></p>')
    values = [value for _, value in points]
    low, high = _bounds(values)
    inner, tall = _WIDTH - _LEFT - 6, _HEIGHT - _BOTTOM - 8
    coordinates = _line(values, low, high, _LEFT, inner, 6, tall)
    floor = 6 + tall
    area = f"{_LEFT},{floor} {_text(coordinates)} {coordinates[-1][0]:.1f},{floor}"
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{values[0]:.1f}{unit} – {values[-1]:.1f}{unit}">',
        _rule(6, high),
        _rule(floor, low),
        f'<polygon points="{area}"/><polyline points="{_text(coordinates)}"/>',
        "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{2.4 if n == len(points) - 1 else 4}"{"" if n == len(points) - 1 else " class=hit"}>'
            f"<title>{day:%Y-%m-%d}: {value:.2f}{unit}</title></circle>"
            for n, ((x, y), (day, value)) in enumerate(zip(coordinates, points, strict=True))
        ),
        f'<text x="{_LEFT}" y="{_HEIGHT - 3}">{_short(points[0][0])}</text>',
        f'<text x="{_WIDTH - 6}" y="{_HEIGHT - 3}" text-anchor="end">{_short(points[-1][0])}</text></svg>',
    ]
    return Markup("".join(parts))


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """
    >>> _bounds([99.0, 99.5]), _bounds([10.0, 40.0]), _bounds([0.0, 0.0])
    ((97.5, 99.5), (10.0, 40.0), (0.0, 2.0))
    """
    low, high = min(values), max(values)
    floor = min(low, high - LEAST_SPAN)
    return (0.0, LEAST_SPAN) if low >= 0.0 > floor else (floor, high)


def _line(
    values: Sequence[float], low: float, high: float, left: float, wide: float, top: float, tall: float
) -> list[tuple[float, float]]:
    step = wide / (len(values) - 1)
    return [(left + n * step, top + tall * (high - value) / (high - low)) for n, value in enumerate(values)]


def _rule(y: float, value: float) -> str:
    text = f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"
    return (
        f'<line x1="{_LEFT}" x2="{_WIDTH - 6}" y1="{y}" y2="{y}"/>'
        f'<text x="{_LEFT - 4}" y="{y + 3}" text-anchor="end">{text}</text>'
    )


def _text(coordinates: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in coordinates)


def _short(day: date) -> str:
    return f"{day:%Y-%m-%d}"
