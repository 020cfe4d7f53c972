"""GX's expectations about single rows, each as one function `Call -> Compiled`. NULLs count as GX counts them on SQL."""

from __future__ import annotations

from itertools import combinations

from sqlglot import exp

from governance.catalog.types import Field
from governance.manage.call import Call, Compiled, counted, present
from governance.manage.kwargs import check_order
from governance.manage.patterns import as_python_reads, check_pattern
from governance.manage.sql import (
    Node,
    Unfit,
    all_of,
    any_of,
    between,
    call,
    cast,
    column,
    is_null,
    literal,
    needs_number,
    needs_order,
    needs_string,
    negate,
    not_null,
    number,
    text,
)


def to_be_null(c: Call) -> Compiled:
    field = c.field()
    return c.row([field], not_null(column(field.name)), speaks_of=None)


def to_not_be_null(c: Call) -> Compiled:
    field = c.field()
    return c.row([field], is_null(column(field.name)), speaks_of=None)


def to_be_in_set(c: Call) -> Compiled:
    return _one(c, negate(in_values(c.field(), c.values("value_set"))))


def to_not_be_in_set(c: Call) -> Compiled:
    return _one(c, in_values(c.field(), c.values("value_set")))


def to_be_between(c: Call) -> Compiled:
    return _one(c, _outside(c, c.field(), c.kwargs.get("min_value"), c.kwargs.get("max_value")))


def to_be_unique(c: Call) -> Compiled:
    field = c.field()
    return c.unique([field], speaks_of=present(field))


def lengths_to_equal(c: Call) -> Compiled:
    length = exp.Length(this=needs_string(c.field()))
    return _one(c, exp.NEQ(this=length, expression=number(int(c.kwargs["value"]))))


def lengths_to_be_between(c: Call) -> Compiled:
    low, high = c.kwargs.get("min_value"), c.kwargs.get("max_value")
    needs_string(c.field())
    return _one(
        c,
        length_outside(
            c.field(),
            None if low is None else int(low),
            None if high is None else int(high),
            strict_low=bool(c.kwargs.get("strict_min")),
            strict_high=bool(c.kwargs.get("strict_max")),
        ),
    )


def to_match_regex(c: Call) -> Compiled:
    return _one(c, negate(_found(c, c.kwargs["regex"])))


def to_not_match_regex(c: Call) -> Compiled:
    return _one(c, _found(c, c.kwargs["regex"]))


def to_match_regex_list(c: Call) -> Compiled:
    found = [_found(c, r) for r in c.values("regex_list")]
    return _one(c, negate(_match_on(c, found)))


def to_not_match_regex_list(c: Call) -> Compiled:
    return _one(c, any_of([_found(c, r) for r in c.values("regex_list")]))


def to_match_like_pattern(c: Call) -> Compiled:
    return _one(c, negate(_like(c, c.kwargs["like_pattern"])))


def to_not_match_like_pattern(c: Call) -> Compiled:
    return _one(c, _like(c, c.kwargs["like_pattern"]))


def to_match_like_pattern_list(c: Call) -> Compiled:
    return _one(c, negate(_match_on(c, [_like(c, p) for p in c.values("like_pattern_list")])))


def to_not_match_like_pattern_list(c: Call) -> Compiled:
    return _one(c, any_of([_like(c, p) for p in c.values("like_pattern_list")]))


def to_match_strftime_format(c: Call) -> Compiled:
    form = text(c.kwargs["strftime_format"])
    return _one(c, is_null(call("try_strptime", needs_string(c.field()), form)))


def to_be_json_parseable(c: Call) -> Compiled:
    return _one(c, negate(call("json_valid", needs_string(c.field()))))


def pair_a_greater_than_b(c: Call) -> Compiled:
    a, b = _comparable(*_pair(c))
    kind = exp.GTE if c.kwargs.get("or_equal") else exp.GT
    return _two(c, negate(kind(this=column(a.name), expression=column(b.name))))


def pair_equal(c: Call) -> Compiled:
    """A pair with one value missing is unequal, as in GX."""
    a, b = _comparable(*_pair(c))
    return _two(c, exp.NullSafeNEQ(this=column(a.name), expression=column(b.name)))


def pair_in_set(c: Call) -> Compiled:
    a, b = _pair(c)
    pairs = [exp.paren(all_of([_equals(a, left), _equals(b, right)])) for left, right in c.values("value_pairs_set")]
    return _two(c, negate(any_of(pairs)))


def compound_unique(c: Call) -> Compiled:
    fields = c.fields()
    speaks_of = counted(fields, c.kwargs)
    return c.unique(fields, speaks_of=speaks_of or exp.true())


