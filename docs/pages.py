"""Writes the pages of this folder that are made from the code: `python docs/pages.py`. A test holds them against it.

EXPECTATIONS.md    which expectation types of Great Expectations compile, and why the others do not
CONTRACTS.md       the `gov.` properties of a contract with their values, and the semantic checks
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from governance.catalog import properties
from governance.catalog.properties import RULES, Value
from governance.manage import semantics
from governance.manage.kwargs import FORMS
from governance.manage.registry import NOT_COMPILED, SUPPORTED

MEANING: Mapping[str, str] = {
    "gov.system": "the source system within the department; its datasets are collected together (default: the department)",
    "gov.loadMode": "what a batch is: the whole table (`full`, the default), new rows (`append`), the whole table from which changes are "
    "kept as versions by primary key (`snapshot_diff`), changed rows as versions by primary key (`upsert`)",
    "gov.watermark": "the field (date, timestamp or integer) that says which window a row of a database belongs to",
    "gov.maxQuarantine": "the share of quarantined rows above which a batch stops (default 1: never)",
    "gov.deduplicate": "keep one of several rows that are identical in every field",
    "gov.minRows": "the fewest records that a batch may have; fewer open an incident (a suite's row count can stop)",
    "gov.maxRows": "the most records that a batch may have",
    "gov.drift": "compare each batch with those before it: unlike ones warn, or stop (default: nobody looks)",
    "gov.domain": "the identifier domain (person, enterprise, ...): the field gets a token column, by which departments join without a key",
    "gov.codeSet": "the code set in `catalog/standards/` whose codes the value must be",
    "gov.check": "semantic checks, separated by commas (below)",
    "gov.keyGroup": "the key group of the encrypted column (default: its level)",
    "gov.sharing": "how the field may be shared with other departments (default none)",
    "gov.open": "whether the field is open to the public (default false)",
    "gov.format": "the file format, where the server's own properties do not say",
    "gov.encoding": "the file's encoding (default utf-8)",
    "gov.delimiter": "the separator of a delimited file",
    "gov.sheet": "the sheet of a workbook (default: the first)",
    "gov.table": "the table in the database, where it is not called like the schema object",
    "gov.url": "the database's address; environment variables as `${NAME}`",
}
_SEVERITY = "what becomes of a row (or a batch) that breaks this rule of the field; quarantine unless said"


def expectations() -> str:
    """The page EXPECTATIONS.md."""
    return "\n".join([*_expectations(), ""])


def contracts() -> str:
    """The page CONTRACTS.md."""
    return "\n".join([*_contracts(), ""])


def _expectations() -> Iterator[str]:
    yield "# Expectations that compile"
    yield ""
    yield "Made by `python docs/pages.py` from `governance/manage/registry.py`; do not edit."
    yield ""
    yield f"A suite in `expectations/` is GX's own JSON. {len(SUPPORTED)} of GX's types compile to SQL that is evaluated in the store pass,"
    yield "together with the contract's own rules; the results are genuine GX results. A type that does not compile is a fault of"
    yield "`gov check`, never a rule that is silently left out. `meta: {gov: {severity: warn | quarantine | stop}}` or GX's own"
    yield "`severity: info | warning | critical` says what a broken one means; a type about the table may warn or stop, never quarantine."
    for about, title in (("rows", "About rows"), ("table", "About the table")):
        yield ""
        yield f"## {title}"
        yield "| type | takes | `row_condition` |"
        yield "| --- | --- | --- |"
        for name, kind in sorted(SUPPORTED.items()):
            if kind.about == about:
                yield f"| `{name}` | {', '.join(f'`{k}`' for k in sorted(kind.kwargs))} | {'yes' if kind.conditional else 'no'} |"
    yield ""
    yield "## What each of them must be"
    yield "Anything else is a fault of `gov check` at the expectation's place, and so is an interval that nothing is in."
    yield ""
    yield "| kwarg | must be | may be left out |"
    yield "| --- | --- | --- |"
    for name, form in sorted(FORMS.items()):
        yield f"| `{name}` | {form.allowed}{', or null' if form.null else ''} | {'yes' if form.optional else 'no'} |"
    yield ""
    yield "Of `min_value` and `max_value` one must be there. Of counts and lengths they are whole numbers from 0, of proportions numbers from 0 to 1, of"
    yield "mean, median, sum and deviation numbers, else what the column holds: numbers, or dates as YYYY-MM-DD. Text has no bounds, as in GX."
    yield ""
    yield "## Not compiled"
    yield "`gov judge DATASET --suite FILE --with-gx` runs these by GX's own pandas engine over the rows in force: a job of its own, under a grant of"
    yield "`service:manage@<department>` with the purpose `pipeline.judge_with_gx`, whose result is marked with the engine, is recorded, and warns. It holds no"
    yield "row and stops no batch. Types that are SQL or read another table error there, and are told as errored."
    yield ""
    yield "| type | why, and what to do |"
    yield "| --- | --- |"
    for name, why in sorted(NOT_COMPILED.items()):
        yield f"| `{name}` | {why} |"


def _contracts() -> Iterator[str]:
    yield "# Our facts in a contract"
    yield ""
    yield "Made by `python docs/pages.py` from `governance/catalog/properties.py`; do not edit."
    yield ""
    yield "Contracts are ODCS v3.1, in `catalog/<department>/<dataset>.odcs.yaml`. What the standard has no word for rides in its"
    yield "`customProperties`, under names that begin with `gov.`; other people's names are left alone, an unknown `gov.` name is a fault."
    for title, known in (
        ("On the dataset (a schema object)", properties.DATASET),
        ("On a field (a property)", properties.FIELD),
        ("On a server", properties.SERVER),
    ):
        yield ""
        yield f"## {title}"
        yield "| property | value | meaning |"
        yield "| --- | --- | --- |"
        yield from _rows(known)
    yield ""
    yield "## Checks that `gov.check` may name"
    yield "| check | argument |"
    yield "| --- | --- |"
    for name, needs in semantics.NAMES.items():
        yield f"| `{name}` | {'a field: `' + name + ':<field>`' if needs else 'none'} |"
    yield ""
    yield "What each one checks, by which standard, is the docstring of `governance/manage/semantics.py`."


def _rows(known: Mapping[str, Value]) -> Iterator[str]:
    for name, value in known.items():
        if not name.startswith("gov.severity."):
            yield f"| `{name}` | {value.allowed} | {MEANING[name]} |"
    severities = [name for name in known if name.startswith("gov.severity.")]
    if severities:
        assert [name.rpartition(".")[2] for name in severities] == list(RULES)
        yield f"| `gov.severity.<rule>` of {', '.join(RULES)} | {known[severities[0]].allowed} | {_SEVERITY} |"


PAGES: Mapping[str, Callable[[], str]] = {"EXPECTATIONS.md": expectations, "CONTRACTS.md": contracts}

if __name__ == "__main__":
    for page, text in PAGES.items():
        Path(__file__).with_name(page).write_text(text(), encoding="utf-8")
