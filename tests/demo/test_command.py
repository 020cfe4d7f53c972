"""`gov demo generate` and what `gov demo score` says before anything was run."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from governance.cli.main import group

ARGUMENTS = ["demo", "generate", "--people", "500", "--seed", "3", "--json"]


def test_generate_answers_with_records_faults_and_the_answer_key(tmp_path: Path) -> None:
    found = CliRunner().invoke(group, [*ARGUMENTS, "--to", str(tmp_path / "sources")])
    assert found.exit_code == 0, found.output
    answer = json.loads(found.output)
    assert answer["month"] == "2026-01"
    assert set(answer["records"]) == set(answer["faults"])
    assert Path(answer["answers"]).is_file()


def test_generate_writes_into_the_home(tmp_path: Path) -> None:
    (tmp_path / "gov.toml").write_text("", encoding="utf-8")
    found = CliRunner().invoke(group, ["--home", str(tmp_path), *ARGUMENTS])
    assert found.exit_code == 0, found.output
    assert (tmp_path / "sources" / "tax" / "invoices.jsonl.gz").is_file()
    assert (tmp_path / "answers" / "2026-01.parquet").is_file()


def test_score_without_an_answer_key_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "gov.toml").write_text("", encoding="utf-8")
    found = CliRunner().invoke(group, ["--home", str(tmp_path), "demo", "score"])
    assert found.exit_code != 0
    assert "gov demo generate" in str(found.exception)