def unique_within_record(c: Call) -> Compiled:
    fields = c.fields()
    same = [exp.EQ(this=column(a.name), expression=column(b.name)) for a, b in combinations(_one_type(fields), 2)]
    return _many(c, fields, any_of(same))


def multicolumn_equal(c: Call) -> Compiled:
    """A missing value among others is unequal, as in GX."""
    first, *others = _one_type(c.fields())
    different = [exp.NullSafeNEQ(this=column(first.name), expression=column(f.name)) for f in others]
    return _many(c, c.fields(), any_of(different))


def multicolumn_sum(c: Call) -> Compiled:
    fields = c.fields()
    total = _term(fields[0])
    for field in fields[1:]:
        total = exp.Add(this=total, expression=_term(field))
    return _many(c, fields, exp.NEQ(this=exp.paren(total), expression=number(c.kwargs["sum_total"])))


def in_values(field: Field, values: list[object]) -> Node:
    """TRUE where the column's value is one of `values`; a NULL among them stands for nothing."""
    literals: list[exp.Expression] = [literal(v, field.type) for v in values if v is not None]
    if not literals:
        raise Unfit("the set holds no value", "a list with at least one value")
    return exp.In(this=column(field.name), expressions=literals)


def matches(field: Field, pattern: str) -> Node:
    """TRUE where the RE2 pattern is found anywhere in the value, as GX and ODCS search."""
    return call("regexp_matches", needs_string(field), text(check_pattern(pattern)))


def length_outside(
    field: Field, low: int | None, high: int | None, *, strict_low: bool = False, strict_high: bool = False
) -> Node:
    """TRUE where the number of characters is outside the interval."""
    parts: list[Node] = []
    length = exp.Length(this=column(field.name))
    if low is not None:
        parts.append((exp.LTE if strict_low else exp.LT)(this=length.copy(), expression=number(low)))
    if high is not None:
        parts.append((exp.GTE if strict_high else exp.GT)(this=length.copy(), expression=number(high)))
    if not parts:
        raise Unfit("neither a minimum nor a maximum", "at least one of them")
    return any_of(parts)


def _found(c: Call, pattern: str) -> Node:
    """A suite's pattern: GX reads it as Python does, whose classes know all of Unicode."""
    return matches(c.field(), as_python_reads(pattern))


def _one(c: Call, unexpected: Node) -> Compiled:
    field = c.field()
    return c.row([field], unexpected, speaks_of=present(field))


def _two(c: Call, unexpected: Node) -> Compiled:
    fields = _pair(c)
    return c.row(fields, unexpected, speaks_of=counted(fields, c.kwargs, pair=True))


def _many(c: Call, fields: tuple[Field, ...], unexpected: Node) -> Compiled:
    speaks_of = counted(fields, c.kwargs)
    return c.row(fields, unexpected, speaks_of=speaks_of)


def _pair(c: Call) -> tuple[Field, Field]:
    return c.field("column_A"), c.field("column_B")


def _one_type(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    kinds = sorted({f.type.kind for f in fields})
    if len(kinds) > 1:
        raise Unfit(f"the columns are of different types: {', '.join(kinds)}", "columns of one type")
    return fields


def _comparable(a: Field, b: Field) -> tuple[Field, Field]:
    """Two columns that DuckDB compares without converting one, which would fail on a value in the middle of a batch."""
    for kinds in ({"integer", "decimal", "double"}, {"date", "timestamp"}):
        if {a.type.kind, b.type.kind} <= kinds:
            return a, b
    _one_type((a, b))
    return a, b


def _term(field: Field) -> Node:
    """A column in a sum: integers are added wider than they are stored, so that no row's sum is too large."""
    node = needs_number(field)
    return cast(node, "HUGEINT") if field.type.kind == "integer" else node


def _outside(c: Call, field: Field, low: object, high: object) -> Node:
    needs_order(field)
    strict_low, strict_high = bool(c.kwargs.get("strict_min")), bool(c.kwargs.get("strict_max"))
    outside = between(field, low, high, strict_low=strict_low, strict_high=strict_high)[0]
    check_order(c.kwargs, instants=field.type.kind in ("date", "timestamp"))
    return outside


def _equals(field: Field, value: object) -> Node:
    if value is None:
        return is_null(column(field.name))
    return exp.EQ(this=column(field.name), expression=literal(value, field.type))


def _like(c: Call, pattern: str) -> Node:
    node: Node = exp.Like(this=needs_string(c.field()), expression=text(pattern))
    escape = c.kwargs.get("escape")
    return node if escape is None else exp.Escape(this=node, expression=text(escape))


def _match_on(c: Call, found: list[Node]) -> Node:
    return all_of(found) if c.kwargs.get("match_on") == "all" else any_of(found)
