"""The demo city: what five departments deliver in a month, with faults at known places, and the answer key of those faults.

    <folder>/public_security/population.sqlite      residents, kinship
    <folder>/social_insurance/insured.csv           GB18030; contributions.csv: one month a delivery
    <folder>/housing_fund/accounts.xlsx
    <folder>/market_supervision/register.sqlite     enterprises, legal_representatives
    <folder>/tax/taxpayers.jsonl.gz, invoices.jsonl.gz
    <answers>/<month>.parquet                       apart from the sources; no part of the pipeline reads it

Everything follows from (seed, people, month): the same three give the same content, whatever months were generated before. A later month
replaces the files of the one before, as a department's next delivery does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from governance.demo import calendar, departments, firms, numbers
from governance.demo.divisions import DEFAULT, Divisions, read_divisions
from governance.demo.faults import Faulty, Pools, inject
from governance.demo.files import write_csv, write_database, write_json_lines, write_workbook
from governance.demo.firms import Firms, codes_of_nobody, draw_firms
from governance.demo.kinds import Kind
from governance.demo.population import Population, draw_population, numbers_of_nobody
from governance.errors import GovernanceError

Ints = npt.NDArray[np.int64]

FEWEST = 500
RATE = 0.003
INSURED_HEADER = [
    "个人编号",
    "公民身份号码",
    "姓名",
    "出生日期",
    "参保地区划",
    "单位统一社会信用代码",
    "参保状态",
    "首次参保日期",
]
CONTRIBUTIONS_HEADER = [
    "缴费流水号",
    "公民身份号码",
    "单位统一社会信用代码",
    "费款所属期",
    "险种",
    "缴费基数",
    "个人缴费",
    "单位缴费",
]
ACCOUNTS_HEADER = ["账号", "证件号码", "姓名", "单位统一社会信用代码", "月缴存额", "余额", "开户日期", "账户状态"]


@dataclass(frozen=True, slots=True)
class CityInfo:
    """What was generated: records by dataset (unparsable ones included), faults by dataset and kind, and where the answer key is."""

    month: str
    records: Mapping[str, int]
    faults: Mapping[str, Mapping[str, int]]
    answers: Path


@dataclass(frozen=True, slots=True)
class _City:
    """One month of one city, before anything is written."""

    seed: int
    rate: float
    month: calendar.Month
    divisions: Divisions
    population: Population
    firms: Firms

    def inject(
        self, name: str, table: pa.Table, pools: Pools, values: Mapping[Kind, pa.Array], copy_ids: int | None = None
    ) -> Faulty:
        return inject(
            table, name, pools, values, seed=self.seed, month=self.month.text, rate=self.rate, copy_ids=copy_ids
        )


def generate(
    folder: Path,
    *,
    seed: int,
    people: int,
    month: str,
    answers: Path | None = None,
    rate: float = RATE,
    divisions: Path = DEFAULT,
) -> CityInfo:
    """Write the deliveries of `month` (YYYY-MM, from 2026-01) below `folder` and the answer key into `answers` (default: beside it).

    About `people` people live there in the first month; `rate` is the share of rows that each kind of fault gets in each place where it
    is injected. Raises GovernanceError for too few people, a rate outside 0 to 0.02 and a month outside the demo's three years.
    """
    if people < FEWEST or not 0 <= rate <= 0.02:
        raise GovernanceError(
            f"people {people}, rate {rate}",
            where="demo city",
            allowed=f"people from {FEWEST}, rate from 0 to 0.02",
            do="choose within",
        )
    counties = read_divisions(divisions)
    population = draw_population(seed, people, counties)
    city = _City(
        seed, rate, calendar.month_of(month), counties, population, draw_firms(seed, people, population, counties)
    )
    made = {
        **_public_security(city, folder / "public_security"),
        **_social_insurance_and_fund(city, folder / "social_insurance", folder / "housing_fund"),
        **_market_supervision(city, folder / "market_supervision"),
        **_tax(city, folder / "tax"),
    }
    key = pa.concat_tables([faulty.answers for faulty in made.values()])
    target = (folder.with_name("answers") if answers is None else answers) / f"{month}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(key, target)
    return CityInfo(
        month=month,
        records={name: faulty.table.num_rows for name, faulty in made.items()},
        faults={name: _counts(faulty.answers) for name, faulty in made.items()},
        answers=target,
    )


def _public_security(city: _City, folder: Path) -> dict[str, Faulty]:
    """Faults of residents fall on people who live alone: nobody's kinship refers to them."""
    population, counties = city.population, city.divisions
    rows, table = departments.resident_rows(city.seed, population, counties, city.month)
    alone, births = population.alone[rows], population.births[rows]
    steady = alone & np.isin(population.birth_places[rows], counties.permanent)
    wrong = counties.codes[_not_valid(counties, births)]
    values = {
        Kind.BIRTH_DATE_MISMATCH: calendar.iso(births - 1 - rows % 20),
        Kind.DIVISION_NOT_VALID: numbers.resident_numbers(wrong, calendar.compact(births), population.sequences[rows]),
    }
    ids = 9 * 10**12 + city.month.number * 10**8
    pools = Pools(alone, {Kind.BIRTH_DATE_MISMATCH: steady})
    residents = city.inject("public_security.residents", table, pools, values, ids)
    persons, table = departments.kinship_rows(population, city.month)
    values = {Kind.REFERENCE_TO_NOBODY: numbers_of_nobody(population, persons, counties)}
    kinship = city.inject("public_security.kinship", table, _anywhere(table), values)
    write_database(folder / "population.sqlite", {"residents": residents.table, "kinship": kinship.table})
    return {"public_security.residents": residents, "public_security.kinship": kinship}


