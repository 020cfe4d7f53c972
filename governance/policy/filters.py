"""Row filters: a closed grammar over columns, literals and session attributes; two-valued, NULL satisfies no
comparison.

    {column: district, op: "=", value: "110101"}          op: =  !=  <  <=  >  >=
    {column: district, op: in, values: ["110101", ...]}   op: in  not_in
    {column: department, op: "=", session: department}    a session attribute (with in: a list) instead of a value
    {column: closed_on, op: is_null}                      op: is_null  not_null
    {and: [...]}  {or: [...]}  {not: ...}                 at most 8 levels and 256 nodes
                                                          a NULL satisfies neither a comparison nor `not` of it

What a rule's `consent` asks is a filter too (`Consented`); it is made by decisions and cannot be written here.

Session attributes are `name`, `department` and those of the subject. One that the subject lacks, that is empty, or that
has an empty or unfit part makes the whole filter refuse: `not_in` of nothing would be everybody. `bind` folds them away, and
every `not` with them; what is left prints as a DuckDB condition and as an Iceberg expression that mean the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from sqlglot import exp

from governance.catalog.types import ColumnType
from governance.errors import Refused
from governance.policy.operands import fits as fits
from governance.policy.operands import says_something

Scalar = str | int | bool
Comparison = Literal["=", "!=", "<", "<=", ">", ">="]
Membership = Literal["in", "not_in"]
Nullness = Literal["is_null", "not_null"]
MAX_DEPTH, MAX_NODES = 8, 256

_ICEBERG = {
    "=": "eq",
    "!=": "not-eq",
    "<": "lt",
    "<=": "lt-eq",
    ">": "gt",
    ">=": "gt-eq",
    "in": "in",
    "not_in": "not-in",
}
_OPPOSITE: Mapping[str, Comparison | Membership | Nullness] = {
    "=": "!=",
    "!=": "=",
    "<": ">=",
    ">=": "<",
    ">": "<=",
    "<=": ">",
    "in": "not_in",
    "not_in": "in",
    "is_null": "not_null",
    "not_null": "is_null",
}
COMPARES: Mapping[str, type[exp.Binary]] = {
    "=": exp.EQ,
    "!=": exp.NEQ,
    "<": exp.LT,
    "<=": exp.LTE,
    ">": exp.GT,
    ">=": exp.GTE,
}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)


class Compare(_Model):
    """One column against a literal, a list of literals, a session attribute or nothing."""

    column: str
    op: Literal[Comparison, Membership, Nullness]
    value: Scalar | None = None
    values: Annotated[tuple[Scalar, ...], Field(strict=False)] = ()
    session: str | None = None

    @model_validator(mode="after")
    def _operands(self) -> Compare:
        given = (self.value is not None) + bool(self.values) + (self.session is not None)
        if self.op in get_args(Nullness):
            if given:
                raise ValueError(f"{self.op} takes no value")
        elif given != 1:
            raise ValueError("give exactly one of value, values, session")
        elif (self.op in get_args(Membership)) and self.value is not None:
            raise ValueError(f"{self.op} takes values or session")
        elif self.op in get_args(Comparison) and self.values:
            raise ValueError(f"{self.op} takes value or session")
        return self


class And(_Model):
    parts: Annotated[tuple[Written, ...], Field(alias="and", min_length=1, strict=False)]


class Or(_Model):
    parts: Annotated[tuple[Written, ...], Field(alias="or", min_length=1, strict=False)]


class Not(_Model):
    part: Annotated[Written, Field(alias="not")]


class Consented(_Model):
    """Rows of persons, known by their token in `column`, whose consent to `scope` is recorded in this version of the set.

    Its condition asks a relation `relation` (one column of tokens). Whoever runs the condition has to provide it, or
    gets an error: nobody can forget it.
    """

    scope: str
    domain: str
    column: str
    version: str = ""

    @property
    def relation(self) -> str:
        return f"consent:{self.domain}:{self.scope}:{self.version}"


def _form(written: object) -> str:
    """Which form is meant: by its key, so that errors speak of that form alone."""
    if isinstance(written, Mapping):
        return next((f"{key}-filter" for key in ("and", "or", "not") if key in written), "comparison")
    forms: dict[type, str] = {And: "and-filter", Or: "or-filter", Not: "not-filter"}
    return forms.get(type(written), "comparison")


Written = Annotated[
    Annotated[Compare, Tag("comparison")]
    | Annotated[And, Tag("and-filter")]
    | Annotated[Or, Tag("or-filter")]
    | Annotated[Not, Tag("not-filter")],
    Discriminator(_form),
]
"""What access.yaml may say."""
RowFilter = Compare | And | Or | Not | Consented


def without_forms(place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The place of an error without what pydantic calls the forms of a filter."""
    return tuple(part for part in place if part not in ("comparison", "and-filter", "or-filter", "not-filter"))


And.model_rebuild()
Or.model_rebuild()
Not.model_rebuild()


def comparisons(row_filter: RowFilter) -> Iterator[Compare]:
    """Every comparison in it."""
    match row_filter:
        case Compare():
            yield row_filter
        case And() | Or():
            for part in row_filter.parts:
                yield from comparisons(part)
        case Not():
            yield from comparisons(row_filter.part)
        case Consented():
            return


def depth(row_filter: RowFilter) -> int:
    """Levels of nesting; a lone comparison is 1."""
    match row_filter:
        case Compare() | Consented():
            return 1
        case And() | Or():
            return 1 + max(map(depth, row_filter.parts))
        case Not():
            return 1 + depth(row_filter.part)


