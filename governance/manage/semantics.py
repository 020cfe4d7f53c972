"""What a value means, checked in one vectorised expression: the names that a contract's `gov.check` may use.

    resident_number               GB 11643-1999: 17 digits and a check character (mod 11-2), a real date in positions 7-14
    credit_code                   GB 32100-2015: 18 characters without I, O, S, V, Z, a check character mod 31
    bank_card                     ISO/IEC 7812: 12 to 19 digits with the Luhn digit
    phone                         a mobile number of mainland China, with or without +86
    birth_date_of:<field>         this date is the one in that resident number
    sex_of:<field>                this code (GB/T 2261.1) is the one in that resident number
    division_valid_at:<field>     the division in this value was in force on that date

Several names are separated by commas. A NULL breaks nothing. What compares with a number says nothing about a number whose own check
fails: that is one fault, not two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from governance.catalog.rules import CodeSetRule, RowRule, Rule
from governance.catalog.types import CodeSet, Dataset, Field
from governance.manage.sql import Node, Unfit, all_of, column, not_null, render

_CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_DIVISIONS = "divisions"


@dataclass(frozen=True, slots=True)
class Check:
    """One name of `gov.check` with its argument."""

    name: str
    argument: str


def checks(field: Field) -> tuple[Check, ...]:
    """The checks of a field, in their order. Raises Unfit for an unknown name or a wrong argument.

    >>> from governance.catalog.types import ColumnType
    >>> checks(Field("no", ColumnType("string"), "no", check="resident_number, division_valid_at:born"))
    (Check(name='resident_number', argument=''), Check(name='division_valid_at', argument='born'))
    """
    found = []
    for part in (field.check or "").split(","):
        name, _, argument = part.strip().partition(":")
        if not name:
            continue
        if name not in NAMES:
            raise Unfit(f"unknown check '{name}'", ", ".join(NAMES))
        if bool(argument) != NAMES[name]:
            raise Unfit(
                f"check '{name}' {'needs' if NAMES[name] else 'takes no'} field",
                f"{name}{':<field>' if NAMES[name] else ''}",
            )
        found.append(Check(name, argument.strip()))
    return tuple(found)


def check_rules(dataset: Dataset, field: Field, code_sets: Mapping[str, CodeSet]) -> tuple[Rule, ...]:
    """The rules of a field's checks; their ids are `check:<field>:<name>`. Raises Unfit."""
    rules: list[Rule] = []
    for check in checks(field):
        rule_id, severity = f"check:{field.name}:{check.name}", field.severities.get("check", "quarantine")
        other = _other(dataset, check.argument) if check.argument else None
        if check.name == "division_valid_at":
            assert other is not None
            rules.append(_division(field, other, rule_id, code_sets))
            continue
        present = [not_null(column(f.name)) for f in (field, other) if f is not None]
        names = (field.name,) if other is None else (field.name, other.name)
        unexpected = _PLAIN[check.name](field) if other is None else _AGAINST[check.name](field, other)
        rules.append(RowRule(rule_id, severity, names, render(unexpected), render(all_of(present))))
    return tuple(rules)


def wrong(field: Field) -> str:
    """A condition (DuckDB) over the field's column that holds where a check of the value alone fails; NULL breaks nothing.

    >>> from governance.catalog.types import ColumnType
    >>> wrong(Field("no", ColumnType("string"), "no"))
    'FALSE'
    """
    plain = [_PLAIN[check.name](field) for check in checks(field) if not check.argument]
    return render(all_of([not_null(column(field.name)), exp.paren(exp.or_(*plain))])) if plain else "FALSE"


def divides(field: Field) -> bool:
    """Whether the field's code set is one of divisions inside the value, not of whole values."""
    return any(check.name == "division_valid_at" for check in checks(field))


def _resident_number(field: Field) -> Node:
    value = _string(field)
    return all_of([not_null(value), exp.Not(this=exp.paren(_valid_resident(value)))])


def _credit_code(field: Field) -> Node:
    return exp.Not(this=exp.paren(_valid_credit(_string(field))))


def _bank_card(field: Field) -> Node:
    """Two halves of ten digits each: from the right every second digit counts twice, less nine when that passes nine."""
    digit = "(n // {} % 10)"
    terms = [digit.format(10**place) for place in range(0, 10, 2)]
    for place in range(1, 10, 2):
        d = digit.format(10**place)
        terms.append(f"(2 * {d} - CASE WHEN {d} > 4 THEN 9 ELSE 0 END)")
    halves = ", ".join(f"TRY_CAST(substr(lpad(value, 20, '0'), {start}, 10) AS BIGINT)" for start in (1, 11))
    total = f"list_sum(list_transform([{halves}], lambda n: {' + '.join(terms)}))"
    return _on(_string(field), f"NOT (regexp_full_match(value, '[0-9]{{12,19}}') AND {total} % 10 = 0)")


def _phone(field: Field) -> Node:
    return _on(_string(field), r"NOT regexp_full_match(value, '((\+|00)?86[ -]?)?1[3-9][0-9]{9}')")


def _birth_date(field: Field, other: Field) -> Node:
    if field.type.kind != "date":
        raise Unfit(f"birth_date_of on a column of type {field.type.kind}", "a column of type date")
    born = _on(_string(other), "CAST(try_strptime(substr(value, 7, 8), '%Y%m%d') AS DATE)")
    return all_of([_valid_resident(_string(other)), exp.NEQ(this=column(field.name), expression=born)])


