"""What public security, social insurance and the housing fund hold of the population in one month, as tables of text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from governance.demo import calendar, names, numbers
from governance.demo.divisions import CITY_NAME, Divisions
from governance.demo.firms import Firms
from governance.demo.population import Population, stream

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FUND_ROWS = 20_000
"""The workbook of the housing fund is written row by row; it ends here."""
_RATES = {"110": (80, 160), "310": (20, 65)}
"""Insurance kind -> per mille of the base that the person and the employer pay."""


def resident_rows(
    seed: int, population: Population, divisions: Divisions, month: calendar.Month
) -> tuple[Ints, pa.Table]:
    """Rows of the people in the register in `month`, and its table `residents` by id."""
    rows = np.flatnonzero(population.present(month.number))
    total, taken, rng = len(population), pa.array(rows), stream(seed, "residents")
    ethnic = np.where(rng.random(total) < 0.92, 1, rng.integers(2, 57, total))[rows]
    phones = names.phones(rng, total).take(taken)
    registered = _registered(rng, population, month)[rows]
    home = population.home(month.number)[rows]
    counties = pa.array(divisions.names).take(pa.array(home))
    columns = {
        "person_id": pa.array(rows + 1),
        "resident_no": population.numbers.take(taken),
        "name": population.names.take(taken),
        "sex": pc.if_else(pa.array(population.male[rows]), "1", "2"),
        "ethnic_group": numbers.padded("", ethnic, 2),
        "birth_date": calendar.iso(population.births[rows]),
        "marital_status": _marital(rng, population).take(taken),
        "division_code": pa.array(divisions.codes[home]).cast(pa.string()),
        "address": _addresses(seed, population, counties, rows, month),
        "phone": phones,
        "household_no": numbers.padded("H", population.household[rows], 9),
        "registered_on": calendar.iso(registered),
    }
    return rows, pa.table(columns)


def kinship_rows(population: Population, month: calendar.Month) -> tuple[Ints, pa.Table]:
    """Rows of the persons of whom a relation is listed, and the table `kinship`: a spouse to the head, both parents to a child."""
    present, head = population.present(month.number), population.heads[population.household]
    spouse = np.flatnonzero(population.position == 1)
    child = np.flatnonzero(population.position >= 2)
    mate = np.minimum(head[child] + 1, len(population) - 1)
    both = (population.position[mate] == 1) & (population.household[mate] == population.household[child])
    person = np.concatenate([spouse, child, child[both]])
    relative = np.concatenate([head[spouse], head[child], mate[both]])
    identity = np.arange(1, len(person) + 1)
    relation = np.where(np.arange(len(person)) < len(spouse), 0, np.where(population.male[relative], 1, 2))
    kept = np.flatnonzero(present[person] & present[relative])
    columns = {
        "kinship_id": pa.array(identity[kept]),
        "resident_no": population.numbers.take(pa.array(person[kept])),
        "relative_no": population.numbers.take(pa.array(relative[kept])),
        "relation": pa.array(["01", "04", "05"]).take(pa.array(relation[kept])),
    }
    return person[kept], pa.table(columns)


def insured_rows(
    seed: int, population: Population, firms: Firms, divisions: Divisions, month: calendar.Month
) -> tuple[Ints, Ints, pa.Table]:
    """Rows of the insured, rows of their employers (-1: none), and the export `insured`."""
    total, rng, start = len(population), stream(seed, "insured"), calendar.bounds(1)[0]
    chosen = (rng.random(total) < 0.75) & (population.births < start - 18 * 365)
    employer = _employers(rng, population, firms, month.number)
    begun = np.clip(population.births + 18 * 365 + rng.integers(0, 2000, total), calendar.day(1992, 1, 1), start - 30)
    paused = rng.random(total) < 0.04
    rows = np.flatnonzero(chosen & population.present(month.number))
    retired = population.births[rows] < start - 60 * 365
    status = np.where(retired, 2, np.where(paused[rows], 1, 0))
    columns = {
        "insured_no": numbers.padded("S", rows + 1, 10),
        "resident_no": population.numbers.take(pa.array(rows)),
        "name": population.names.take(pa.array(rows)),
        "birth_date": pa.array(calendar.compact(population.births[rows])).cast(pa.string()),
        "division_code": pa.array(divisions.codes[population.home(month.number)[rows]]).cast(pa.string()),
        "employer_code": _codes(firms, employer[rows]),
        "status": pa.array(["1", "2", "4"]).take(pa.array(status)),
        "insured_on": pa.array(calendar.compact(begun[rows])).cast(pa.string()),
    }
    return rows, employer[rows], pa.table(columns)


def contribution_rows(
    seed: int,
    rows: Ints,
    employer: Ints,
    insured: pa.Table,
    population: Population,
    firms: Firms,
    month: calendar.Month,
) -> pa.Table:
    """The contributions of `month` of those whose insurance is active, two kinds each."""
    active = np.asarray(pc.equal(insured["status"], "1"))
    rows, employer = rows[active], employer[active]
    bases = _bases(seed, len(population))[rows]
    tables = []
    for kind, (personal, paid) in _RATES.items():
        columns = {
            "contribution_no": numbers.padded(f"{month.text.replace('-', '')}{kind}", rows + 1, 10),
            "resident_no": population.numbers.take(pa.array(rows)),
            "employer_code": _codes(firms, employer),
            "period": pa.repeat(month.text.replace("-", ""), len(rows)),
            "insurance_kind": pa.repeat(kind, len(rows)),
            "base": numbers.money(bases),
            "personal_amount": numbers.money(bases * personal // 1000),
            "employer_amount": numbers.money(np.where(employer >= 0, bases * paid // 1000, 0)),
        }
        tables.append(pa.table(columns))
    return pa.concat_tables(tables).combine_chunks()


def account_rows(
    seed: int, rows: Ints, employer: Ints, population: Population, firms: Firms, month: calendar.Month
) -> pa.Table:
    """The housing fund's accounts of employed people, at most FUND_ROWS; the balance grows by the deposit each month."""
    total, rng = len(population), stream(seed, "fund")
    chosen = (rng.random(total) < 0.6)[rows] & (employer >= 0)
    months = rng.integers(1, 200, total)
    closed = rng.random(total) < 0.03
    rows, employer = rows[chosen][:FUND_ROWS], employer[chosen][:FUND_ROWS]
    deposit = _bases(seed, total)[rows] * 24 // 100
    opened = calendar.bounds(1)[0] - months[rows] * 30
    columns = {
        "account_no": numbers.padded("GJJ", rows + 1, 9),
        "resident_no": population.numbers.take(pa.array(rows)),
        "name": population.names.take(pa.array(rows)),
        "employer_code": _codes(firms, employer),
        "monthly_deposit": numbers.money(np.where(closed[rows], 0, deposit)),
        "balance": numbers.money(np.where(closed[rows], 0, deposit * (months[rows] + month.number) // 2)),
        "opened_on": calendar.iso(opened),
        "status": pc.if_else(pa.array(closed[rows]), "9", "1"),
    }
    return pa.table(columns)


def _addresses(
    seed: int, population: Population, counties: pa.StringArray, rows: Ints, month: calendar.Month
) -> pa.StringArray:
    """One address a household, another one after it has moved."""
    households = len(population.heads)
    blank = pa.array([""]).take(pa.array(np.zeros(households, np.int64)))
    ends = [names.addresses(stream(seed, "addresses", n), blank, "", households) for n in (1, 2)]
    household = pa.array(population.household[rows])
    moved = pa.array(population.moved[rows] <= month.number)
    end = pc.if_else(moved, ends[1].take(household), ends[0].take(household))
    return pc.binary_join_element_wise(CITY_NAME, counties, end, "")


def _registered(rng: np.random.Generator, population: Population, month: calendar.Month) -> Ints:
    """The day of entry in the register: after birth for those born here, of arrival for newcomers; never after the month."""
    start, firsts = calendar.bounds(1)[0], calendar.first_days()
    days = rng.integers(0, 60, len(population))
    born_here = (population.position >= 2) | (population.arrived == 1)
    first = np.where(born_here, population.births, firsts[population.arrived])
    latest = np.where(
        population.arrived == 1, start, firsts[np.minimum(population.arrived + 1, calendar.MONTHS + 1)] - 1
    )
    return np.clip(first + days, population.births, np.minimum(latest, month.end - 1))


def _marital(rng: np.random.Generator, population: Population) -> pa.StringArray:
    lonely = rng.choice(np.array([0, 2, 3]), len(population), p=(0.6, 0.15, 0.25))
    single = population.alone | (population.births > calendar.bounds(1)[0] - 22 * 365)
    young = population.births > calendar.bounds(1)[0] - 25 * 365
    code = np.where(population.position >= 2, 0, np.where(single, np.where(young, 0, lonely), 1))
    return pa.array(["10", "20", "30", "40"]).take(pa.array(code))


def _employers(rng: np.random.Generator, population: Population, firms: Firms, month: int) -> Ints:
    """A company for three of four; nobody is employed by one that has closed."""
    companies = np.flatnonzero((firms.arrived == 1) & ~firms.individual & (firms.closed > 0))
    employer = np.where(rng.random(len(population)) < 0.75, rng.choice(companies, len(population)), -1)
    return np.where((employer >= 0) & (firms.closed[employer] > month), employer, -1)


def _bases(seed: int, total: int) -> Ints:
    """Monthly contribution base in cents, 3,000 to 30,000 yuan."""
    yuan = stream(seed, "bases").lognormal(8.9, 0.5, total)
    return np.clip(yuan, 3000, 30000).astype(np.int64) * 100


def _codes(firms: Firms, rows: Ints) -> pa.StringArray:
    return firms.codes.take(pa.array(rows, mask=rows < 0))
