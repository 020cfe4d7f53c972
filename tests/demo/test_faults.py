# ruff: noqa: S608 - the SQL is made of this module's own words
"""Each kind of fault is where the answer key says, and nowhere else."""

from __future__ import annotations

import pytest
from stdnum.cn import ric, uscc

from governance.demo.divisions import DEFAULT
from governance.demo.faults import HANDFUL
from governance.demo.kinds import INJECTIONS, OUTSIDE_VALUES, RANGE_VALUES, UNREADABLE_VALUES, Kind
from tests.demo.conftest import Generated

VALID_AT = """
    EXISTS (FROM read_csv('{file}', all_varchar = true) d WHERE d.code = {code}
            AND coalesce(d.valid_from, '') <= {day} AND {day} < coalesce(d.valid_to, '9'))
"""
FOUND = {
    (
        "public_security.residents",
        Kind.BIRTH_DATE_MISMATCH,
    ): "replace(birth_date, '-', '') <> substr(resident_no, 7, 8)",
    ("public_security.residents", Kind.MISSING_REQUIRED): "name IS NULL",
    ("public_security.residents", Kind.DUPLICATE_RECORD): "count(*) OVER (PARTITION BY resident_no) > 1",
    ("public_security.residents", Kind.OUTSIDE_CODE_SET): "ethnic_group > '56'",
    ("public_security.residents", Kind.NOT_CONVERTIBLE): "TRY_CAST(registered_on AS DATE) IS NULL",
    ("public_security.kinship", Kind.REFERENCE_TO_NOBODY): "relative_no NOT IN (SELECT resident_no FROM residents)",
    ("public_security.kinship", Kind.OUTSIDE_CODE_SET): "relation NOT IN ('01', '02', '03', '04', '05')",
    ("social_insurance.insured", Kind.MISSING_REQUIRED): "name IS NULL AND insured_no IS NOT NULL",
    ("social_insurance.insured", Kind.UNPARSABLE_LINE): "insured_no IS NULL",
    (
        "social_insurance.insured",
        Kind.DUPLICATE_RECORD,
    ): "insured_no IS NOT NULL AND count(*) OVER (PARTITION BY insured_no) > 1",
    (
        "social_insurance.contributions",
        Kind.OUT_OF_RANGE,
    ): "TRY_CAST(base AS DECIMAL(18, 2)) NOT BETWEEN 1000 AND 60000",
    ("social_insurance.contributions", Kind.OUTSIDE_CODE_SET): "insurance_kind NOT IN ('110', '310')",
    (
        "social_insurance.contributions",
        Kind.NOT_CONVERTIBLE,
    ): "personal_amount IS NOT NULL AND TRY_CAST(personal_amount AS DECIMAL(18, 2)) IS NULL",
    ("social_insurance.contributions", Kind.UNPARSABLE_LINE): "contribution_no IS NULL",
    ("housing_fund.accounts", Kind.OUT_OF_RANGE): "TRY_CAST(balance AS DOUBLE) NOT BETWEEN 0 AND 5000000",
    ("housing_fund.accounts", Kind.NOT_CONVERTIBLE): "TRY_CAST(balance AS DOUBLE) IS NULL",
    ("housing_fund.accounts", Kind.DUPLICATE_RECORD): "count(*) OVER (PARTITION BY account_no) > 1",
    ("market_supervision.enterprises", Kind.MISSING_REQUIRED): "name IS NULL",
    ("market_supervision.enterprises", Kind.OUT_OF_RANGE): "registered_capital::DOUBLE > 10000000000",
    ("market_supervision.enterprises", Kind.OUTSIDE_CODE_SET): "industry > 'T'",
    (
        "market_supervision.enterprises",
        Kind.DIVISION_NOT_VALID,
    ): f"NOT {VALID_AT.format(file=DEFAULT, code='division_code', day='established_on')}",
    (
        "market_supervision.legal_representatives",
        Kind.REFERENCE_TO_NOBODY,
    ): "credit_code NOT IN (SELECT credit_code FROM enterprises)",
    ("tax.taxpayers", Kind.MISSING_REQUIRED): "name IS NULL",
    ("tax.invoices", Kind.REFERENCE_TO_NOBODY): "seller_code NOT IN (SELECT credit_code FROM taxpayers)",
    ("tax.invoices", Kind.OUT_OF_RANGE): "TRY_CAST(amount AS DOUBLE) >= 100000000",
    ("tax.invoices", Kind.NOT_CONVERTIBLE): "tax_amount IS NOT NULL AND TRY_CAST(tax_amount AS DOUBLE) IS NULL",
    ("tax.invoices", Kind.UNPARSABLE_LINE): "invoice_no IS NULL",
    ("tax.invoices", Kind.DUPLICATE_RECORD): "invoice_no IS NOT NULL AND count(*) OVER (PARTITION BY invoice_no) > 1",
    ("public_security.residents", Kind.DIVISION_NOT_VALID): "NOT "
    + VALID_AT.format(file=DEFAULT, code="resident_no[:6]", day="strptime(resident_no[7:14], '%Y%m%d')::DATE::VARCHAR"),
    ("social_insurance.insured", Kind.CONTRADICTION): "birth_date <> resident_no[7:14]",
}
"""(dataset, kind) -> SQL that finds the fault in the delivery, apart from check characters, which `test_city` looks at."""


