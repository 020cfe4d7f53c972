"""The report of a home with two months: every page and link is there, it loads nothing, holds no cell value, and says what is wrong."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args
from urllib.parse import unquote, urlsplit

import pytest
from click.testing import CliRunner

from governance.cli.scorecard import command
from governance.errors import GovernanceError
from governance.pipeline.observations import Failure, observe
from governance.pipeline.report import trend, write_report
from governance.pipeline.report.charts import sparkline
from governance.pipeline.report.concerns import LEVELS, concerns
from governance.pipeline.report.facts import ReportFacts
from governance.pipeline.report.pages import matrix, page_names
from governance.pipeline.report.read import read_facts
from governance.pipeline.report.rules import SHOWN_KWARGS, STATES, RuleLine, rule_lines
from governance.pipeline.report.seen import KINDS, seen
from governance.pipeline.report.sentences import SENTENCES
from governance.pipeline.report.trend import passed
from governance.pipeline.report.words import WORDS, chinese
from governance.pipeline.scorecard.chinese import SAYS, UNITS
from governance.pipeline.scorecard.rules import RULES, STAGES, Fact
from governance.pipeline.scorecard.score import Scorecard, scorecard
from governance.state.values import Actor
from tests.pipeline.home import FIRST, METERS, SUPPLY, SUPPLY_SQL, USE, Home, empty_home, month, utility_home

pytestmark = pytest.mark.pipeline
CANARIES = ("11010119900307001X", "110101199003070028", "张三甲", "李四乙", "王五丙", "钱七戊")
WARNED = {"property": "gov.severity.required", "value": "warn"}


class _Page(HTMLParser):
    """What one page refers to, the ids that it has, and the elements that it is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.hrefs: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.ids |= {told["id"]} if "id" in told else set()
        self.hrefs += [told["href"]] if tag == "a" else []
        self.loads += [told[name] for name in ("src", "srcset", "data", "poster", "xlink:href") if name in told]
        self.loads += [told["href"]] if tag in ("link", "image", "use") and "href" in told else []


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = utility_home(tmp_path_factory.mktemp("report") / "home")
    holder = {**METERS["holder"], "required": True, "customProperties": [WARNED]}
    home.declare("water.meters", {**METERS, "holder": holder})
    home.declare(
        "curated.supply",
        {**SUPPLY, "户主": SUPPLY["holder"]},
        sql=SUPPLY_SQL.replace("\nFROM", ', m.holder AS "户主"\nFROM'),
    )
    assert home.run(month(1)).failed == ()
    home.deliver("water.meters", [*FIRST, "4,110101199003070044,钱七戊,-1", "5,110101199003070052,,5"])
    assert home.run(month(2)).failed == ()
    return home


@pytest.fixture(scope="module")
def site(home: Home) -> Path:
    with home.opened() as context:
        return write_report(context).parent


@pytest.fixture(scope="module")
def facts(home: Home) -> ReportFacts:
    with home.opened() as context:
        return read_facts(context)


