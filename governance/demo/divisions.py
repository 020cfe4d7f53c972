"""The demo's counties: real GB/T 2260 codes with the time in which each was valid, from the catalogue's own code set."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from governance.errors import GovernanceError

Ints = npt.NDArray[np.int64]

CITY = "4401"
CITY_NAME = "广东省广州市"
DEFAULT = Path(__file__).parents[2] / "catalog" / "standards" / "divisions.csv"
_ALWAYS = (-(10**6), 10**6)


@dataclass(frozen=True, slots=True)
class Divisions:
    """Parallel columns: `codes`, `names`, and the half-open validity in days since 1970."""

    codes: Ints
    names: tuple[str, ...]
    valid_from: Ints
    valid_to: Ints

    @property
    def of_city(self) -> Ints:
        """Positions of the city's own codes, abolished ones among them."""
        return np.flatnonzero(self.codes // 100 == int(CITY))

    @property
    def current(self) -> Ints:
        """Positions of the city's counties of today."""
        return np.array([i for i in self.of_city if self.valid_to[i] == _ALWAYS[1]], dtype=np.int64)

    @property
    def permanent(self) -> Ints:
        """Positions of codes without beginning or end."""
        return np.flatnonzero((self.valid_from == _ALWAYS[0]) & (self.valid_to == _ALWAYS[1]))

    def valid(self, positions: Ints, days: Ints) -> npt.NDArray[np.bool_]:
        result: npt.NDArray[np.bool_] = (self.valid_from[positions] <= days) & (days < self.valid_to[positions])
        return result

    def draw(self, rng: np.random.Generator, among: Ints, days: Ints, fallback: Ints) -> Ints:
        """A position for each day, valid on that day: of `among` if a few tries find one, else of `fallback`."""
        chosen = rng.choice(among, len(days))
        for pool in (among, among, among, fallback):
            wrong = np.flatnonzero(~self.valid(chosen, days))
            chosen[wrong] = rng.choice(pool, len(wrong))
        return chosen


def read_divisions(file: Path = DEFAULT) -> Divisions:
    """The code set; GovernanceError when it is not there or lacks the city."""
    if not file.is_file():
        raise GovernanceError(
            "no code set of divisions", where=str(file), do="give the folder of a catalogue that has it"
        )
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    found = Divisions(
        codes=np.array([int(r["code"]) for r in rows], dtype=np.int64),
        names=tuple(r["name"] for r in rows),
        valid_from=np.array([_days(r["valid_from"], _ALWAYS[0]) for r in rows], dtype=np.int64),
        valid_to=np.array([_days(r["valid_to"], _ALWAYS[1]) for r in rows], dtype=np.int64),
    )
    if not len(found.current):
        raise GovernanceError(
            f"no county of {CITY} in it", where=str(file), do="keep the demo city's counties in the code set"
        )
    return found


def _days(text: str, missing: int) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days if text else missing
