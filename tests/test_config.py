"""A home's settings: found upward, all paths absolute, unknown keys refused."""

from pathlib import Path

import pytest

from governance.config import as_request, from_request, load_settings
from governance.errors import DeclarationError, GovernanceError


def test_a_home_without_any_key_has_defaults_inside_itself(tmp_path: Path) -> None:
    (tmp_path / "gov.toml").write_text("")
    settings = load_settings(tmp_path)
    assert settings.catalog == tmp_path / "catalog"
    assert settings.database_url == f"sqlite:///{tmp_path / 'var' / 'state.sqlite'}"
    assert settings.lake.is_relative_to(settings.var)
    assert not settings.keyring.is_relative_to(settings.lake)


def test_a_home_is_found_from_a_folder_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gov.toml").write_text("")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.delenv("GOV_HOME", raising=False)
    monkeypatch.chdir(inner)
    assert load_settings().home == tmp_path


def test_unknown_sections_and_keys_are_faults_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "gov.toml").write_text("[engine]\nthread = 2\n[lakes]\nx = 1\n[sources.tax]\npath = '/data'\n")
    with pytest.raises(DeclarationError) as caught:
        load_settings(tmp_path)
    assert [(f.line, f.path) for f in caught.value.faults] == [(2, "engine.thread"), (3, "lakes"), (5, "sources.tax")]


def test_a_source_path_is_taken_from_the_home(tmp_path: Path) -> None:
    (tmp_path / "gov.toml").write_text(
        "[sources.tax]\nlocation = 'in/tax'\n[sources.web]\nlocation = 'https://example.org/x'\n"
    )
    settings = load_settings(tmp_path)
    assert settings.sources == {"tax": str(tmp_path / "in" / "tax"), "web": "https://example.org/x"}


def test_no_home_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(GovernanceError, match="gov init"):
        load_settings(tmp_path)


def test_the_service_believes_nobody_until_issuer_audience_and_keys_are_named(tmp_path: Path) -> None:
    (tmp_path / "gov.toml").write_text("[service]\nconcurrent = 2\n")
    assert load_settings(tmp_path).service.issuer == ""
    (tmp_path / "gov.toml").write_text("[service]\nissuer = 'https://id'\n")
    with pytest.raises(DeclarationError, match=r"gov.toml:2: service: issuer stands alone"):
        load_settings(tmp_path)
    (tmp_path / "gov.toml").write_text("[service]\nissuer = 'https://id'\naudience = 'gov'\njwks = 'keys.json'\n")
    settings = load_settings(tmp_path)
    assert settings.service.jwks == str(tmp_path / "keys.json")
    assert from_request(as_request(settings)).home == settings.home


@pytest.mark.parametrize(
    "line",
    [
        "algorithms = ['HS256']",
        "algorithms = []",
        "one_time = 'yes'",
        "seconds = 0",
        "jwks = 'http://id/keys'",
        "x = 1",
    ],
)
def test_a_key_of_the_service_that_does_not_fit_is_a_fault(tmp_path: Path, line: str) -> None:
    own = "jwks = 'keys.json'\n" if not line.startswith("jwks") else ""
    (tmp_path / "gov.toml").write_text(f"[service]\nissuer = 'https://id'\naudience = 'gov'\n{own}{line}\n")
    with pytest.raises(DeclarationError, match=f"service.{line.partition(' ')[0]}"):
        load_settings(tmp_path)