def _sex(field: Field, other: Field) -> Node:
    """Codes 1 and 2 of GB/T 2261.1, 男 and 女, M and F; other codes (unknown, unspecified) contradict nothing."""
    if field.type.kind not in ("string", "integer"):
        raise Unfit(f"sex_of on a column of type {field.type.kind}", "a column of type string or integer")
    male, female = ("'1', '男', 'M'", "'2', '女', 'F'") if field.type.kind == "string" else ("1", "2")
    odd = _on(_string(other), "TRY_CAST(substr(value, 17, 1) AS BIGINT) % 2 = 1")
    even = _on(_string(other), "TRY_CAST(substr(value, 17, 1) AS BIGINT) % 2 = 0")
    says_male = _on(column(field.name), f"value IN ({male})")
    says_female = _on(column(field.name), f"value IN ({female})")
    contradicts = exp.or_(exp.and_(says_male, even), exp.and_(says_female, odd))
    return all_of([_valid_resident(_string(other)), exp.paren(contradicts)])


def _division(field: Field, at: Field, rule_id: str, code_sets: Mapping[str, CodeSet]) -> CodeSetRule:
    """The first six characters of a number, the third to eighth of a credit code."""
    value = _string(field)
    names = {check.name for check in checks(field)}
    code_set = field.code_set or _DIVISIONS
    if code_set not in code_sets:
        raise Unfit(f"there is no code set '{code_set}'", ", ".join(sorted(code_sets)) or "none is declared")
    if at.type.kind not in ("date", "timestamp"):
        raise Unfit(f"division_valid_at: '{at.name}' is of type {at.type.kind}", "a column of type date or timestamp")
    if "credit_code" in names:
        key: Node = exp.case().when(_valid_credit(value), _on(value, "substr(value, 3, 6)"))
    elif "resident_number" in names:
        key = exp.case().when(_valid_resident(value), _on(value, "substr(value, 1, 6)"))
    else:
        key = _on(value, "substr(value, 1, 6)")
    present = render(all_of([not_null(column(field.name)), not_null(column(at.name))]))
    severity = field.severities.get("check", "quarantine")
    return CodeSetRule(rule_id, severity, (field.name, at.name), code_set, at.name, render(key), present)


def _valid_resident(value: Node) -> Node:
    """Sum of digit times weight mod 11 picks the check character of 10X98765432 (GB 11643-1999, annex).

    The weights are powers of two, so the sum is the 17 digits read in base two: n - 8 * sum(2**(k-1) * (n // 10**k)). The lambda has
    the number converted once a row, also where DuckDB does not share common parts (in AND, CASE).
    """
    base_two = " + ".join(f"{2 ** (k - 1)} * (n // {10**k})" for k in range(1, 17))
    number = "[TRY_CAST(substr(value, 1, 17) AS BIGINT)]"
    remainder = f"list_transform({number}, lambda n: 2 * (n - 8 * ({base_two})) % 11)[1]"
    return _on(
        value,
        "regexp_full_match(value, '[1-9][0-9]{16}[0-9X]')"
        " AND try_strptime(substr(value, 7, 8), '%Y%m%d') IS NOT NULL"
        f" AND substr('10X98765432', CAST({remainder} AS INTEGER) + 1, 1) = substr(value, 18, 1)",
    )


def _valid_credit(value: Node) -> Node:
    """The weighted sum of all 18 characters, weights 3**i mod 31 and 1 for the last, is a multiple of 31 (GB 32100-2015, 5.4)."""
    weights = [pow(3, i, 31) for i in range(17)] + [1]
    terms = [f"(strpos('{_CREDIT_ALPHABET}', substr(value, {i + 1}, 1)) - 1) * {w}" for i, w in enumerate(weights)]
    return _on(
        value,
        f"regexp_full_match(value, '[0-9A-HJ-NPQRTUWXY]{{2}}[0-9]{{6}}[0-9A-HJ-NPQRTUWXY]{{10}}')"
        f" AND ({' + '.join(terms)}) % 31 = 0",
    )


def _on(value: Node, template: str) -> Node:
    """A fixed DuckDB expression over the column `value`, with that column replaced."""
    tree = sqlglot.parse_one(template, dialect="duckdb")
    replaced = tree.transform(
        lambda node: value.copy() if isinstance(node, exp.Column) and node.name == "value" else node
    )
    return exp.paren(replaced) if isinstance(replaced, exp.Connector) else replaced


def _string(field: Field) -> Node:
    if field.type.kind != "string":
        raise Unfit(f"'{field.name}' is of type {field.type.kind}", "a column of type string")
    return column(field.name)


def _other(dataset: Dataset, name: str) -> Field:
    try:
        return dataset.field(name)
    except KeyError:
        raise Unfit(f"there is no field '{name}'", ", ".join(f.name for f in dataset.fields)) from None


_PLAIN: Mapping[str, Callable[[Field], Node]] = {
    "resident_number": _resident_number,
    "credit_code": _credit_code,
    "bank_card": _bank_card,
    "phone": _phone,
}
_AGAINST: Mapping[str, Callable[[Field, Field], Node]] = {"birth_date_of": _birth_date, "sex_of": _sex}

NAMES: Mapping[str, bool] = {
    **dict.fromkeys(_PLAIN, False),
    **dict.fromkeys(_AGAINST, True),
    "division_valid_at": True,
}
"""Name of a check -> whether it needs a field as its argument."""