def test_every_table_has_its_page_and_every_link_ends_somewhere(site: Path) -> None:
    names = {page.stem for page in (site / "tables").iterdir()}
    assert names == {"water.meters", "power.accounts", "curated.supply"}
    pages = {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert {str(path.relative_to(site.resolve())) for path in pages} == set(
        page_names(("water", "power", "curated"), names)
    )
    linked = set()
    for path, page in pages.items():
        for href in page.hrefs:
            url = urlsplit(href)
            assert not url.scheme
            assert not url.netloc
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            assert target in pages, href
            assert not url.fragment or unquote(url.fragment) in pages[target].ids, href
            linked.add(target)
    assert linked == set(pages)


def test_no_page_loads_anything_or_has_a_script(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        page = _Page(text)
        assert not page.tags & {"script", "iframe", "object", "embed", "img", "base", "form"}
        assert set(page.loads) <= {"data:,"}
        assert "@import" not in text
        assert "url(" not in text
        assert "http://" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "https://" not in text
        assert "default-src 'none'" in text


def test_no_page_holds_a_cell_value(site: Path) -> None:
    for path in site.rglob("*"):
        if path.is_file():
            content = path.read_text(encoding="utf-8")
            assert not [value for value in CANARIES if value in content], path.name


def test_the_first_page_says_what_is_wrong_and_what_is_held_back(facts: ReportFacts) -> None:
    found = {(c.level, c.table): c for c in concerns(facts)}
    assert set(found) == {("held back", "water.meters"), ("warned", "water.meters")}
    assert found["held back", "water.meters"].what.both == "1 of 5 rows held back (20.0 %) 5 行中隔离 1 行（20.0 %）"
    assert found["held back", "water.meters"].why == "range:reading 1"
    assert found["warned", "water.meters"].why == "required:holder 1"


def test_rules_are_told_by_run_with_what_became_of_their_rows(facts: ReportFacts) -> None:
    meters = next(table for table in facts.datasets if table.name == "water.meters")
    february, january = meters.runs
    assert (february.outcome, january.outcome, january.replaced) == ("go_with_warnings", "go", True)
    assert [(r.id, r.state, r.unexpected) for r in february.rules if r.broke] == [
        ("range:reading", "held back", 1),
        ("required:holder", "warned", 1),
    ]
    assert not [rule for rule in january.rules if rule.broke]
    rows = matrix(meters.runs)
    assert [row.rule.id for row in rows] == ["range:reading", "required:holder"]
    assert [[line.unexpected for line in row.lines if line] for row in rows] == [[1, 0], [1, 0]]
    assert "polyline" in sparkline(passed(meters.windows()))
    assert not sparkline(passed(meters.windows()[:1]))


def test_a_curated_page_has_a_picture_and_the_sources_of_every_column(site: Path, facts: ReportFacts) -> None:
    text = (site / "tables" / "curated.supply.html").read_text(encoding="utf-8")
    for name, *_ in facts.curated[0].fields:
        assert f'id="lineage-{name}"' in text
    assert text.count('<svg xmlns="http://www.w3.org/2000/svg" class="lineage"') == len(facts.curated[0].fields)
    assert ">main:water.meters.csv.holder</a>" in text
    assert "户主" in text


def test_a_failure_is_shown_until_something_newer_went_in(tmp_path: Path) -> None:
    home = utility_home(tmp_path / "home")
    (home.folder / "sources" / "power.accounts.csv").unlink()
    assert home.run(month(1), models=False).failed
    with home.opened() as context:
        failed = [c for c in concerns(read_facts(context)) if c.table == "power.accounts"]
    assert [(c.level, c.what.both) for c in failed] == [("failed", "collect failed 采集失败")]
    home.deliver("power.accounts", USE)
    assert home.run(month(1), models=False).failed == ()
    with home.opened() as context:
        assert not [c for c in concerns(read_facts(context)) if c.table == "power.accounts"]


def test_what_did_not_get_in_comes_first_and_names_its_steward(facts: ReportFacts) -> None:
    meters = replace(facts.datasets[-1], owner="li")
    newest, older = meters.runs
    told = {}
    for outcome in ("stop", "failed", "stored"):
        run = replace(newest, outcome=outcome, reasons=("max_quarantine",), error="StorageError: disk full", rules=())
        told[outcome] = concerns(replace(facts, datasets=(replace(meters, runs=(run, older)),), curated=()))[0]
    assert [(c.level, c.steward) for c in told.values()] == [("stopped", "li"), ("failed", "li"), ("waiting", "li")]
    assert told["stop"].why == "max_quarantine"
    stopped = replace(meters, runs=(newest, replace(older, outcome="stop")))
    assert stopped.open_runs == ()
    assert [run.outcome for run in replace(stopped, load_mode="append").open_runs] == ["stop"]


def test_an_expectation_that_errored_is_apart_from_one_that_failed() -> None:
    lines = _lines(
        _one("a", "warn", success=False, unexpected=2),
        _one("b", "stop", success=False, unexpected=1),
        _one("c", "quarantine", success=True, unexpected=3, mostly=0.5),
        _one("d", "warn", success=True, unexpected=1, mostly=0.9),
        _one("e", "stop", success=True),
        _one("f", "warn", success=False, error="rule f could not be evaluated: ConversionException"),
    )
    assert [(line.id, line.state) for line in lines] == [
        ("f", "errored"),
        ("b", "stopped"),
        ("c", "held back"),
        ("a", "warned"),
        ("d", "tolerated"),
        ("e", "clean"),
    ]
    assert lines[0].error.endswith("ConversionException")
    assert [line.broke for line in lines] == [True, True, True, True, False, False]


def test_observed_values_and_value_sets_are_not_shown() -> None:
    one = _one("a", "warn", success=False)
    one["expectation_config"]["kwargs"] |= {"value_set": ["张三甲"], "min_value": 1}
    one["result"] |= {"observed_value": "张三甲", "partial_unexpected_list": ["张三甲"]}
    assert "张三甲" not in repr(_lines(one))
    assert _lines(one)[0].limits == (("min value", "1"),)


def test_a_folder_that_is_no_report_is_never_replaced(home: Home, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine", encoding="utf-8")
    with home.opened() as context:
        with pytest.raises(GovernanceError, match="something else in this folder"):
            write_report(context, tmp_path)
        page = write_report(context, tmp_path / "new")
        assert write_report(context, tmp_path / "new") == page
    assert (tmp_path / "letter.txt").read_text(encoding="utf-8") == "mine"


REPORT = Path(write_report.__globals__["__file__"]).parent
HAN = re.compile("[\u4e00-\u9fff]")
WORD = re.compile(r"(?:^|\s)[A-Za-z]{3,}(?=[\s,;:]|$)")


def test_every_fixed_word_of_the_pages_is_said_in_chinese_too(site: Path) -> None:
    named = {
        word
        for template in (REPORT / "templates").iterdir()
        for word in re.findall(r"""(?:th|say|badge|both|Word)\("([^"]+)\"""", template.read_text(encoding="utf-8"))
    }
    assert len(named) > 80
    limits = {name.replace("_", " ") for name in SHOWN_KWARGS}
    steps = {text for step in get_args(trend.Step) for text in (step, f"by {step}")}
    words = {*named, *STATES, *LEVELS, *KINDS, *limits, *STAGES, *steps} - {"by "}
    assert sorted(word for word in words if not chinese(word)) == []
    assert all(HAN.search(word) for word in WORDS.values())
    for path in site.rglob("*.html"):
        heads = re.findall(r"<th[ >](.*?)</th>", path.read_text(encoding="utf-8"))
        assert [one for one in heads if not HAN.search(one) and not re.search(">?[0-9]{4}-", one)] == [], path.name


def test_every_sentence_of_the_pages_is_said_in_chinese_with_the_same_values() -> None:
    named = set()
    for template in (REPORT / "templates").iterdir():
        named |= set(re.findall(r"""(?:tell|brief)\("([^"]+)\"""", template.read_text(encoding="utf-8")))
    for module in REPORT.glob("*.py"):
        if module.stem != "sentences":
            nodes = list(ast.walk(ast.parse(module.read_text(encoding="utf-8"))))
            texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
            calls = [one for one in nodes if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.args]
            said = [one.args[0] for one in calls if isinstance(one.func, ast.Name) and one.func.id == "said"]
            named |= texts & set(SENTENCES) | {str(one.value) for one in said if isinstance(one, ast.Constant)}
    assert named == set(SENTENCES)
    places = re.compile(r"{\w+}|<code>.*?</code>")
    for english, other in SENTENCES.items():
        assert sorted(places.findall(english)) == sorted(places.findall(other)), english
        assert HAN.search(other), english


def test_no_paragraph_of_a_page_is_english_alone(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        told = re.findall(r"<(p|summary|h2|td)\b[^>]*>(.*?)</\1>", text, re.DOTALL)
        bare = [(kind, re.sub("<code>.*?</code>|<[^>]+>", " ", one)) for kind, one in told]
        few = {"p": 2, "summary": 2, "h2": 1, "td": 3}
        alone = [one for kind, one in bare if not HAN.search(one) and len(WORD.findall(one)) > few[kind]]
        assert alone == [], path.name


def test_what_was_seen_beside_the_verdicts_is_shown_without_its_values(tmp_path: Path) -> None:
    home = empty_home(tmp_path / "home")
    home.declare("water.meters", METERS)
    home.deliver("water.meters", FIRST)
    home.run(month(1), models=False)
    place = {"value": 31337.25, "median": 4242.5, "deviation": 7.0, "score": 9.2, "limit": 4.7}
    told = (
        ("drift", (Failure("drift:mean:reading", "stop", "reading", None),), {"unlike": {"drift:mean:reading": place}}),
        ("volume", (Failure("volume:bounds", "warn", "", 2),), {"records": 2, "min_rows": 10, "max_rows": None}),
        (
            "gx",
            (Failure("gx:1", "warn", "", None), Failure("gx:2", "warn", "", 3)),
            {
                "rows": 2,
                "engine": "GX pandas",
                "results": [{"id": "gx:1", "errored": True}, {"id": "gx:2", "errored": False}],
            },
        ),
        ("reconcile", (), {"verdict": "agrees", "landed_rows": 2}),
    )
    with home.opened() as context:
        database = context.database
        with database.unit_of_work() as tx:
            for kind, failures, facts in told:
                actor = Actor("service:manage@water", "pipeline.drift", "r1")
                observe(
                    tx, kind, "water.meters", failures, facts, actor=actor, writer=database.writer, at=database.clock()
                )
        page = write_report(context).parent
        found = {(c.level, c.why) for c in concerns(read_facts(context))}
    text = (page / "tables" / "water.meters.html").read_text(encoding="utf-8")
    for word in (
        "9.2 deviations",
        "volume:<wbr>bounds",
        "2 records; at least 10 agreed",
        "GX pandas",
        "agrees",
        "could not be judged",
    ):
        assert word in text
    assert not [value for value in ("31337", "4242") if value in text]
    assert ("errored", "gx:1, gx:2, volume:bounds, and 1 more 另有 1 项") in found
    assert "gx:1, gx:2" in (page / "index.html").read_text(encoding="utf-8").replace("<wbr>", "")


def test_an_observation_that_errored_is_apart_from_one_that_failed() -> None:
    facts = {"results": [{"id": "gx:1", "errored": True}]}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    errored = seen("gx", "warned", [Failure("gx:1", "warn", "", None)], facts, at=at, of="")
    failed = seen("gx", "warned", [Failure("gx:2", "warn", "", 4)], facts, at=at, of="")
    assert (errored.outcome, str(errored.lines[0].says)) == ("errored", "could not be judged")
    assert (failed.outcome, str(failed.lines[0].says)) == ("warned", "4 rows")


@pytest.fixture(scope="module")
def card(home: Home) -> Scorecard:
    with home.opened() as context:
        return scorecard(context)


def test_a_home_is_scored_from_what_its_runs_recorded(card: Scorecard) -> None:
    facts = {line.rule.id: line.fact for stage in card.stages for line in stage.lines}
    assert facts["landed"] == Fact(2, 2, "datasets")
    assert facts["encrypted"].share == 1
    assert facts["encrypted"].of >= 4
    assert [name.partition(" ")[0] for name in facts["rules_met"].lacking] == ["water.meters"]
    assert facts["lineage"] == Fact(1, 1, "curated tables")
    assert facts["up_to_date"] == Fact(1, 1, "curated tables")
    assert facts["published"].lacking == ("curated.supply",)
    assert facts["stewards"].good == 0


def test_the_past_is_scored_from_what_was_recorded_until_then(card: Scorecard) -> None:
    first, *_, last = (scores["manage"] for _, scores in card.trend)
    assert len(card.trend) == 3
    assert card.trend[-1][0] == card.at
    assert first is not None
    assert last is not None
    assert first > last  # a row was held back in February
    assert card.points("manage")[-1][1] == card.stage("manage").score == last


def test_every_point_of_the_scorecard_is_explained_in_chinese_too(card: Scorecard, site: Path) -> None:
    assert {rule.id for rule in RULES} == set(SAYS)
    assert {line.fact.unit for stage in card.stages for line in stage.lines} == set(UNITS)
    page = (site / "scorecard.html").read_text(encoding="utf-8")
    assert [text for told in SAYS.values() for text in told if text not in page] == []
    assert "2 个数据集中 2" in page


def test_the_scorecard_page_and_command_tell_every_point_with_its_fact(home: Home, site: Path) -> None:
    told = json.loads(CliRunner().invoke(command, ["--trend", "--json"], obj=home.folder).output)
    assert [line["rule"] for stage in told["stages"].values() for line in stage["points"]] == [r.id for r in RULES]
    assert len(told["trend"]) == 3
    assert "2 of 2 datasets: with a source, a batch" in CliRunner().invoke(command, [], obj=home.folder).output
    page = (site / "scorecard.html").read_text(encoding="utf-8")
    assert [rule.id for rule in RULES if f">{rule.id}</code>" not in page] == []


def test_open_incidents_are_listed_with_age_owner_and_what_they_reach(site: Path) -> None:
    page = (site / "incidents.html").read_text(encoding="utf-8")
    assert "2 open" in page
    assert "<code>range:<wbr>reading</code>" in page
    assert "未结天数" in page
    assert '<a href="tables/curated.supply.html">curated.supply</a>' in page
    assert "<code>range:<wbr>reading</code>" in (site / "departments" / "water.html").read_text(encoding="utf-8")


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here")
def test_a_browser_without_a_network_shows_the_pages_without_complaint(site: Path, tmp_path: Path) -> None:
    for page in (site / "index.html", site / "scorecard.html", site / "tables" / "curated.supply.html"):
        told = ["--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
        told += ["--enable-logging=stderr", f"--user-data-dir={tmp_path}", "--window-size=1280,1600"]
        picture = tmp_path / f"{page.stem}.png"
        done = subprocess.run(
            ["chromium", *told, f"--screenshot={picture}", page.as_uri()], capture_output=True, timeout=120, check=True
        )
        assert b"CONSOLE" not in done.stderr
        assert picture.stat().st_size > 20_000  # a page without style or text is far smaller


def _one(name: str, severity: str, *, success: bool, unexpected: int = 0, error: str = "", mostly: float = 1.0) -> dict:
    """One expectation's result as GX writes it, as far as the report reads it."""
    return {
        "success": success,
        "exception_info": {"raised_exception": bool(error), "exception_message": error or None},
        "result": {} if error else {"element_count": 10, "unexpected_count": unexpected, "missing_count": 0},
        "expectation_config": {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "x", "mostly": mostly},
            "meta": {"gov": {"id": name, "severity": severity, "source": "suite"}},
        },
    }


def _lines(*results: dict) -> tuple[RuleLine, ...]:
    return rule_lines(json.dumps({"results": results}), splits=True)
