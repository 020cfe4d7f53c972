from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.catalog.rules import RowRule
from governance.catalog.types import ColumnType, Field, Level
from governance.store.plan import Plan, reasons_of
from governance.store.shapes import Shape, classes_of, shapes
from tests.store.conftest import Home, dataset_of, rules_of

TEXT = Field("t", ColumnType("string"), "t", classification=Level.L1)
NUMBER = Field("n", ColumnType("integer"), "n", classification=Level.L1)

SHAPES = (
    "^[0-9]{17}[0-9X]$",
    "^1[0-9]{2}$",
    "^[0-9A-HJ-NPQRTUWXY]{2}$",
    r"^\d{2}-[A-Z]$",
    r"^a\.b$",
    "^[ -~]$",
    "^[_a]$",
    "^R/:$",
)
OTHERS = (
    "[0-9]{2}",
    "^[0-9]+$",
    "^[0-9]{2,3}$",
    "^[^0-9]$",
    "^a|b$",
    "^.$",
    "^$",
    "^(ab){2}$",
    "^[[:digit:]]$",
    r"^[\d]$",
    r"^\w$",
    "^é$",
    "^[9-0]$",
    "^[a-]$",
    "^a?$",
    "^a$$",
    "(?i)^a$",
    "^[0-9]{99}$",
)
ALPHABET = st.characters(codec="utf-8", exclude_characters="\0")
TEXTS = st.one_of(
    st.none(),
    st.text(ALPHABET, max_size=4),
    st.text("019aXAbJ.-_/:R \n\u00e9\u4eba", max_size=5),
    st.text("0123456789X", min_size=17, max_size=19),
)


def rule(pattern: str, name: str = "t", applies: str = 'NOT "t" IS NULL') -> RowRule:
    return RowRule("p", "quarantine", (name,), f"NOT (REGEXP_MATCHES(\"{name}\", '{pattern}'))", applies)


def found(*rules: RowRule, careful: bool = False) -> tuple[Shape, ...]:
    dataset = dataset_of(TEXT, NUMBER)
    return shapes(Plan(dataset, reasons_of(dataset, rules_of(*rules)), (), "h", "salt", {}, careful=careful))


@pytest.mark.parametrize("pattern", SHAPES)
@settings(deadline=None, max_examples=60)
@given(values=st.lists(TEXTS, max_size=12), skipped=st.integers(0, 3))
def test_a_shape_is_broken_by_the_texts_that_the_pattern_does_not_match(
    pattern: str, values: list[str | None], skipped: int
) -> None:
    (shape,) = found(rule(pattern))
    batch = pa.RecordBatch.from_pydict({"t": pa.array(values, pa.string())}).slice(skipped)
    with duckdb.connect() as con:
        con.register("rows", pa.Table.from_batches([batch]))
        told = con.execute("SELECT coalesce(NOT regexp_matches(t, ?), FALSE) FROM rows", [pattern]).fetchall()
    assert shape.broken(batch).tolist() == [broken for (broken,) in told]


@pytest.mark.parametrize("pattern", OTHERS)
def test_every_other_pattern_stays_in_sql(pattern: str) -> None:
    assert classes_of(pattern) is None
    assert not found(rule(pattern))


def test_a_rule_that_says_more_than_its_pattern_stays_in_sql() -> None:
    pattern = "^[0-9]{2}$"
    assert found(rule(pattern))
    assert found(rule(pattern, applies=""))
    assert not found(rule(pattern), careful=True)
    assert not found(rule(pattern, applies='NOT "t" IS NULL AND "n" > 3'))
    assert not found(rule(pattern, name="n"))
    for unexpected in (
        "REGEXP_MATCHES(\"t\", '^[0-9]{2}$')",
        "NOT (REGEXP_MATCHES(\"t\", '^[0-9]{2}$', 'i'))",
        'NOT (REGEXP_MATCHES("t", "n"))',
        "NOT (REGEXP_MATCHES(UPPER(\"t\"), '^[0-9]{2}$'))",
        "NOT (NOT (REGEXP_MATCHES(\"t\", '^[0-9]{2}$')))",
        "NOT (REGEXP_MATCHES(\"t\", '^[0-9]{2}$')) OR \"t\" = 'x'",
    ):
        assert not found(RowRule("p", "quarantine", ("t",), unexpected, 'NOT "t" IS NULL'))


def test_rows_of_another_shape_are_set_aside_with_the_rule_as_reason(home: Home) -> None:
    dataset = dataset_of(TEXT, NUMBER)
    batch = home.land(dataset, b"t,n\nA1,1\nB22,2\n,3\nC3,4\nc4,x\n")
    stored = home.store(batch, dataset, rules_of(rule("^[A-Z][0-9]$")))
    metric = stored.metrics["p"]
    assert (metric.rows, metric.skipped, metric.unexpected) == (5, 1, 2)
    assert sum(file.rows for file in stored.passed_files) == 3
    assert sum(file.rows for file in stored.quarantine_files) == 2
