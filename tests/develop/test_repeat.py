"""Each thing that would make a model give another set of rows is refused; what only looks like it is not."""

from __future__ import annotations

import pytest

from governance.develop.analyse import analyse
from tests.develop.city import catalogue, model

REFUSED = {
    "sum of floats": "SELECT sum(score) AS x FROM social.insured",
    "average of floats": "SELECT avg(score) AS x FROM social.insured",
    "windowed sum of floats": "SELECT sum(score) OVER () AS x FROM social.insured",
    "sum of a quotient": "SELECT sum(salary / 3) AS x FROM social.insured",
    "sum of a cast to float": "SELECT sum(CAST(salary AS DOUBLE)) AS x FROM social.insured",
    "sum of an unknown function": "SELECT sum(mystery(salary)) AS x FROM social.insured",
    "deviation": "SELECT stddev(salary) AS x FROM social.insured",
    "sum by another name": "SELECT fsum(score) AS x FROM social.insured",
    "any value": "SELECT any_value(kind) AS x FROM social.insured",
    "first": "SELECT first(kind) AS x FROM social.insured",
    "last ordered by a part": "SELECT last(kind ORDER BY month) AS x FROM social.insured",
    "arbitrary": "SELECT arbitrary(kind) AS x FROM social.insured",
    "value at the maximum": "SELECT arg_max(kind, month) AS x FROM social.insured",
    "mode": "SELECT mode(kind) AS x FROM social.insured",
    "list": "SELECT list(kind) AS x FROM social.insured",
    "joined text": "SELECT string_agg(kind, ',') AS x FROM social.insured",
    "joined text ordered by another": "SELECT string_agg(kind, ',' ORDER BY month) AS x FROM social.insured",
    "row number without order": "SELECT row_number() OVER () AS x FROM social.insured",
    "row number with ties": "SELECT row_number() OVER (PARTITION BY kind ORDER BY month) AS x FROM social.insured",
    "row number over rows of several batches": "SELECT row_number() OVER (ORDER BY _row) AS x FROM social.insured",
    "lag with ties": "SELECT lag(kind) OVER (ORDER BY month) AS x FROM social.insured",
    "first value with ties": "SELECT first_value(kind) OVER (ORDER BY month) AS x FROM social.insured",
    "named window with ties": "SELECT ntile(4) OVER w AS x FROM social.insured WINDOW w AS (ORDER BY month)",
    "rows frame with ties": "SELECT sum(salary) OVER (ORDER BY month ROWS 3 PRECEDING) AS x FROM social.insured",
    "qualify with ties": "SELECT kind FROM social.insured QUALIFY row_number() OVER (ORDER BY month) = 1",
    "limit": "SELECT kind FROM social.insured LIMIT 3",
    "limit with ties": "SELECT kind FROM social.insured ORDER BY kind LIMIT 3",
    "offset": "SELECT kind FROM social.insured OFFSET 3",
    "limit in a subquery": "SELECT * FROM (SELECT kind FROM social.insured LIMIT 1)",
    "distinct on": "SELECT DISTINCT ON (kind) kind, month FROM social.insured",
    "distinct on with ties": "SELECT DISTINCT ON (kind) kind, salary FROM social.insured ORDER BY kind, month",
    "clock": "SELECT now() AS x FROM social.insured",
    "date of today": "SELECT current_date AS x FROM social.insured",
    "today": "SELECT today() AS x FROM social.insured",
    "age in a condition": "SELECT name FROM police.residents WHERE birth_date < current_timestamp",
    "random": "SELECT random() AS x FROM social.insured",
    "uuid": "SELECT uuid() AS x FROM social.insured",
    "random uuid": "SELECT gen_random_uuid() AS x FROM social.insured",
    "sample": "SELECT kind FROM social.insured USING SAMPLE 10 PERCENT",
    "table sample": "SELECT kind FROM social.insured TABLESAMPLE 10%",
    "positional join": "SELECT r.name FROM police.residents r POSITIONAL JOIN social.insured i",
    "approximate": "SELECT approx_count_distinct(kind) AS x FROM social.insured",
    "session": "SELECT current_setting('threads') AS x FROM social.insured",
}

ALLOWED = {
    "sum of decimals": "SELECT sum(salary) AS x FROM social.insured",
    "sum of integers": "SELECT sum(month + 1) AS x, avg(month) AS y FROM social.insured",
    "sum of a cast to decimal": "SELECT sum(CAST(score AS DECIMAL(18,4))) AS x FROM social.insured",
    "sum of a case": "SELECT sum(CASE WHEN kind = 'a' THEN 1 ELSE 0 END) AS x FROM social.insured",
    "extremes of floats": "SELECT min(score) AS x, max(score) AS y FROM social.insured",
    "row number by position": "SELECT row_number() OVER (ORDER BY month, _batch, _row) AS x FROM social.insured",
    "row number by position of a full load": "SELECT row_number() OVER (ORDER BY _row) AS x FROM police.residents",
    "row number by key": "SELECT row_number() OVER (PARTITION BY division ORDER BY id_number) AS x FROM police.residents",
    "row number by the key's token": "SELECT row_number() OVER (ORDER BY id_number__token) AS x FROM police.residents",
    "row number over groups": (
        "SELECT row_number() OVER (ORDER BY n DESC, kind) AS x FROM (SELECT kind, count(*) AS n FROM social.insured GROUP BY kind)"
    ),
    "rank": "SELECT rank() OVER (ORDER BY month) AS x FROM social.insured",
    "whole partition": "SELECT count(*) OVER (PARTITION BY kind) AS x FROM social.insured",
    "running sum by range": "SELECT sum(salary) OVER (ORDER BY month) AS x FROM social.insured",
    "first by position": "SELECT first(kind ORDER BY _batch, _row) AS x FROM social.insured",
    "list of itself in order": "SELECT list(kind ORDER BY kind) AS x, string_agg(DISTINCT kind, ',' ORDER BY kind) AS y FROM social.insured",
    "limit by key": "SELECT name FROM police.residents ORDER BY id_number LIMIT 3",
    "limit after distinct": "SELECT DISTINCT kind FROM social.insured ORDER BY kind LIMIT 3",
    "limit over groups": "SELECT kind, count(*) AS n FROM social.insured GROUP BY kind ORDER BY n, kind LIMIT 3",
    "order by all": "SELECT kind, count(*) AS n FROM social.insured GROUP BY ALL ORDER BY ALL LIMIT 3",
    "distinct on by position": "SELECT DISTINCT ON (kind) kind, month FROM social.insured ORDER BY kind, _batch, _row",
    "latest by cte": (
        "WITH c AS (SELECT *, row_number() OVER (PARTITION BY kind ORDER BY _batch, _row) AS n FROM social.insured) "
        "SELECT kind FROM c WHERE n = 1"
    ),
}


def refusals(sql: str, tolerance: str | None = None) -> list[str]:
    analysis = analyse(model(sql, tolerance=tolerance), catalogue())
    return [str(f) for f in analysis.faults if f.path == "repeatability"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_repeatable_is_refused(name: str) -> None:
    assert refusals(REFUSED[name])


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_repeatable_is_not_refused(name: str) -> None:
    assert refusals(ALLOWED[name]) == []


def test_a_declared_tolerance_lets_it_pass() -> None:
    assert refusals(REFUSED["sum of floats"], tolerance="scores are rounded to whole points") == []


def test_a_refusal_names_its_line() -> None:
    assert refusals("SELECT\n  kind,\n  now() AS t\nFROM social.insured")[0].startswith("catalog/curated/m.sql:3:")
