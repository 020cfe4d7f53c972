"""Homes that agree on everything that one subject may see and differ in the rest, and what that subject observes of them.

    base      the people below
    of_li     what masks hide from the statistician is otherwise: names after the first character, days within the decade, incomes
    of_zhao   what the caseworker of district 110101 may not see is otherwise: rows of other districts (and their number), incomes

All homes use one keyring, so that tokens are the same where the identifiers are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

from governance.errors import Refused
from governance.keys.keyring import Keyring
from governance.lake.lake import Lake
from governance.state.values import Actor
from governance.use.guard import examine
from governance.use.scans import plan_scans
from tests.attacks.locked import Session, published, scanned
from tests.use.asking import ask, observed
from tests.use.conftest import ACCESS, Home, catalogue_of, open_home

LI = ("user:li", "statistics")
ZHAO = ("user:zhao", "benefits")
IDLE = ("user:idle", "statistics")
RULES = ACCESS.replace("max_rows: 2", "max_rows: 500")

OWN = [
    ("110101199003074514", "王小明", date(1990, 3, 7), "110101", 1),
    ("110101195512240011", "李四光", date(1955, 12, 24), "110101", 2),
]
FOREIGN = [
    ("110102198001010022", "张无忌", date(1980, 1, 1), "110102", 3),
    ("110102197512120033", "赵HIDDEN", date(1975, 12, 12), "110102", 4),
]
ELSEWHERE = [(f"1101031966060600{n}", f"钱HIDDEN{n}", date(1966, 6, n - 40), "110103", n) for n in range(41, 64)]
NOBODY = (None, None, None, None, "110103", 5)


def _paid(people: Sequence[tuple], incomes: Sequence[str]) -> list[tuple]:
    amounts = [Decimal(incomes[at % len(incomes)]) for at in range(len(people))]
    return [(*person[:3], amount, *person[3:]) for person, amount in zip(people, amounts, strict=True)]


BASE = [*_paid([*OWN, *FOREIGN], ["1000.51", "2000.02", "7777.77", "8888.88"]), NOBODY]
OF_LI = [
    (
        number,
        name and name[0] + "隐藏" + str(at),
        born and date(born.year // 10 * 10 + 9, 9, 9),
        Decimal(3133731 + at),
        where,
        rank,
    )
    for at, (number, name, born, _, where, rank) in enumerate(BASE)
]
OF_ZHAO = _paid([*OWN, *ELSEWHERE], ["3133731.01", "3133732.02"])

_INCOMES = ("1000.51", "2000.02", "7777.77", "8888.88", "313373")
HIDDEN = {
    LI: (
        *("小明", "四光", "无忌", "HIDDEN", "隐藏", "1990-03-07", "1990, 3, 7", "1955-12-24", "1955, 12, 24"),
        *(person[0] for person in [*OWN, *FOREIGN]),
        *_INCOMES,
    ),
    ZHAO: ("无忌", "HIDDEN", "1966", "1975", "110102", "110103", *_INCOMES),
    IDLE: ("王", "李", "张", "赵", "110101", "HIDDEN", "1990", *_INCOMES),
}
"""Canaries: texts that must not be in anything that the subject observes."""


class Asked:
    """One home as one subject sees it: the real guard, decision, grant, scanner and locked worker, with their processes kept."""

    def __init__(self, home: Home, who: tuple[str, str]) -> None:
        self.home, self.who = home, who
        self._actor = Actor(*who, "attack")
        self._published = published(home)
        try:
            scans = plan_scans(examine("SELECT * FROM curated.person"), self._published, self._actor, home.database)
        except Refused:
            scans = ()
        tables = scanned(home, scans, who, self._published.release) if scans else {}
        self._everything = {name: (name, table.column_names) for name, table in tables.items()}
        self._session = Session(tables)

    def observe(self, sql: str) -> tuple[str, object]:
        """Schema and rows, or class and text of the error. What is refused before a process starts is asked of `query` itself."""
        try:
            scans = plan_scans(examine(sql), self._published, self._actor, self.home.database)
        except Refused:
            return observed(self.home, sql, *self.who)
        if any(scan.grouped for scan in scans):
            return observed(self.home, sql, *self.who)
        tables = {scan.restrictions.table: (scan.restrictions.table, [c.name for c in scan.columns]) for scan in scans}
        answer = self._session.ask(sql, tables)
        return (answer[0], answer[1]) if len(answer) == 2 else ("Refused", answer[0])

    def past(self, sql: str) -> list:
        """[schema, rows] or [code], asked of the locked worker past the guard, with all that the subject may see in it."""
        return self._session.ask(sql, self._everything)

    def close(self) -> None:
        self._session.__exit__()


class Worlds:
    """The homes, and what is asked of them."""

    def __init__(self, base: Home, of_li: Home, of_zhao: Home) -> None:
        self.base, self.of_li, self.of_zhao = base, of_li, of_zhao
        self._asked: dict[tuple[int, tuple[str, str]], Asked] = {}

    def close(self) -> None:
        for asked in self._asked.values():
            asked.close()
        for home in (self.base, self.of_li, self.of_zhao):
            home.database.close()

    def pair(self, who: tuple[str, str]) -> tuple[Home, Home]:
        """Two homes that look alike to `who`."""
        return self.base, self.of_li if who == LI else self.of_zhao

    def asked(self, home: Home, who: tuple[str, str]) -> Asked:
        if (id(home), who) not in self._asked:
            self._asked[id(home), who] = Asked(home, who)
        return self._asked[id(home), who]

    def past(self, statements: Sequence[str], who: tuple[str, str] = ZHAO) -> list[list]:
        """[schema, rows] or [code] of each, past the guard; the same in both worlds, without a canary."""
        first, second = ([self.asked(home, who).past(sql) for sql in statements] for home in self.pair(who))
        assert first == second
        clean(first, who)
        return first

    def same(self, sql: str, who: tuple[str, str] = LI) -> tuple[str, object]:
        """What `who` observes of `sql`, the same in both worlds, without a canary."""
        first, second = (self.asked(home, who).observe(sql) for home in self.pair(who))
        assert first == second, sql
        clean(first, who)
        return first

    def rows(self, sql: str, who: tuple[str, str] = LI) -> list[tuple]:
        """Rows of an answer that must be one."""
        _, found = self.same(sql, who)
        assert isinstance(found, list), (sql, found)
        return [tuple(row) for row in found]

    def refused(self, sql: str, who: tuple[str, str] = LI) -> str:
        """The text of a refusal that must be one: no statement of the user ran."""
        kind, text = self.same(sql, who)
        assert kind == "Refused", (sql, kind)
        return str(text)

    def unread(self, sql: str, who: tuple[str, str] = LI) -> str:
        """The same, and the guard alone refused: nothing was opened for it."""
        try:
            examine(sql)
        except Refused:
            return self.refused(sql, who)
        raise AssertionError(f"the guard lets it through: {sql}")


def clean(shown: object, who: tuple[str, str]) -> None:
    """Nothing that is hidden from `who` is in what was observed."""
    text = str(shown)
    assert not [canary for canary in HIDDEN[who] if canary in text]
    assert "Did you mean" not in text


def make(folder: Path) -> Worlds:
    """Three released homes with one keyring."""
    keyring = folder / "keys"
    homes = []
    for name, people in (("base", BASE), ("of_li", OF_LI), ("of_zhao", OF_ZHAO)):
        home = with_keyring(open_home(folder / name, catalogue_of(RULES)), keyring)
        home.fill(people)
        home.release()
        homes.append(home)
    return Worlds(*homes)


def with_keyring(home: Home, keyring: Path) -> Home:
    """The home with its keys in another folder."""
    settings = dataclasses.replace(home.settings, keyring=keyring)
    keystore = Keyring(keyring, home.database)
    return Home(settings, home.catalogue, home.database, keystore, Lake(settings, home.database, keystore))


def answer(home: Home, sql: str, who: tuple[str, str] = LI) -> list[tuple]:
    """Rows of one home."""
    return [tuple(row.values()) for row in ask(home, sql, *who).to_pylist()]
