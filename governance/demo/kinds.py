"""The eleven kinds of fault, where each is injected, and how quality is expected to name it. One table; the rest follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What can be wrong with a row of the demo city."""

    WRONG_CHECK_DIGIT = "wrong_check_digit"
    BIRTH_DATE_MISMATCH = "birth_date_mismatch"
    DIVISION_NOT_VALID = "division_not_valid"
    MISSING_REQUIRED = "missing_required"
    DUPLICATE_RECORD = "duplicate_record"
    REFERENCE_TO_NOBODY = "reference_to_nobody"
    OUT_OF_RANGE = "out_of_range"
    OUTSIDE_CODE_SET = "outside_code_set"
    NOT_CONVERTIBLE = "not_convertible"
    CONTRADICTION = "contradiction"
    UNPARSABLE_LINE = "unparsable_line"


@dataclass(frozen=True, slots=True)
class Injection:
    """One kind of fault in one column of one dataset. `column` is empty where the whole record is meant."""

    dataset: str
    kind: Kind
    column: str = ""


INJECTIONS: tuple[Injection, ...] = (
    Injection("public_security.residents", Kind.WRONG_CHECK_DIGIT, "resident_no"),
    Injection("public_security.residents", Kind.BIRTH_DATE_MISMATCH, "birth_date"),
    Injection("public_security.residents", Kind.DIVISION_NOT_VALID, "resident_no"),
    Injection("public_security.residents", Kind.MISSING_REQUIRED, "name"),
    Injection("public_security.residents", Kind.DUPLICATE_RECORD),
    Injection("public_security.residents", Kind.OUTSIDE_CODE_SET, "ethnic_group"),
    Injection("public_security.residents", Kind.NOT_CONVERTIBLE, "registered_on"),
    Injection("public_security.kinship", Kind.REFERENCE_TO_NOBODY, "relative_no"),
    Injection("public_security.kinship", Kind.OUTSIDE_CODE_SET, "relation"),
    Injection("social_insurance.insured", Kind.CONTRADICTION, "birth_date"),
    Injection("social_insurance.insured", Kind.WRONG_CHECK_DIGIT, "resident_no"),
    Injection("social_insurance.insured", Kind.MISSING_REQUIRED, "name"),
    Injection("social_insurance.insured", Kind.DUPLICATE_RECORD),
    Injection("social_insurance.insured", Kind.UNPARSABLE_LINE),
    Injection("social_insurance.contributions", Kind.OUT_OF_RANGE, "base"),
    Injection("social_insurance.contributions", Kind.OUTSIDE_CODE_SET, "insurance_kind"),
    Injection("social_insurance.contributions", Kind.NOT_CONVERTIBLE, "personal_amount"),
    Injection("social_insurance.contributions", Kind.UNPARSABLE_LINE),
    Injection("housing_fund.accounts", Kind.WRONG_CHECK_DIGIT, "resident_no"),
    Injection("housing_fund.accounts", Kind.OUT_OF_RANGE, "balance"),
    Injection("housing_fund.accounts", Kind.NOT_CONVERTIBLE, "balance"),
    Injection("housing_fund.accounts", Kind.DUPLICATE_RECORD),
    Injection("market_supervision.enterprises", Kind.WRONG_CHECK_DIGIT, "credit_code"),
    Injection("market_supervision.enterprises", Kind.DIVISION_NOT_VALID, "division_code"),
    Injection("market_supervision.enterprises", Kind.MISSING_REQUIRED, "name"),
    Injection("market_supervision.enterprises", Kind.OUT_OF_RANGE, "registered_capital"),
    Injection("market_supervision.enterprises", Kind.OUTSIDE_CODE_SET, "industry"),
    Injection("market_supervision.legal_representatives", Kind.REFERENCE_TO_NOBODY, "credit_code"),
    Injection("market_supervision.legal_representatives", Kind.WRONG_CHECK_DIGIT, "resident_no"),
    Injection("tax.taxpayers", Kind.WRONG_CHECK_DIGIT, "credit_code"),
    Injection("tax.taxpayers", Kind.MISSING_REQUIRED, "name"),
    Injection("tax.invoices", Kind.REFERENCE_TO_NOBODY, "seller_code"),
    Injection("tax.invoices", Kind.OUT_OF_RANGE, "amount"),
    Injection("tax.invoices", Kind.NOT_CONVERTIBLE, "tax_amount"),
    Injection("tax.invoices", Kind.DUPLICATE_RECORD),
    Injection("tax.invoices", Kind.UNPARSABLE_LINE),
)

OUTSIDE_VALUES: Mapping[str, str] = {
    "ethnic_group": "97",
    "relation": "99",
    "insurance_kind": "999",
    "industry": "Z",
}
"""A value outside the code set of the column."""

RANGE_VALUES: Mapping[str, str] = {
    "base": "999999.00",
    "balance": "-2000.00",
    "registered_capital": "900000000000.00",
    "amount": "123456789012.00",
}
"""A value outside the range of the column that breaks no other rule of the row."""

UNREADABLE_VALUES: Mapping[str, str] = {
    "registered_on": "2025-02-30",
    "personal_amount": "24O.00",
    "balance": "12,3O",
    "tax_amount": "12,3O",
}
"""A value that does not convert to the type of the column."""

RULES: Mapping[Kind, tuple[str, ...]] = {
    Kind.WRONG_CHECK_DIGIT: ("check:*:resident_number", "check:*:credit_code"),
    Kind.BIRTH_DATE_MISMATCH: ("check:*:birth_date_of",),
    Kind.DIVISION_NOT_VALID: ("check:*:division_valid_at",),
    Kind.MISSING_REQUIRED: ("required:*",),
    Kind.DUPLICATE_RECORD: ("unique:*", "key:*"),
    Kind.REFERENCE_TO_NOBODY: ("reference:*",),
    Kind.OUT_OF_RANGE: ("range:*",),
    Kind.OUTSIDE_CODE_SET: ("codeSet:*",),
    Kind.NOT_CONVERTIBLE: ("type:*",),
    Kind.CONTRADICTION: ("finding:curated.person.birth_date_contradiction",),
    Kind.UNPARSABLE_LINE: ("unparsed",),
}
"""Patterns of the reasons (rule ids of quarantine, `finding:<model>.<check>`) by which quality names each kind."""
