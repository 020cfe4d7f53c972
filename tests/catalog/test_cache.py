from __future__ import annotations

import json
from pathlib import Path

import pytest

from governance.catalog import cache
from governance.catalog.encoded import decode_dataset, encode_dataset
from governance.catalog.load import load_catalogue, read_catalogue
from tests.catalog.home import FILES, PEOPLE, VISITS, write
from tests.catalog.test_foreign import ORDERS

MORE = {**FILES, "catalog/seller/contract.odcs.yaml": ORDERS.format(version="v3.1.0")}


def test_datasets_come_back_as_they_were_written(tmp_path: Path) -> None:
    catalogue = load_catalogue(write(tmp_path, MORE))
    for dataset in [*catalogue.datasets.values(), *(m.contract for m in catalogue.models.values())]:
        assert decode_dataset(json.loads(json.dumps(encode_dataset(dataset)))) == dataset


def test_a_kept_catalogue_is_the_same_without_parsing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = write(tmp_path, MORE)
    first = read_catalogue(settings, keep=True).catalogue
    parsed: list[str] = []
    monkeypatch.setattr(cache, "parse_contract", _noting(parsed))
    assert load_catalogue(settings) == first
    assert parsed == []
    write(tmp_path, {"catalog/health/people.odcs.yaml": PEOPLE.replace("version: 1.2.0", "version: 1.3.0")})
    assert load_catalogue(settings).datasets["health.people"].version == "1.3.0"
    assert parsed == ["catalog/health/people.odcs.yaml"]


def test_only_a_check_writes_the_cache(tmp_path: Path) -> None:
    settings = write(tmp_path, MORE)
    load_catalogue(settings)
    assert not settings.var.exists()


def test_contracts_with_a_fault_are_never_kept(tmp_path: Path) -> None:
    settings = write(tmp_path, {**MORE, "catalog/health/visits.odcs.yaml": VISITS.replace("status", "statos")})
    first = read_catalogue(settings, keep=True)
    assert read_catalogue(settings, keep=True).faults == first.faults != ()


def test_another_location_of_a_source_is_read_at_once(tmp_path: Path) -> None:
    read_catalogue(write(tmp_path, MORE), keep=True)
    settings = write(tmp_path, {"gov.toml": '[sources.register]\nlocation = "https://x.example/people.csv"\n'})
    source = load_catalogue(settings).datasets["health.people"].source
    assert source is not None
    assert source.location == "https://x.example/people.csv"


def test_a_damaged_cache_is_no_cache(tmp_path: Path) -> None:
    settings = write(tmp_path, MORE)
    first = read_catalogue(settings, keep=True).catalogue
    (settings.index / "cache" / "health.json").write_text("{")
    (settings.index / "cache" / "seller.json").write_text('{"version": "older", "contracts": {}}')
    assert load_catalogue(settings) == first


def _noting(parsed: list[str]) -> object:
    original = cache.parse_contract

    def parse(text: str, *, file: str, **rest: object) -> object:
        parsed.append(file)
        return original(text, file=file, **rest)  # type: ignore[arg-type]

    return parse