def test_every_kind_is_injected_somewhere() -> None:
    assert {injection.kind for injection in INJECTIONS} == set(Kind)


def test_every_injection_is_looked_for_here() -> None:
    planned = {(i.dataset, i.kind) for i in INJECTIONS if i.kind is not Kind.WRONG_CHECK_DIGIT}
    assert planned == set(FOUND)


def test_every_injected_value_is_declared() -> None:
    for kind, values in (
        (Kind.OUTSIDE_CODE_SET, OUTSIDE_VALUES),
        (Kind.OUT_OF_RANGE, RANGE_VALUES),
        (Kind.NOT_CONVERTIBLE, UNREADABLE_VALUES),
    ):
        assert {i.column for i in INJECTIONS if i.kind is kind} == set(values)


@pytest.mark.parametrize(("dataset", "kind"), FOUND, ids=lambda value: str(value))
def test_the_key_names_exactly_the_rows_that_have_the_fault(january: Generated, dataset: str, kind: Kind) -> None:
    short = dataset.partition(".")[2]
    condition = FOUND[dataset, kind]
    found = january.query(f"SELECT row FROM (SELECT row, {condition} AS bad FROM {short}) WHERE bad ORDER BY row")
    said = january.query(f"SELECT row FROM answers WHERE dataset = '{dataset}' AND kind = '{kind}' ORDER BY row")
    assert found == said
    assert len(said) >= HANDFUL


def test_wrong_check_digits_are_the_only_ones(january: Generated) -> None:
    places = {(i.dataset, i.column) for i in INJECTIONS if i.kind is Kind.WRONG_CHECK_DIGIT}
    for dataset, column in places:
        rows = january.query(
            f"SELECT row, {column} FROM {dataset.partition('.')[2]} WHERE {column} IS NOT NULL ORDER BY row"
        )
        bad = [row for row, text in rows if _wrong(str(text), column)]
        said = january.query(
            f"SELECT row FROM answers WHERE dataset = '{dataset}' AND kind = 'wrong_check_digit' ORDER BY row"
        )
        assert bad == [row for (row,) in said], dataset


def test_a_row_has_at_most_one_fault(january: Generated, february: Generated) -> None:
    for month in (january, february):
        assert month.query("SELECT count(*) FROM answers GROUP BY dataset, row HAVING count(*) > 1") == []


def test_the_ordinal_skips_the_lines_that_no_parser_accepts(january: Generated) -> None:
    wrong = january.query(
        """
        SELECT count(*) FROM answers a LEFT JOIN (
            SELECT row, CASE WHEN invoice_no IS NOT NULL THEN count(invoice_no) OVER (ORDER BY row) END AS ordinal FROM invoices
        ) i USING (row) WHERE a.dataset = 'tax.invoices' AND a.ordinal IS DISTINCT FROM i.ordinal
        """
    )
    assert wrong == [(0,)]


def test_both_rows_of_a_duplicate_are_in_the_key_with_their_roles(january: Generated) -> None:
    roles = january.query("SELECT role, count(*) FROM answers WHERE kind = 'duplicate_record' GROUP BY 1 ORDER BY 1")
    assert [role for role, _ in roles] == ["copy", "original"]
    assert roles[0][1] == roles[1][1]


def test_faulty_residents_and_firms_are_referred_to_by_nobody(january: Generated) -> None:
    referred = january.query(
        """
        SELECT count(*) FROM residents r JOIN answers a ON a.row = r.row AND a.dataset = 'public_security.residents'
        JOIN kinship k ON r.resident_no IN (k.resident_no, k.relative_no)
        """
    )
    represented = january.query(
        """
        SELECT count(*) FROM enterprises e JOIN answers a ON a.row = e.row AND a.dataset = 'market_supervision.enterprises'
        JOIN legal_representatives l ON l.credit_code = e.credit_code
        """
    )
    assert referred == represented == [(0,)]


def _wrong(text: str, column: str) -> bool:
    check = ric.calc_check_digit(text) if column == "resident_no" else uscc.calc_check_digit(text[:-1])
    return str(check) != text[-1]
