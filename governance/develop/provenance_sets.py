"""Sets of annotated rows: equal rows as one, rows that both sides have, rows that only the left has. Pure, on sqlglot trees."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from governance.develop.provenance_trees import PROVENANCE, concat, named, provenance


def grouped(query: exp.Query, names: Sequence[str], alias: str) -> exp.Select:
    """Equal rows of an annotated query as one, with the source rows of all of them."""
    columns = [exp.column(name, table=alias, quoted=True) for name in names]
    rows = exp.Flatten(this=exp.ArrayAgg(this=exp.column(PROVENANCE, table=alias, quoted=True)))
    made = exp.select(*_shown(names, alias), named(rows)).from_(query.subquery(alias))
    return made.group_by(*columns) if columns else made


def outer_tail(select: exp.Select, alias: str) -> dict[str, exp.Expr] | None:
    """ORDER BY, LIMIT and OFFSET of a SELECT DISTINCT, taken out of it, as they stand over `grouped` under `alias`. None when
    it is ordered by what it does not select.
    """
    tail = {part: select.args[part] for part in ("order", "limit", "offset") if select.args.get(part)}
    selected = {p.unalias().unnest(): p.alias_or_name for p in select.expressions}
    order = tail.get("order")
    for ordered in order.expressions if order is not None else ():
        bare = isinstance(ordered.this, exp.Column) and not ordered.this.table
        name = ordered.this.name if bare else selected.get(ordered.this.unnest())
        if name is None or name not in selected.values():
            return None
        ordered.set("this", exp.column(name, table=alias, quoted=True))
    for part in tail:
        select.set(part, None)
    return tail


def present(
    left: exp.Select, right: exp.Select, aliases: tuple[str, str], names: Sequence[str], rights: Sequence[str]
) -> exp.Select:
    """The left rows that have an equal on the right, with the source rows of both."""
    own, other = aliases
    rows = concat([provenance(own), provenance(other)])
    made = exp.select(*_shown(names, own), named(rows)).from_(left.subquery(own))
    return made.join(right.subquery(other), on=_equal(aliases, names, rights))


def absent(
    left: exp.Select,
    right: exp.Query,
    aliases: tuple[str, str],
    names: Sequence[str],
    rights: Sequence[str],
    absence: exp.Expr,
) -> exp.Select:
    """The left rows that have no equal on the right (as it stands), with `absence` for the rows that are not there."""
    own, other = aliases
    within = exp.select(exp.Literal.number(1)).from_(right.subquery(other)).where(_equal(aliases, names, rights))
    made = exp.select(*_shown(names, own), named(concat([provenance(own), absence]))).from_(left.subquery(own))
    return made.where(exp.Not(this=exp.Exists(this=within)))


def _shown(names: Sequence[str], alias: str) -> list[exp.Expr]:
    return [exp.alias_(exp.column(name, table=alias, quoted=True), name, quoted=True) for name in names]


def _equal(aliases: tuple[str, str], names: Sequence[str], rights: Sequence[str]) -> exp.Expr:
    """Whether two rows are equal, NULL to NULL."""
    own, other = aliases
    return exp.and_(
        *(
            exp.NullSafeEQ(
                this=exp.column(mine, table=own, quoted=True), expression=exp.column(theirs, table=other, quoted=True)
            )
            for mine, theirs in zip(names, rights, strict=True)
        )
    )
