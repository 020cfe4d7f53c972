"""Everybody who ever lives in the demo city, drawn once from (seed, people); a month only asks who is there and where.

People come in households: a head, for most a spouse, children. Each month some households move, some people leave, some are born and
some arrive, all decided beforehand, so that any month can be generated without the ones before it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from governance.demo import calendar, names, numbers
from governance.demo.divisions import Divisions
from governance.errors import GovernanceError

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NEVER = calendar.MONTHS + 1
_YEAR = 365
_SIZES, _SHARES = (1, 2, 3, 4, 5), (0.30, 0.22, 0.28, 0.15, 0.05)
_SLOTS = 400
"""Numbers in use for one county, birth date and sex; sequences above twice that are left for numbers of nobody."""


@dataclass(frozen=True, slots=True)
class Population:
    """Parallel columns, one row a person; the row number plus one is the person's id in the register.

    `position` in the household: 0 head, 1 spouse, from 2 children. `arrived`, `left` and `moved` are months: present while
    `arrived <= month < left`, at home in `second_home` from `moved` on. Places and homes are positions in `Divisions`.
    """

    numbers: pa.StringArray
    names: pa.StringArray
    male: Bools
    births: Ints
    birth_places: Ints
    sequences: Ints
    household: Ints
    position: Ints
    alone: Bools
    heads: Ints
    arrived: Ints
    left: Ints
    moved: Ints
    first_home: Ints
    second_home: Ints

    def __len__(self) -> int:
        return len(self.births)

    def present(self, month: int) -> Bools:
        result: Bools = (self.arrived <= month) & (month < self.left)
        return result

    def home(self, month: int) -> Ints:
        return np.where(self.moved <= month, self.second_home, self.first_home)


def draw_population(seed: int, people: int, divisions: Divisions) -> Population:
    """The people of the first month and those of the three years that follow."""
    arrivals = max(2, people // 200)
    arrived = np.concatenate([np.ones(people, np.int64), np.repeat(np.arange(2, NEVER), arrivals)])
    household, position, size = _households(stream(seed, "households"), people, len(arrived))
    heads = np.zeros(int(household.max()) + 1, np.int64)
    heads[household[position == 0]] = np.flatnonzero(position == 0)
    male = _sexes(stream(seed, "sexes"), position, heads[household])
    births = _births(stream(seed, "births"), position, size, heads[household], arrived, people)
    homes = [stream(seed, "homes", n).choice(divisions.current, len(heads))[household] for n in (1, 2)]
    rng = stream(seed, "moves")
    moved = np.where(rng.random(len(heads)) < 0.36, rng.integers(2, NEVER, len(heads)), NEVER)[household]
    born_here = (position >= 2) & (arrived > 1)
    places = _birth_places(stream(seed, "places"), births, divisions)
    places = np.where(born_here, np.where(moved <= arrived, homes[1], homes[0]), places)
    sequences = _sequences(divisions.codes[places], births, male)
    rng = stream(seed, "leavers")
    left = np.where(rng.random(len(arrived)) < 0.06, rng.integers(arrived + 1, NEVER + 1), NEVER)
    rng = stream(seed, "names")
    family = names.surnames(rng, len(arrived))
    family = np.where(position >= 2, family[heads[household]], family)
    return Population(
        numbers=numbers.resident_numbers(divisions.codes[places], calendar.compact(births), sequences),
        names=names.people(rng, family, male),
        male=male,
        births=births,
        birth_places=places,
        sequences=sequences,
        household=household,
        position=position,
        alone=(size == 1) & (position == 0),
        heads=heads,
        arrived=arrived,
        left=left,
        moved=moved,
        first_home=homes[0],
        second_home=homes[1],
    )


def numbers_of_nobody(population: Population, persons: Ints, divisions: Divisions) -> pa.StringArray:
    """Valid numbers that nobody ever has: county and birth date of these persons with a sequence that is never given out."""
    sequences = 2 * _SLOTS + 1 + (population.sequences[persons] * 2 + persons) % 198
    codes = divisions.codes[population.birth_places[persons]]
    return numbers.resident_numbers(codes, calendar.compact(population.births[persons]), sequences)


def stream(seed: int, *name: object) -> np.random.Generator:
    """A random stream of its own for each name, so that one more draw here changes nothing there."""
    return np.random.default_rng([seed, zlib.crc32("/".join(map(str, name)).encode("utf-8"))])


def _households(rng: np.random.Generator, people: int, total: int) -> tuple[Ints, Ints, Ints]:
    """Household, position in it and its size in the first month. Every other arrival is born to a couple while there are couples."""
    sizes = rng.choice(_SIZES, people, p=_SHARES)
    ends = np.cumsum(sizes)
    household = np.searchsorted(ends, np.arange(people), side="right")
    position = np.arange(people) - (ends - sizes)[household]
    counts = np.bincount(household)
    later = total - people
    couples = rng.permutation(np.flatnonzero(counts == 2))[: later // 2]
    born = np.zeros(later, np.bool_)
    born[1 : 2 * len(couples) : 2] = True
    new = np.zeros(later, np.int64)
    new[born] = couples
    new[~born] = len(counts) + np.arange(later - len(couples))
    household = np.concatenate([household, new])
    position = np.concatenate([position, np.where(born, 2, 0)])
    size = np.concatenate([counts, np.ones(later - len(couples), np.int64)])[household]
    return household, position, size


def _sexes(rng: np.random.Generator, position: Ints, head: Ints) -> Bools:
    male: Bools = rng.random(len(position)) < 0.5
    return np.where(position == 1, ~male[head], male)


def _births(rng: np.random.Generator, position: Ints, size: Ints, head: Ints, arrived: Ints, people: int) -> Ints:
    rows, start = len(position), calendar.bounds(1)[0]
    oldest, youngest = np.where(size >= 3, 62, 84), np.where(size >= 3, 31, 23)
    births = start - rng.integers(youngest * _YEAR, oldest * _YEAR, rows)
    newcomer = np.arange(rows) >= people
    births = np.where(newcomer, start - rng.integers(20 * _YEAR, 45 * _YEAR, rows), births)
    spouse = np.minimum(births[head] + rng.integers(-1200, 1200, rows), start - 22 * _YEAR)
    child = np.minimum(births[head] + rng.integers(23 * _YEAR, 30 * _YEAR, rows), start - rng.integers(30, 700, rows))
    newborn = calendar.first_days()[arrived] + rng.integers(0, 27, rows)
    births = np.where(position == 1, spouse, births)
    births = np.where(position >= 2, np.where(newcomer, newborn, child), births)
    return births


def _birth_places(rng: np.random.Generator, births: Ints, divisions: Divisions) -> Ints:
    here = divisions.draw(rng, divisions.of_city, births, divisions.permanent)
    elsewhere = divisions.draw(rng, np.arange(len(divisions.codes)), births, divisions.permanent)
    return np.where(rng.random(len(births)) < 0.6, here, elsewhere)


def _sequences(codes: Ints, births: Ints, male: Bools) -> Ints:
    """Sequences 1 to 800, odd for men, each once for a county, birth date and sex."""
    key = (codes * 10**6 + births) * 2 + male
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    lengths = np.diff(np.append(starts, len(ordered)))
    if lengths.max() > _SLOTS:
        raise GovernanceError("more people of one county and birth date than numbers", do="generate fewer people")
    rank = np.empty(len(key), np.int64)
    rank[order] = np.arange(len(key)) - np.repeat(starts, lengths)
    slot = (rank * 37 + key // 2 % 397) % _SLOTS
    return 2 * slot + np.where(male, 1, 2)