def bind(row_filter: RowFilter, session: Mapping[str, Any], types: Mapping[str, ColumnType]) -> RowFilter:
    """The filter without session attributes and without `not`. Raises Refused for an attribute that is missing or
    empty, or does not fit the column's type: all of it, whichever the operator.
    """
    match row_filter:
        case Compare(session=None) | Consented():
            return row_filter
        case Compare():
            assert row_filter.session is not None
            value = session.get(row_filter.session)
            many = row_filter.op in get_args(Membership)
            items = tuple(value) if isinstance(value, (list, tuple)) else (value,)
            kind = types[row_filter.column]
            fit = bool(items) and all(says_something(item) and fits(item, kind) for item in items)
            if not fit or (not many and len(items) != 1):
                raise Refused(
                    f"session attribute {row_filter.session} is missing, empty or does not fit the row filter",
                    do="ask the steward to complete the subject's attributes",
                )
            operands = {"values": items} if many else {"value": items[0]}
            return Compare(column=row_filter.column, op=row_filter.op, **operands)
        case And() | Or():
            parts: Any = tuple(bind(part, session, types) for part in row_filter.parts)
            return type(row_filter).model_construct(parts=parts)
        case Not():
            return bind(_negated(row_filter.part), session, types)


def condition(row_filter: RowFilter, types: Mapping[str, ColumnType]) -> exp.Expr:
    """A bound filter as a DuckDB condition that is TRUE or FALSE, never NULL, and cannot fail on any row."""
    match row_filter:
        case Compare():
            return _comparison(row_filter, types[row_filter.column])
        case And():
            return exp.and_(*(condition(part, types) for part in row_filter.parts))
        case Or():
            return exp.or_(*(condition(part, types) for part in row_filter.parts))
        case Not():
            return exp.not_(condition(row_filter.part, types))
        case Consented():
            return _consented(row_filter)


def iceberg(row_filter: RowFilter, field_ids: Mapping[str, int]) -> dict[str, Any]:
    """A bound filter as an Iceberg REST expression by field id. Where Iceberg would let NULL pass, `not-null` is
    added.
    """
    match row_filter:
        case Compare(op="is_null" | "not_null"):
            return {"type": row_filter.op.replace("_", "-"), "term": _term(row_filter, field_ids)}
        case Compare():
            many = row_filter.op in get_args(Membership)
            operand = {"values": list(row_filter.values)} if many else {"value": row_filter.value}
            made = {"type": _ICEBERG[row_filter.op], "term": _term(row_filter, field_ids), **operand}
            if row_filter.op in ("!=", "<", "<=", "not_in"):
                return {"type": "and", "left": {"type": "not-null", "term": made["term"]}, "right": made}
            return made
        case And() | Or():
            joined = iceberg(row_filter.parts[0], field_ids)
            kind = "and" if isinstance(row_filter, And) else "or"
            for part in row_filter.parts[1:]:
                joined = {"type": kind, "left": joined, "right": iceberg(part, field_ids)}
            return joined
        case Not():
            return {"type": "not", "child": iceberg(row_filter.part, field_ids)}
        case Consented():  # no expression of Iceberg's: a reader that does not know it must fail
            term = {"type": "reference", "id": field_ids[row_filter.column]}
            own = {"scope": row_filter.scope, "domain": row_filter.domain, "version": row_filter.version}
            return {"type": "gov:consented", "term": term, **own}


def _negated(row_filter: Written) -> Written:
    """What `not` of it means: each comparison turned round, so that a NULL passes neither (as in SQL)."""
    match row_filter:
        case Compare():
            operands = row_filter.model_dump(exclude={"op"})
            return Compare(op=_OPPOSITE[row_filter.op], **operands)
        case And() | Or():
            parts: Any = tuple(map(_negated, row_filter.parts))
            return (Or if isinstance(row_filter, And) else And).model_construct(parts=parts)
        case Not():
            return row_filter.part


def _comparison(compare: Compare, kind: ColumnType) -> exp.Expr:
    column = exp.column(exp.to_identifier(compare.column, quoted=True))
    if compare.op == "is_null":
        return exp.Is(this=column, expression=exp.null())
    if compare.op == "not_null":
        return exp.not_(exp.Is(this=column, expression=exp.null()))
    if compare.op in ("in", "not_in"):
        inside: exp.Expr = exp.In(this=column, expressions=[_literal(value, kind) for value in compare.values])
        made: exp.Expr = inside if compare.op == "in" else exp.not_(inside)
    else:
        made = COMPARES[compare.op](this=column, expression=_literal(compare.value, kind))
    return exp.Coalesce(this=exp.paren(made), expressions=[exp.false()])


def _consented(asked: Consented) -> exp.Expr:
    column = exp.column(exp.to_identifier(asked.column, quoted=True))
    tokens = exp.select("*").from_(exp.Table(this=exp.to_identifier(asked.relation, quoted=True)))
    return exp.Coalesce(this=exp.paren(exp.In(this=column, query=exp.Subquery(this=tokens))), expressions=[exp.false()])


def _literal(value: object, kind: ColumnType) -> exp.Expr:
    made = exp.convert(value)
    return exp.cast(made, kind.duckdb(), dialect="duckdb") if kind.kind != "boolean" else made


def _term(compare: Compare, field_ids: Mapping[str, int]) -> dict[str, Any]:
    return {"type": "reference", "id": field_ids[compare.column]}
