"""Every enterprise and individual business of the demo city, drawn once from (seed, people); a month asks which exist and which are closed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from governance.demo import calendar, names, numbers
from governance.demo.divisions import CITY_NAME, Divisions
from governance.demo.population import NEVER, Population, stream

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

KINDS = ("1000", "2000", "3000", "9500")
INDIVIDUAL = 3
SECTIONS = "ABCDEFGHIJKLMNOPQRS"


@dataclass(frozen=True, slots=True)
class Firms:
    """Parallel columns, one row a firm; the row number plus one is its id in the register.

    Registered in month `arrived` (1 for all that are older); cancelled in month `closed` (0: before the demo begins) on day `closed_on`.
    `individual` businesses have neither representative nor employees nor invoices of their own, so a fault there breaks no reference.
    """

    codes: pa.StringArray
    names: pa.StringArray
    addresses: pa.StringArray
    kind: Ints
    section: Ints
    place: Ints
    capital: Ints
    established: Ints
    arrived: Ints
    closed: Ints
    closed_on: Ints
    revoked: Bools
    representative: Ints
    """Row of a person in `Population`; meaningless for individual businesses."""

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def individual(self) -> Bools:
        result: Bools = self.kind == INDIVIDUAL
        return result

    def active(self, month: int) -> Bools:
        result: Bools = (self.arrived <= month) & (month < self.closed)
        return result


def draw_firms(seed: int, people: int, population: Population, divisions: Divisions) -> Firms:
    """The firms of the first month, one for eight people, and those founded in the three years that follow."""
    first = max(400, people // 8)
    founded = max(2, first // 150)
    arrived = np.concatenate([np.ones(first, np.int64), np.repeat(np.arange(2, NEVER), founded)])
    rows, rng = len(arrived), stream(seed, "firms")
    kind = rng.choice(len(KINDS), rows, p=(0.45, 0.05, 0.1, 0.4))
    established = np.where(
        np.arange(rows) < first,
        calendar.bounds(1)[0] - rng.integers(1, 30 * 365, rows),
        calendar.first_days()[arrived] + rng.integers(0, 27, rows),
    )
    city = np.intersect1d(divisions.of_city, divisions.permanent)
    place = divisions.draw(rng, divisions.of_city, established, city)
    closed, closed_on = _closings(rng, arrived, established)
    counties = pa.array(divisions.names).take(pa.array(place))
    individual = kind == INDIVIDUAL
    capital = np.where(individual, rng.integers(1, 50, rows), rng.integers(10, 5000, rows)) * 1_000_000
    adults = np.flatnonzero((population.arrived == 1) & (population.births < calendar.bounds(1)[0] - 25 * 365))
    return Firms(
        codes=numbers.credit_codes(np.where(individual, 2, 1), divisions.codes[place], np.arange(rows)),
        names=names.firms(rng, counties, individual),
        addresses=names.addresses(rng, counties, CITY_NAME, rows),
        kind=kind,
        section=rng.integers(0, len(SECTIONS), rows),
        place=place,
        capital=capital,
        established=established,
        arrived=arrived,
        closed=closed,
        closed_on=closed_on,
        revoked=rng.random(rows) < 0.02,
        representative=rng.choice(adults, rows),
    )


def codes_of_nobody(firms: Firms, rows: Ints, divisions: Divisions) -> pa.StringArray:
    """Valid credit codes that no firm ever has, one for each of `rows`."""
    ones = np.ones(len(rows), np.int64)
    return numbers.credit_codes(ones, divisions.codes[firms.place[rows]], len(firms) + rows)


def register_rows(firms: Firms, divisions: Divisions, month: calendar.Month) -> tuple[Ints, pa.Table]:
    """Rows of the firms that the register holds in `month`, and its table `enterprises` by id."""
    rows = np.flatnonzero(firms.arrived <= month.number)
    taken = pa.array(rows)
    cancelled = firms.closed[rows] <= month.number
    status = np.where(cancelled, 2, np.where(firms.revoked[rows], 1, 0))
    columns = {
        "enterprise_id": pa.array(rows + 1),
        "credit_code": firms.codes.take(taken),
        "name": firms.names.take(taken),
        "kind": pa.array(KINDS).take(pa.array(firms.kind[rows])),
        "industry": pa.array(list(SECTIONS)).take(pa.array(firms.section[rows])),
        "division_code": pa.array(divisions.codes[firms.place[rows]]).cast(pa.string()),
        "registered_capital": numbers.money(firms.capital[rows]),
        "established_on": calendar.iso(firms.established[rows]),
        "status": pa.array(["1", "2", "3"]).take(pa.array(status)),
        "closed_on": calendar.iso(firms.closed_on[rows], cancelled),
        "address": firms.addresses.take(taken),
    }
    return rows, pa.table(columns)


def representative_rows(
    seed: int, firms: Firms, population: Population, month: calendar.Month
) -> tuple[Ints, pa.Table]:
    """Rows of the companies in the register, and its table `legal_representatives` by id."""
    rows = np.flatnonzero((firms.arrived <= month.number) & ~firms.individual)
    rng = stream(seed, "representatives")
    phones = names.phones(rng, len(firms)).take(pa.array(rows))
    after = rng.integers(0, 200, len(firms))[rows]
    person = pa.array(firms.representative[rows])
    columns = {
        "representative_id": pa.array(rows + 1),
        "credit_code": firms.codes.take(pa.array(rows)),
        "resident_no": population.numbers.take(person),
        "name": population.names.take(person),
        "phone": phones,
        "appointed_on": calendar.iso(np.minimum(firms.established[rows] + after, month.end - 1)),
    }
    return rows, pa.table(columns)


def taxpayer_rows(seed: int, firms: Firms, divisions: Divisions, month: calendar.Month) -> tuple[Ints, pa.Table]:
    """Rows of the firms that registered with the tax bureau since the last delivery, and that delivery."""
    rows = np.flatnonzero((firms.arrived == month.number) & (firms.closed > 0))
    rng = stream(seed, "taxpayers")
    general = (rng.random(len(firms)) < 0.4)[rows] & ~firms.individual[rows]
    after = rng.integers(0, 20, len(firms))[rows]
    columns = {
        "taxpayer_no": numbers.padded("T", rows + 1, 9),
        "credit_code": firms.codes.take(pa.array(rows)),
        "name": firms.names.take(pa.array(rows)),
        "kind": pc.if_else(pa.array(general), "general", "small"),
        "division_code": pa.array(divisions.codes[firms.place[rows]]).cast(pa.string()),
        "registered_on": calendar.iso(np.minimum(firms.established[rows] + after, month.end - 1)),
    }
    return rows, pa.table(columns)


def invoice_rows(seed: int, firms: Firms, month: calendar.Month) -> pa.Table:
    """The invoices that companies in business issued in `month`, by number."""
    sellers = np.flatnonzero(firms.active(month.number) & ~firms.individual)
    rng = stream(seed, "invoices", month.number)
    seller = np.repeat(sellers, rng.poisson(8, len(sellers)) + 1)
    rows = len(seller)
    amount = np.minimum((rng.lognormal(8.5, 1.4, rows) * 100).astype(np.int64) + 100, 9_000_000_000)
    rate = rng.choice(np.array([13, 9, 6, 3]), rows, p=(0.5, 0.15, 0.25, 0.1))
    buyer = pa.array(rng.choice(sellers, rows), mask=rng.random(rows) < 0.3)
    number = month.first * 10**9 + np.arange(1, rows + 1)
    columns = {
        "invoice_no": numbers.padded("44", number, 18),
        "seller_code": firms.codes.take(pa.array(seller)),
        "buyer_code": firms.codes.take(buyer),
        "kind": names.pick(rng, ("01", "04", "10"), rows),
        "issued_on": calendar.iso(rng.integers(month.first, month.end, rows)),
        "amount": numbers.money(amount),
        "tax_rate": pc.binary_join_element_wise("0", numbers.padded("", rate, 2), "."),
        "tax_amount": numbers.money((amount * rate + 50) // 100),
    }
    return pa.table(columns)


def _closings(rng: np.random.Generator, arrived: Ints, established: Ints) -> tuple[Ints, Ints]:
    """Month and day of cancellation: some before the demo, some later, most never."""
    rows, start = len(arrived), calendar.bounds(1)[0]
    fate = rng.random(rows)
    later = np.minimum(rng.integers(arrived + 1, arrived + 37), NEVER)
    closed = np.where((fate < 0.05) & (arrived == 1), 0, np.where(fate > 0.85, later, NEVER))
    inside = rng.random(rows)
    before = established + (inside * (start - established)).astype(np.int64)
    during = calendar.first_days()[np.maximum(closed, 1)] + (inside * 27).astype(np.int64)
    return closed, np.where(closed == 0, before, during)
