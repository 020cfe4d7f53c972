"""Who sees what and why."""

from __future__ import annotations

import pytest

from governance.errors import Refused
from governance.use.who_sees import explain, who_sees


def given(home):
    return {"catalogue": home.catalogue, "database": home.database, "lake": home.lake}


def test_who_sees_names_every_subject_and_purpose(published_home):
    sights = {(s.subject, s.purpose): s for s in who_sees("curated.person.name", **given(published_home))}
    assert len(sights) == 4 * 3
    assert sights["user:li", "statistics"].outcome == "mask:chinese-name"
    assert sights["user:li", "statistics"].rules == ("names",)
    assert (sights["user:zhao", "benefits"].outcome, sights["user:zhao", "benefits"].filtered) == ("raw", True)
    assert {s.outcome for key, s in sights.items() if key[0] in ("user:idle", "user:wang")} == {"none"}


def test_explain_tells_every_field_with_its_reason(published_home):
    sights = {
        s.field: s for s in explain("curated.person", subject="user:li", purpose="statistics", **given(published_home))
    }
    assert sights["income"].outcome == "aggregate_only(10)"
    assert sights["id_number__token"].reason == "a column of the lake itself"
    assert sights["rank"].reason == "raw by clear"
    assert set(sights) == {"id_number", "id_number__token", "name", "born", "income", "district", "rank"}


def test_an_unknown_subject_or_purpose_is_said_once_with_those_that_there_are(published_home):
    who = {"subject": "user:nobody", "purpose": "statistics"}
    with pytest.raises(Refused, match=r"no subject user:nobody in the access rules.*user:idle, user:li, user:wang"):
        explain("curated.person", **who, **given(published_home))
    with pytest.raises(Refused, match=r"no purpose fun in the access rules.*statistics"):
        explain("curated.person", subject="user:li", purpose="fun", **given(published_home))


def test_a_field_or_table_that_is_not_there_is_refused(published_home):
    with pytest.raises(Refused, match="no field nothing"):
        who_sees("curated.person.nothing", **given(published_home))
    with pytest.raises(Refused, match="is not published"):
        who_sees("curated.nothing.name", **given(published_home))
