"""The 52 attacks: what is tried, what comes back, the test. `python -m tests.attacks.checklist` writes docs/ATTACKS.md from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "ATTACKS.md"
GROUPS = {
    "test_names": "Names and parsers",
    "test_indirection": "Dynamic SQL and indirection",
    "test_errors": "Errors, predicates, exhaustion",
    "test_metadata": "Metadata",
    "test_escape": "Files and processes",
    "test_state": "State, identity, caching",
    "test_copies": "Copies and the pipeline",
}


@dataclass(frozen=True, slots=True)
class Attack:
    tried: str
    comes_back: str
    module: str
    test: str


CHECKLIST: dict[int, Attack] = {
    1: Attack(
        "the same name in other case, bare and quoted",
        "masked values",
        "test_names",
        "test_01_the_case_of_a_name_changes_nothing",
    ),
    2: Attack(
        "a CTE that shadows the table it reads",
        "masked values; a CTE that reads itself: refused",
        "test_names",
        "test_02_a_cte_that_shadows_a_table_reads_the_masked_table",
    ),
    3: Attack(
        "nested and sibling CTEs",
        "masked values; a name outside its scope: refused",
        "test_names",
        "test_03_nested_and_sibling_ctes_end_where_their_scope_ends",
    ),
    4: Attack(
        'another catalog or schema: `memory.main.t`, `"memory".t`',
        "refused",
        "test_names",
        "test_04_another_catalog_or_schema_is_no_way_to_a_table",
    ),
    5: Attack(
        "`FROM t`, `TABLE t`, `VALUES ((SELECT …))`",
        "what `SELECT *` shows",
        "test_names",
        "test_05_from_first_and_table_show_what_a_select_shows",
    ),
    6: Attack(
        "a string as a table: `FROM 't'`, `FROM '/etc/passwd'`", "refused", "test_names", "test_06_a_string_is_no_table"
    ),
    7: Attack("PIVOT, UNPIVOT", "refused", "test_names", "test_07_pivot_and_unpivot_are_refused"),
    8: Attack(
        "SUMMARIZE, DESCRIBE, SHOW, CALL, PRAGMA, CHECKPOINT, VACUUM, RESET",
        "refused by the guard",
        "test_names",
        "test_08_what_describes_a_table_is_refused",
    ),
    9: Attack(
        "PREPARE and EXECUTE; parameters",
        "refused by the guard",
        "test_names",
        "test_09_no_statement_is_prepared_for_later",
    ),
    10: Attack(
        "several statements, comments, `$$`, NUL, Unicode quotes",
        "refused; what stands in quotes stays text",
        "test_names",
        "test_10_two_statements_are_never_one",
    ),
    11: Attack(
        "EXPLAIN, CREATE, INSERT, UPDATE, DELETE, MERGE with RETURNING",
        "refused by the guard",
        "test_names",
        "test_11_a_statement_that_writes_or_explains_is_refused",
    ),
    12: Attack(
        "alias lists, whole rows, COLUMNS, EXCLUDE/REPLACE/RENAME, USING, NATURAL, positional and ASOF joins",
        "permitted fields alone",
        "test_names",
        "test_12_aliases_stars_and_joins_give_what_is_permitted",
    ),
    13: Attack(
        "LATERAL, correlated, scalar, EXISTS, IN",
        "permitted rows and masked values",
        "test_names",
        "test_13_subqueries_of_every_kind_read_the_same_stream",
    ),
    14: Attack(
        "recursion, UNION arms, QUALIFY, TABLESAMPLE, parenthesised joins, comprehensions",
        "masked values",
        "test_names",
        "test_14_recursion_sets_samples_and_comprehensions_give_masked_values",
    ),
    15: Attack(
        "a round trip through another parser that changes the meaning",
        "the user's own text runs; where parsers differ: refused",
        "test_names",
        "test_15_the_users_own_text_runs_and_not_one_written_anew",
    ),
    16: Attack("`query('SELECT …')`", "refused by the guard", "test_indirection", "test_16_query_of_text_is_refused"),
    17: Attack(
        "`query_table('t')`", "refused by the guard", "test_indirection", "test_17_a_table_named_by_text_is_refused"
    ),
    18: Attack(
        "`json_execute_serialized_sql` and relatives",
        "refused by the guard",
        "test_indirection",
        "test_18_serialised_sql_is_refused",
    ),
    19: Attack(
        "scalar and table macros", "refused by the guard", "test_indirection", "test_19_no_macro_is_made_or_called"
    ),
    20: Attack(
        "views over the raw table, the scanner's own included",
        "refused: not there",
        "test_indirection",
        "test_20_views_that_stand_over_the_raw_table_are_not_there",
    ),
    21: Attack(
        "SET VARIABLE and `getvariable`",
        "refused by the guard",
        "test_indirection",
        "test_21_variables_are_neither_set_nor_read",
    ),
    22: Attack(
        "generated columns, defaults, checks, index expressions, triggers, sequences",
        "refused by the guard",
        "test_indirection",
        "test_22_expressions_that_would_run_on_their_own_are_refused",
    ),
    23: Attack(
        "a cast that fails and would echo the value",
        "a code, `conversion`; on hidden rows no failure",
        "test_errors",
        "test_23_a_cast_that_fails_tells_no_value",
    ),
    24: Attack("`error(value)`", "refused by the guard", "test_errors", "test_24_error_of_a_value_is_refused"),
    25: Attack(
        "division, roots, logarithms, overflow, patterns that only a hidden row would break",
        "no failure; on visible rows a code",
        "test_errors",
        "test_25_arithmetic_that_only_hidden_rows_would_fail_on_does_not_fail",
    ),
    26: Attack(
        "an error on a condition about what is hidden; conditions that an optimizer moves",
        "the same in both worlds",
        "test_errors",
        "test_26_no_condition_is_evaluated_on_a_row_that_the_filter_cut_off",
    ),
    27: Attack(
        "LIMIT, memory and time limits as an oracle",
        "work depends on visible rows alone; the time itself is not hidden (LIMITS.md)",
        "test_errors",
        "test_27_work_memory_and_time_depend_on_visible_rows_alone",
    ),
    28: Attack(
        "predicates, groups, orders, windows, DISTINCT on a masked column",
        "they work on the masked value",
        "test_errors",
        "test_28_predicates_groups_orders_and_windows_work_on_masked_values",
    ),
    29: Attack(
        "a join with one's own dictionary of guesses or hashes",
        "no match: tokens are keyed by purpose",
        "test_errors",
        "test_29_no_dictionary_of_guesses_joins_with_a_masked_column",
    ),
    30: Attack(
        "binary search by LIKE and comparisons",
        "finds the mask",
        "test_errors",
        "test_30_a_binary_search_by_patterns_finds_the_mask_and_nothing_behind_it",
    ),
    31: Attack("`stats(column)`", "refused by the guard", "test_metadata", "test_31_stats_of_a_column_are_refused"),
    32: Attack(
        "EXPLAIN: pruning and row estimates",
        "refused by the guard",
        "test_metadata",
        "test_32_no_plan_and_no_estimate_is_shown",
    ),
    33: Attack("EXPLAIN ANALYZE, profiling", "refused by the guard", "test_metadata", "test_33_nothing_is_profiled"),
    34: Attack(
        "the engine's catalogue: sizes, columns, views, settings, logs",
        "refused; past the guard it knows visible rows alone",
        "test_metadata",
        "test_34_without_the_guard_the_catalogue_knows_the_visible_rows_alone",
    ),
    35: Attack(
        "Parquet metadata: min, max, bloom filters",
        "refused; the files hold none of encrypted columns",
        "test_metadata",
        "test_35_footers_of_the_lakes_own_files_hold_no_statistics_of_encrypted_columns",
    ),
    36: Attack(
        '"Did you mean", forbidden against absent',
        "one text for both, also on the command line",
        "test_metadata",
        "test_36_forbidden_and_absent_are_told_alike",
    ),
    37: Attack(
        "readers of files: Parquet, CSV, JSON, text, glob, sniff, `file://`, `..`, symlinks",
        "refused; past the guard nothing opens",
        "test_escape",
        "test_37_without_the_guard_the_worker_opens_nothing",
    ),
    38: Attack(
        "COPY TO, EXPORT DATABASE",
        "refused; past the guard no file is written",
        "test_escape",
        "test_38_nothing_is_copied_out_or_in",
    ),
    39: Attack(
        "ATTACH of memory, SQLite, PostgreSQL, MotherDuck",
        "refused, also past the guard",
        "test_escape",
        "test_39_nothing_is_attached",
    ),
    40: Attack(
        "INSTALL, LOAD, secrets, sending by httpfs",
        "refused; past the guard nothing is loaded or sent",
        "test_escape",
        "test_40_no_extension_and_no_secret",
    ),
    41: Attack(
        "SET search_path, schema, USE, variables, unlocking",
        "refused by the guard",
        "test_escape",
        "test_41_no_setting_is_changed_or_read",
    ),
    42: Attack(
        "Python variables as tables, Python functions, `getenv`",
        "refused; past the guard nothing is there",
        "test_escape",
        "test_42_no_variable_of_python_is_a_table",
    ),
    43: Attack(
        "spill files, temporary folders, WAL, caches",
        "ends by code `memory`; no file appears, none holds an answer",
        "test_escape",
        "test_43_a_statement_that_would_spill_leaves_nothing_on_the_disk",
    ),
    44: Attack(
        "an answer cached for another subject, or from before the rules changed",
        "decided anew each time",
        "test_state",
        "test_44_the_same_text_is_answered_for_each_subject_anew",
    ),
    45: Attack(
        "temporary tables, prepared statements, variables left in a session",
        "nothing is there: a process a request",
        "test_state",
        "test_45_a_statement_finds_nothing_of_an_earlier_one",
    ),
    46: Attack(
        "a plan or grant of one subject used for another",
        "each stays its own; a grant without the key is refused",
        "test_state",
        "test_46_a_grant_of_one_subject_opens_nothing_that_only_another_may_read",
    ),
    47: Attack(
        "policy or levels that change between decision and reading",
        "the answer is cut off; the next one is under the new rules",
        "test_state",
        "test_47_rules_that_narrow_between_decision_and_reading_end_the_answer",
    ),
    48: Attack(
        "a group that cannot be looked up widens `not_in`",
        "nothing is shown",
        "test_state",
        "test_48_an_attribute_that_is_missing_never_widens_a_row_filter",
    ),
    49: Attack(
        "a derived table without its sources' level; a renamed column",
        "a fault before anything is built; the mask stays",
        "test_copies",
        "test_49_a_derived_column_has_its_sources_level_or_the_model_is_at_fault",
    ),
    50: Attack(
        "time travel, branches, old snapshots",
        "refused; an old snapshot is under the rules of now",
        "test_copies",
        "test_50_an_old_snapshot_is_under_the_rules_of_now",
    ),
    51: Attack(
        "samples of failed rows in quality results, lineage, XCom, logs, reports",
        "ids, counts and rule names alone",
        "test_copies",
        "test_51_no_report_metric_event_log_or_database_holds_a_value",
    ),
    52: Attack(
        "differencing of aggregates, small groups, frequencies of unkeyed hashes",
        "no aggregate differs between the worlds; an unkeyed hash is a fault",
        "test_copies",
        "test_52_no_aggregate_of_a_field_that_is_for_groups_only_tells_two_worlds_apart",
    ),
}


def page() -> str:
    """docs/ATTACKS.md."""
    lines = [
        "# Attacks",
        "",
        "Made by `python -m tests.attacks.checklist`; do not edit. Each is an executable test in `tests/attacks/`, run by `make test`.",
        "",
        "A statement is asked in two homes that agree on everything that the subject may see and differ in the rest: values behind masks, rows",
        "behind the filter and their number, fields that are closed. What comes back (schema, rows, or class and text of the error) must be the",
        "same, and hold no canary. *By the guard*: refused before anything is opened. *Past the guard*: given to the locked worker itself, as if",
        "there were no guard. Random statements over random worlds: `tests/use/test_noninterference.py`, and `make attack QUERIES=10000`.",
        "",
        "What these tests do not cover: the time that an answer takes, and what [LIMITS.md](LIMITS.md) states.",
        "",
    ]
    for module, title in GROUPS.items():
        lines += [
            f"## {title}",
            f"`tests/attacks/{module}.py`",
            "",
            "| | tried | comes back | test |",
            "| --- | --- | --- | --- |",
        ]
        lines += [
            f"| {number} | {attack.tried} | {attack.comes_back} | `{attack.test}` |"
            for number, attack in CHECKLIST.items()
            if attack.module == module
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