def _social_insurance_and_fund(city: _City, insurance: Path, fund: Path) -> dict[str, Faulty]:
    """Contradictions fall on people who live with others, whose record in the register is therefore without fault."""
    population, enterprises = city.population, city.firms
    rows, employer, clean = departments.insured_rows(city.seed, population, enterprises, city.divisions, city.month)
    births = population.births[rows]
    pools = Pools(np.ones(len(rows), np.bool_), {Kind.CONTRADICTION: ~population.alone[rows]})
    values = {Kind.CONTRADICTION: pa.array(calendar.compact(births - 30 - rows % 300)).cast(pa.string())}
    insured = city.inject("social_insurance.insured", clean, pools, values)
    write_csv(insurance / "insured.csv", insured.table, INSURED_HEADER, insured.broken)
    table = departments.contribution_rows(city.seed, rows, employer, clean, population, enterprises, city.month)
    contributions = city.inject("social_insurance.contributions", table, _anywhere(table), {})
    write_csv(insurance / "contributions.csv", contributions.table, CONTRIBUTIONS_HEADER, contributions.broken)
    table = departments.account_rows(city.seed, rows, employer, population, enterprises, city.month)
    accounts = city.inject("housing_fund.accounts", table, _anywhere(table), {})
    amounts, dates = frozenset({"monthly_deposit", "balance"}), frozenset({"opened_on"})
    write_workbook(fund / "accounts.xlsx", "账户", accounts.table, ACCOUNTS_HEADER, amounts, dates)
    return {
        "social_insurance.insured": insured,
        "social_insurance.contributions": contributions,
        "housing_fund.accounts": accounts,
    }


def _market_supervision(city: _City, folder: Path) -> dict[str, Faulty]:
    """Faults of enterprises fall on individual businesses: no representative and no invoice refers to them."""
    rows, table = firms.register_rows(city.firms, city.divisions, city.month)
    wrong = city.divisions.codes[_not_valid(city.divisions, city.firms.established[rows])]
    values = {Kind.DIVISION_NOT_VALID: pa.array(wrong).cast(pa.string())}
    enterprises = city.inject("market_supervision.enterprises", table, Pools(city.firms.individual[rows]), values)
    rows, table = firms.representative_rows(city.seed, city.firms, city.population, city.month)
    values = {Kind.REFERENCE_TO_NOBODY: codes_of_nobody(city.firms, rows, city.divisions)}
    representatives = city.inject("market_supervision.legal_representatives", table, _anywhere(table), values)
    write_database(
        folder / "register.sqlite", {"enterprises": enterprises.table, "legal_representatives": representatives.table}
    )
    return {
        "market_supervision.enterprises": enterprises,
        "market_supervision.legal_representatives": representatives,
    }


def _tax(city: _City, folder: Path) -> dict[str, Faulty]:
    """Faults of taxpayers fall on individual businesses, which issue no invoices here."""
    rows, table = firms.taxpayer_rows(city.seed, city.firms, city.divisions, city.month)
    taxpayers = city.inject("tax.taxpayers", table, Pools(city.firms.individual[rows]), {})
    write_json_lines(folder / "taxpayers.jsonl.gz", taxpayers.table, frozenset(), taxpayers.broken)
    table = firms.invoice_rows(city.seed, city.firms, city.month)
    sellers = np.arange(table.num_rows) % len(city.firms)
    values = {Kind.REFERENCE_TO_NOBODY: codes_of_nobody(city.firms, sellers, city.divisions)}
    invoices = city.inject("tax.invoices", table, _anywhere(table), values)
    amounts = frozenset({"amount", "tax_rate", "tax_amount"})
    write_json_lines(folder / "invoices.jsonl.gz", invoices.table, amounts, invoices.broken)
    return {"tax.taxpayers": taxpayers, "tax.invoices": invoices}


def _anywhere(table: pa.Table) -> Pools:
    return Pools(np.ones(table.num_rows, np.bool_))


def _not_valid(divisions: Divisions, days: Ints) -> Ints:
    """A division for each day that is not valid on it: one that had ended, or one that had not begun."""
    ended, begun = int(np.argmin(divisions.valid_to)), int(np.argmax(divisions.valid_from))
    return np.where(days >= divisions.valid_to[ended], ended, begun)


def _counts(answers: pa.Table) -> dict[str, int]:
    counted = answers.group_by("kind").aggregate([([], "count_all")])
    return dict(sorted(zip(counted["kind"].to_pylist(), counted["count_all"].to_pylist(), strict=True)))
