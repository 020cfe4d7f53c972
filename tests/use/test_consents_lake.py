"""Consent over a lake that the pipeline made: what people write of themselves meets the tokens that store made."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from governance.state.values import Actor
from governance.use import consents
from governance.use.query import query
from governance.use.release import approve, propose, publish, sign
from governance.use.requests import access_of
from governance.use.signatures import signer
from tests.pipeline.home import METERS, SUPPLY, SUPPLY_SQL, month, utility_home

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ACCESS = f"""\
roles: [{{id: nurse}}]
purposes: [{{id: care}}]
subjects: [{{name: "user:li", roles: [nurse], clearance: L4}}, {{name: "user:wang"}}]
approvers: [{{subject: "user:wang", public_key: {KEY.public_key().public_bytes_raw().hex()}}}]
rules:
  - {{id: holders, roles: [nurse], purposes: [care], where: {{levels: [L3]}}, action: raw, consent: visits}}
"""
ACTOR = Actor("user:wang", "use.access", "run-1")


@pytest.mark.pipeline
def test_persons_are_known_by_what_they_write_however_they_write_it(tmp_path: Path) -> None:
    home = utility_home(tmp_path / "home")
    columns = {**SUPPLY, "person_no": {**METERS["person_no"], "tags": ["number"]}}
    sql = SUPPLY_SQL.replace("m.holder", "m.holder, m.person_no, m.person_no__token")
    home.declare("curated.supply", columns, sql=sql)
    (tmp_path / "home" / "catalog" / "access.yaml").write_text(ACCESS, encoding="utf-8")
    assert home.run(month(1)).failed == ()
    with home.opened() as context:
        database, lake, catalogue = context.database, context.lake, context.catalogue
        known = {"catalogue": catalogue, "database": database, "actor": ACTOR}
        release = propose(lake=lake, **known)
        approve(release, subject="user:wang", signature=sign(release, KEY), **known)
        publish(release, settings=context.settings, lake=lake, **known)

        def holders() -> list[str]:
            answer = query(
                "SELECT holder FROM curated.supply ORDER BY holder",
                subject="user:li",
                purpose="care",
                settings=context.settings,
                catalogue=catalogue,
                database=database,
                lake=lake,
                keystore=context.keystore,
            )
            with answer:
                return answer.table()["holder"].to_pylist()

        assert holders() == []
        written = pa.array([" 11010119900307001x", "１１０１０１１９９００３０７００３６"])
        own = {"domain": "person", "database": database, "actor": ACTOR}
        persons = consents.tokens_of(written, keystore=context.keystore, **own)
        own |= {"scope": "visits", "access": access_of(catalogue), "sign": signer(KEY)}
        consents.give(persons, **own)
        assert holders() == ["张三甲", "王五丙"]
        consents.withdraw(persons[:1], **own)
        assert holders() == ["王五丙"]
