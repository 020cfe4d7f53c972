"""The demo's closing screen: what came in, what was made of it, who sees what of one record, and what a thief gets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal

from governance.config import Settings
from governance.demo.detected import read_answers, read_detected
from governance.demo.score import score, table_text
from governance.demo.stolen import steal
from governance.errors import Refused
from governance.pipeline.context import Context, open_context
from governance.pipeline.report import write_report
from governance.pipeline.report.facts import ReportFacts, TableFacts
from governance.pipeline.report.read import read_facts
from governance.use.query import query

RECORD = "curated.person"
SHOWN = ("resident_no", "name", "birth_date", "division_code", "address", "phone", "insurance_base")
ROLES = (
    ("caseworker", "user:wang", "benefits"),
    ("statistician", "user:li", "statistics"),
    ("researcher", "user:he", "research"),
)
COUNTY = "440106"
"""The caseworker's own county."""
ABSENT = "(not there)"


def closing_screen(settings: Settings, months: Iterable[str]) -> str:
    """The whole screen as text. Writes the report first, so that its path can be shown."""
    context = open_context(settings)
    page = write_report(context)
    facts = read_facts(context)
    sections = (
        ("What came in", _came_in(facts)),
        ("Curated tables", _curated(facts)),
        ("Injected faults against what quality found", _scored(context, tuple(months))),
        (f"One record of {RECORD}, as three roles see it", _three_roles(context)),
        ("A lake copied without its keyring", _stolen(settings)),
        ("Look for yourself", _look(settings, str(page))),
    )
    return "\n".join(line for title, lines in sections for line in ("", f"== {title}", *lines))


def _came_in(facts: ReportFacts) -> Iterator[str]:
    yield f"{'dataset':42} {'received':>9} {'passed':>9} {'held back':>9}  most frequent reasons"
    for table in facts.datasets:
        counts = [run.counts for run in table.runs if run.counts is not None]
        received = sum(c.parsed + c.unparsed for c in counts)
        passed, held = sum(c.passed for c in counts), sum(c.quarantined for c in counts)
        yield f"{table.name:42} {received:9,} {passed:9,} {held:9,}  {_top_reasons(table)}"


def _top_reasons(table: TableFacts) -> str:
    totals: dict[str, int] = {}
    for run in table.runs:
        for rule in run.broken_rules:
            totals[rule.id] = totals.get(rule.id, 0) + rule.unexpected
    top = sorted(totals.items(), key=lambda item: (-item[1], item[0]))[:3]
    return ", ".join(f"{rule} {count}" for rule, count in top)


def _curated(facts: ReportFacts) -> Iterator[str]:
    for table in facts.curated:
        rows = table.latest.counts.passed if table.latest and table.latest.counts else 0
        findings = "; ".join(f"{name}: {count} findings" for name, count in table.findings.items())
        yield f"{table.name:42} {rows:9,} rows  {findings}"


def _scored(context: Context, months: tuple[str, ...]) -> Iterator[str]:
    answers = read_answers(context.settings.home / "answers")
    yield from table_text(score(answers, read_detected(context, months))).splitlines()


def _three_roles(context: Context) -> Iterator[str]:
    record = _record(context)
    with ThreadPoolExecutor(len(ROLES)) as side_by_side:
        views = list(side_by_side.map(lambda role: _view(context, role[1], role[2], record), ROLES))
    yield f"{'':16}" + "".join(f"{role + ' (' + purpose + ')':34}" for role, _, purpose in ROLES)
    for column in SHOWN:
        yield f"{column:16}" + "".join(_padded(view.get(column, ABSENT), 34) for view in views)


def _view(context: Context, subject: str, purpose: str, record: str) -> dict[str, str]:
    """What one subject sees of the demo's record; a column that it may not see is not there."""
    everything = _ask(context, subject, purpose, f"SELECT * FROM {RECORD} WHERE {record}")
    visible = [column for column in SHOWN if column in everything]
    return {column: "NULL" if everything[column] is None else str(everything[column]) for column in visible}


def _ask(context: Context, subject: str, purpose: str, sql: str) -> dict[str, object]:
    answer = query(
        sql,
        subject=subject,
        purpose=purpose,
        settings=context.settings,
        catalogue=context.catalogue,
        database=context.database,
        lake=context.lake,
        keystore=context.keystore,
    )
    with answer:
        rows = answer.table().to_pylist()
    return rows[0] if rows else {}


def _record(context: Context) -> str:
    """A condition that holds for one record alone, found with what the statistician may see.

    Sex, status and month are seen by all three; birth date and base are ranges that hold for each role's coarser or finer form of the value.
    """
    open_to_all = "sex, insured_status, insured_until"
    row = _ask(
        context,
        "user:li",
        "statistics",
        f"SELECT {open_to_all}, birth_date, insurance_base FROM {RECORD} WHERE division_code = '{COUNTY}'"
        " AND insurance_base IS NOT NULL GROUP BY ALL HAVING count(*) = 1 ORDER BY ALL LIMIT 1",
    )
    if not row:
        raise Refused("no record of the county stands alone", do="generate more people")
    decade, base = row["birth_date"], row["insurance_base"]
    assert isinstance(decade, date)
    assert isinstance(base, Decimal)
    return (
        f"division_code = '{COUNTY}' AND sex = '{row['sex']}' AND insured_status = '{row['insured_status']}'"
        f" AND insured_until = '{row['insured_until']}'"
        f" AND birth_date >= '{decade.year}-01-01' AND birth_date < '{decade.year + 10}-01-01'"
        f" AND insurance_base >= {base} AND insurance_base < {base + 1000}"
    )


def _stolen(settings: Settings) -> Iterator[str]:
    theft = steal(settings)
    yield f"{theft.columns:,} encrypted columns of files were tried, with the state database and forged grants at hand"
    yield f"values given to our own reader: {theft.given_to_our_reader}; to plain PyArrow: {theft.given_to_plain_pyarrow}"
    yield f"the same reader with the keys reads {theft.given_with_the_keys} of {theft.columns_of_tables} columns of tables"


def _look(settings: Settings, page: str) -> Iterator[str]:
    yield f"quality report and lineage pages   {page}"
    yield f"gov --home {settings.home} lineage curated.person.resident_no"
    yield f"gov --home {settings.home} who-sees curated.person.name"
    yield f'gov --home {settings.home} query --as user:li --purpose statistics "SELECT count(*) FROM curated.person"'


def _padded(text: str, width: int) -> str:
    """`text` cut and padded to `width` columns of a terminal, where a Chinese character takes two.

    >>> _padded("王五", 6) + "|"
    '王五  |'
    """
    shown, used = "", 0
    for character in text:
        wide = 2 if ord(character) > 0x2E7F else 1
        if used + wide > width - 1:
            break
        shown, used = shown + character, used + wide
    return shown + " " * (width - used)
