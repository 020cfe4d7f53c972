"""The rows that a window function computes with, as a list over the same window. Pure, on sqlglot trees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlglot import exp

from governance.develop.uses import named_window

_TAKES_ONE = (exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue)
_WHOLE = (exp.PercentRank, exp.CumeDist, exp.Ntile)


def window_rows(window: exp.Window, rows: exp.Expr, named: Mapping[str, exp.Expr]) -> exp.Expr:
    """The list of all that `rows` (a list for each row of the window's input) has where `window` computes with it.

    An aggregate computes with its frame (and its FILTER), `row_number` with the rows before and its own, `rank` with
    the rows before it without its peers, `lag` and its like with the row that they take, `ntile` and its like with the
    whole partition.
    """
    partition, order, spec = _defined(window, named)
    function: Any = window.this
    condition: exp.Expr | None = None
    nulls: type[exp.Expr] | None = None
    while isinstance(function, exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
        if isinstance(function, exp.Filter):
            condition = function.expression.this
        elif isinstance(function, exp.IgnoreNulls):
            nulls = exp.IgnoreNulls
        function = function.this
    if isinstance(function, _TAKES_ONE):
        taken = function.copy()
        value = exp.Case().when(function.this.copy().is_(exp.null()).not_(), rows.copy()) if nulls else rows.copy()
        taken.set("this", value)
        taken.set("default", None)
        made: exp.Expr = nulls(this=taken) if nulls else taken
        return _over(made, partition, order, spec)
    if isinstance(function, exp.RowNumber):
        spec = _before("ROWS", ties=False)
    elif isinstance(function, exp.Rank | exp.DenseRank):
        spec = _before("RANGE", ties=True)
    elif isinstance(function, _WHOLE):
        order = spec = None
    listed: exp.Expr = exp.ArrayAgg(this=rows.copy())
    if condition is not None:
        listed = exp.Filter(this=listed, expression=exp.Where(this=condition.copy()))
    return exp.Flatten(this=_over(listed, partition, order, spec))


def _defined(
    window: exp.Window, named: Mapping[str, exp.Expr]
) -> tuple[list[exp.Expr], exp.Expr | None, exp.Expr | None]:
    """Partition, order and frame, those of the named windows included."""
    definitions = (window, *named_window(window, dict(named)))
    partition = [p for d in definitions for p in d.args.get("partition_by") or ()]
    orders = [d.args["order"] for d in definitions if d.args.get("order")]
    specs = [d.args["spec"] for d in definitions if d.args.get("spec")]
    return partition, orders[0] if orders else None, specs[0] if specs else None


def _over(function: exp.Expr, partition: list[exp.Expr], order: exp.Expr | None, spec: exp.Expr | None) -> exp.Window:
    return exp.Window(
        this=function,
        partition_by=[p.copy() for p in partition],
        order=order.copy() if order is not None else None,
        spec=spec.copy() if spec is not None else None,
        over="OVER",
    )


def _before(kind: str, *, ties: bool) -> exp.WindowSpec:
    """From the start of the partition to the row itself."""
    return exp.WindowSpec(
        kind=kind,
        start="UNBOUNDED",
        start_side="PRECEDING",
        end="CURRENT ROW",
        exclude=exp.var("TIES") if ties else None,
    )
