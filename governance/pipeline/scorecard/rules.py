"""The rules of the scorecard: what gives points, how many, out of which table of the state, and why it is asked for.

Each stage has 100 points. A rule gives the share of its points that its facts meet (`Fact.good` of `Fact.of`). A rule that has nothing to speak
of yet (`of` 0) is left out, and the stage's score is its points out of those of the rules that speak. To change what a point means, change
this table: nothing else in the code knows a number of points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from governance.pipeline.scorecard.standing import Moment, Standing

Stage = Literal["collect", "store", "manage", "develop", "use"]
STAGES: tuple[Stage, ...] = get_args(Stage)
CHINESE: dict[Stage, str] = {"collect": "采", "store": "存", "manage": "管", "develop": "研", "use": "用"}

OLD_DAYS = 7
"""An incident that is open longer has not been worked on."""


@dataclass(frozen=True, slots=True)
class Fact:
    """`good` of `of`, in `unit`s; `lacking` names what keeps points back, the worst first."""

    good: float
    of: float
    unit: str
    lacking: tuple[str, ...] = ()

    @property
    def share(self) -> float | None:
        return self.good / self.of if self.of else None

    @property
    def shown(self) -> str:
        """
        >>> Fact(17, 18, "datasets").shown, Fact(3.955, 4, "tables").shown
        ('17 of 18 datasets', '3.95 of 4 tables')
        """
        good = f"{self.good:,.0f}" if float(self.good).is_integer() else f"{self.good - 0.005:,.2f}"
        return f"{good} of {self.of:,.0f} {self.unit}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table. `source` names the tables of the state, or the declarations, that the fact is counted in."""

    stage: Stage
    id: str
    points: int
    says: str
    reason: str
    source: str
    fact: Callable[[Moment], Fact]


def _share(
    tables: Iterable[Standing], holds: Callable[[Standing], bool | float | None], unit: str, told: str = ""
) -> Fact:
    """One point a table that `holds` (or that share of one); tables of which it gives None are not counted."""
    shares = [(float(value), table.name) for table in tables if (value := holds(table)) is not None]
    lacking = sorted((share, name) for share, name in shares if share < 1)
    names = tuple(f"{name} {100 * share:.1f} %" if told and share else name for share, name in lacking)
    return Fact(sum(share for share, _ in shares), len(shares), unit, names)


def _landed(moment: Moment) -> Fact:
    return _share((t for t in moment.datasets if t.has_source), lambda t: t.newest is not None, "datasets")


def _collected(moment: Moment) -> Fact:
    return _share((t for t in moment.datasets if t.has_source), lambda t: not t.failed, "datasets")


def _has_source(moment: Moment) -> Fact:
    return _share(moment.datasets, lambda t: t.has_source, "datasets")


def _on_time(moment: Moment) -> Fact:
    return _share(moment.datasets, lambda t: t.on_time, "datasets")


def _reconciled(moment: Moment) -> Fact:
    return _share(moment.datasets, lambda t: t.reconciled, "datasets")


def _stored(moment: Moment) -> Fact:
    return _share((t for t in moment.datasets if t.newest), lambda t: not t.waits, "datasets")


def _parsed(moment: Moment) -> Fact:
    def share(table: Standing) -> float | None:
        run = table.judged
        return run.counts.parsed / run.received if run and run.counts and run.received else None

    return _share(moment.datasets, share, "datasets", "share")


def _balanced(moment: Moment) -> Fact:
    def holds(table: Standing) -> bool | None:
        return table.judged.counts.balanced if table.judged and table.judged.counts else None

    return _share(moment.datasets, holds, "datasets")


def _encrypted(moment: Moment) -> Fact:
    files = [(table.name, table.files) for table in moment.tables if table.files]
    lacking = tuple(name for name, found in files if found.encrypted < found.all)
    return Fact(sum(f.encrypted for _, f in files), sum(f.all for _, f in files), "data files", lacking)


def _let_in(moment: Moment) -> Fact:
    return _share(moment.datasets, lambda t: t.judged.outcome != "stop" if t.judged else None, "datasets")


def _kept(moment: Moment) -> Fact:
    tallies = [(table.tally, table.name) for table in moment.tables if table.tally.rules]
    lacking = sorted((tally.kept / tally.rules, name) for tally, name in tallies if tally.kept < tally.rules)
    names = tuple(f"{name} {100 * share:.2f} %" for share, name in lacking)
    return Fact(sum(t.kept for t, _ in tallies), sum(t.rules for t, _ in tallies), "rules", names)


def _judgeable(moment: Moment) -> Fact:
    tallies = [(table.tally, table.name) for table in moment.tables if table.tally.rules]
    rules, errored = sum(t.rules for t, _ in tallies), sum(t.errored for t, _ in tallies)
    return Fact(rules - errored, rules, "rules", tuple(name for tally, name in tallies if tally.errored))


def _worked_on(moment: Moment) -> Fact:
    return _share((t for t in moment.tables if t.judged), lambda t: not t.old_incidents, "tables")


def _stewards(moment: Moment) -> Fact:
    return _share(moment.tables, lambda t: t.steward, "contracts")


def _classified(moment: Moment) -> Fact:
    lacking = tuple(table.name for table in moment.tables if table.classified < table.fields)
    return Fact(sum(t.classified for t in moment.tables), sum(t.fields for t in moment.tables), "fields", lacking)


