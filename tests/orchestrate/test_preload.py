"""A catalogue that the scheduler keeps for its tasks is used only while it is what the files say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from governance.config import load_settings
from governance.orchestrate.preload import keep_catalogue, kept_catalogue
from governance.pipeline.context import open_context
from tests.orchestrate.conftest import make_home


def test_a_kept_catalogue_is_used_until_a_declaration_or_the_settings_change(tmp_path: Path) -> None:
    settings = load_settings(make_home(tmp_path))
    assert kept_catalogue(settings) is None
    keep_catalogue(settings)
    kept = kept_catalogue(settings)
    assert kept is not None
    context = open_context(settings, catalogue=kept)
    assert context.catalogue is kept
    context.database.close()
    assert kept_catalogue(replace(settings, sources={"tax_collection": "elsewhere"})) is None
    with (tmp_path / "catalog" / "access.yaml").open("a", encoding="utf-8") as access:
        access.write("# changed\n")
    assert kept_catalogue(settings) is None
