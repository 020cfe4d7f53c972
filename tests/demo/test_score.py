"""Recall and precision by kind."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pyarrow as pa

from governance.demo.faults import ANSWERS
from governance.demo.kinds import RULES, Kind
from governance.demo.score import DETECTED, score, table_text, unexplained


def test_every_kind_has_rules_by_which_it_is_found() -> None:
    assert set(RULES) == set(Kind)
    assert all(RULES.values())


def test_no_reason_names_two_kinds() -> None:
    samples = [
        "check:resident_no:resident_number",
        "check:birth_date:birth_date_of",
        "check:a:division_valid_at",
        "unique:a",
    ]
    samples += ["key:a+b", "required:a", "reference:a", "range:a", "codeSet:a", "type:a", "unparsed"]
    samples += ["finding:curated.person.birth_date_contradiction"]
    for sample in samples:
        assert sum(fnmatchcase(sample, pattern) for patterns in RULES.values() for pattern in patterns) == 1, sample


def test_recall_and_precision_count_rows_not_reasons() -> None:
    answers = pa.table(
        {
            "month": ["m"] * 3,
            "dataset": ["d.t"] * 3,
            "row": [1, 2, 4],
            "ordinal": [1, 2, 3],
            "kind": ["duplicate_record"] * 3,
            "role": [""] * 3,
        },
        schema=ANSWERS,
    )
    detected = pa.table(
        {
            "month": ["m"] * 5,
            "dataset": ["d.t"] * 5,
            "row": [1, 1, 2, 9, 9],
            "reason": ["unique:a", "key:a", "unique:a", "unique:a", "suite:0:x"],
        },
        schema=DETECTED,
    )
    (found,) = [s for s in score(answers, detected) if s.kind is Kind.DUPLICATE_RECORD]
    assert (found.injected, found.detected, found.right) == (3, 3, 2)
    assert found.recall == found.precision == 2 / 3
    assert unexplained(answers, detected) == {"d.t suite:0:x": 1, "d.t unique:a": 1}
    assert "duplicate_record" in table_text(score(answers, detected))


def test_the_same_row_number_of_another_month_or_dataset_is_another_row() -> None:
    answers = pa.table(
        {"month": ["m"], "dataset": ["d.t"], "row": [1], "ordinal": [1], "kind": ["out_of_range"], "role": [""]},
        schema=ANSWERS,
    )
    detected = pa.table(
        {"month": ["n", "m"], "dataset": ["d.t", "d.u"], "row": [1, 1], "reason": ["range:a"] * 2}, schema=DETECTED
    )
    (found,) = [s for s in score(answers, detected) if s.kind is Kind.OUT_OF_RANGE]
    assert (found.right, found.detected, found.recall) == (0, 2, 0.0)


def test_a_kind_that_was_neither_injected_nor_found_has_no_share() -> None:
    empty = score(ANSWERS.empty_table(), DETECTED.empty_table())
    assert all(s.recall is None and s.precision is None for s in empty)


def test_parsed_records_are_matched_by_ordinal_and_broken_lines_by_their_number() -> None:
    answers = pa.table(
        {
            "month": ["m"] * 2,
            "dataset": ["d.t"] * 2,
            "row": [5, 6],
            "ordinal": [None, 5],
            "kind": ["unparsable_line", "out_of_range"],
            "role": [""] * 2,
        },
        schema=ANSWERS,
    )
    detected = pa.table(
        {"month": ["m"] * 2, "dataset": ["d.t"] * 2, "row": [5, 5], "reason": ["unparsed", "range:a"]}, schema=DETECTED
    )
    assert sum(s.right for s in score(answers, detected)) == 2
    assert unexplained(answers, detected) == {}