def _built(moment: Moment) -> Fact:
    return _share(moment.curated, lambda t: bool(t.judged and t.judged.outcome != "stop"), "curated tables")


def _lineage(moment: Moment) -> Fact:
    return _share(moment.curated, lambda t: t.lineage, "curated tables")


def _up_to_date(moment: Moment) -> Fact:
    at = {table.name: table.judged_at for table in moment.tables}

    def holds(table: Standing) -> bool | None:
        build = table.judged
        if build is None:
            return None
        return all((seen := at.get(name)) is None or seen <= build.at for name in build.inputs)

    return _share(moment.curated, holds, "curated tables")


def _agree(moment: Moment) -> Fact:
    def share(table: Standing) -> float | None:
        build = table.judged
        if build is None or build.counts is None or not build.counts.passed:
            return None
        return 1.0 - min(1.0, sum(build.findings.values()) / build.counts.passed)

    return _share(moment.curated, share, "curated tables", "share")


def _published(moment: Moment) -> Fact:
    released = moment.released or {}
    return _share((t for t in moment.curated if t.judged), lambda t: t.name in released, "curated tables")


def _current(moment: Moment) -> Fact:
    released = moment.released or {}
    standing: Sequence[Standing] = [table for table in moment.curated if table.name in released]
    return _share(standing, lambda t: bool(t.judged) and _snapshot(t) == released[t.name], "published tables")


def _snapshot(table: Standing) -> int | None:
    return table.judged.snapshot if table.judged else None


def _signed(moment: Moment) -> Fact:
    return Fact(min(moment.signed, moment.entries), moment.entries, "ledger entries")


def _reviewed(moment: Moment) -> Fact:
    return Fact(moment.reviewed, moment.break_glasses, "break-glasses")


RULES: tuple[Rule, ...] = (
    Rule("collect", "source", 10, "the contract names a source",
         "a contract without one is a promise that nobody can keep", "contracts", _has_source),
    Rule("collect", "landed", 35, "with a source, a batch has landed",
         "what never came in cannot be governed", "batch", _landed),
    Rule("collect", "no_failure", 25, "with a source, the newest try did not fail",
         "a failure that nothing newer makes up for means that readers see old data", "ledger_entry, kind failure", _collected),
    Rule("collect", "on_time", 30, "with an agreed service level, the newest observation of freshness is met",
         "late data is wrong data for whoever needs it today", "observation, kind freshness", _on_time),
    Rule("store", "stored", 25, "the newest batch is stored and judged",
         "a batch that is stuck is neither used nor refused", "batch", _stored),
    Rule("store", "parsed", 15, "the share of records of the newest batch that a parser accepts",
         "an unparsed line is data that is there and cannot be read", "batch, judged value", _parsed),
    Rule("store", "conserved", 20, "the newest batch keeps the conservation law",
         "parsed + unparsed = passed + quarantined + rejected + duplicates: no row is lost or made up", "batch, judged value", _balanced),
    Rule("store", "encrypted", 25, "every field that is sensitive by its contract is encrypted in it",
         "who copies the disk must get nothing", "lake_file", _encrypted),
    Rule("store", "reconciled", 15, "compared with its live source, the newest comparison found nothing lost",
         "what was lost on the way is seen by nobody who looks at the lake alone", "observation, kind reconcile", _reconciled),
    Rule("manage", "let_in", 20, "the newest verdict was not stop",
         "a stop leaves readers with what they had", "validation", _let_in),
    Rule("manage", "rules_met", 35, "the share of rows that meet it, over all rules of newest verdicts",
         "this is the quality of the data itself, by all six dimensions", "validation, dimensions", _kept),
    Rule("manage", "judgeable", 10, "of newest verdicts, could be evaluated",
         "a rule that errors is never a pass", "validation, dimensions", _judgeable),
    Rule("manage", "incidents", 15, f"judged, no incident is open for more than {OLD_DAYS} days",
         "what fails must be somebody's work, not a habit", "incident", _worked_on),
    Rule("manage", "stewards", 10, "it names a steward",
         "an incident without an owner is closed by nobody", "contracts", _stewards),
    Rule("manage", "classified", 10, "classified",
         "what nobody has classified is treated as sensitive and never published", "contracts", _classified),
    Rule("develop", "built", 35, "the newest build was let in",
         "a stopped build leaves the previous snapshot in force", "build", _built),
    Rule("develop", "lineage", 25, "built, the column lineage is complete",
         "an origin that cannot be named cannot be answered for", "run, edge_set", _lineage),
    Rule("develop", "up_to_date", 20, "built, newer than all its inputs",
         "a table that was not built again speaks of the past", "build, validation", _up_to_date),
    Rule("develop", "agreement", 20, "built, the share of rows without a finding of a check between departments",
         "two departments that contradict one another cannot both be right", "finding", _agree),
    Rule("use", "published", 35, "built, the live release names it",
         "what is built and not published serves nobody", "ledger_entry, kind release_published", _published),
    Rule("use", "current", 25, "the newest build is the one published",
         "readers see what was reviewed, which may be old", "ledger_entry, build", _current),
    Rule("use", "signed", 25, "an hour old or older, a signed checkpoint covers it",
         "an access that is not signed for can be denied later", "ledger_entry, checkpoint", _signed),
    Rule("use", "reviewed", 15, "over, and reviewed",
         "raw access without asking is excused by its review alone", "access_request, access_step", _reviewed),
)  # fmt: skip
"""Points of a stage add up to 100 (a test holds that)."""
