"""A home whose published tables are traced: two departments, a table a person, one made from that, an auditor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from governance.pipeline.context import Context
from governance.state.values import Actor
from governance.use import release
from tests.pipeline.home import ACCOUNTS, METERS, Home, empty_home, month
from tests.use.conftest import PUBLIC_KEY, STEWARD_KEY

ACCESS = f"""\
roles: [{{id: auditor}}, {{id: clerk}}, {{id: counter}}]
purposes: [{{id: audit}}, {{id: service}}]
subjects:
  - {{name: "user:auditor", roles: [auditor], clearance: L1}}
  - {{name: "user:clerk", roles: [clerk], clearance: L4, attributes: {{districts: ["north"]}}}}
  - {{name: "user:counter", roles: [counter], clearance: L2}}
  - {{name: "user:wang"}}
approvers: [{{subject: "user:wang", public_key: "{PUBLIC_KEY}"}}]
rules:
  - {{id: tokens, roles: [auditor], purposes: [audit], where: {{tags: [identifier]}}, action: "mask:token"}}
  - {{id: band, roles: [auditor], purposes: [audit], where: {{tags: [key]}}, action: raw}}
  - id: nothing
    roles: [auditor]
    purposes: [audit]
    where: {{levels: [L1, L2, L3, L4], without_tags: [identifier, key]}}
    action: "mask:replace-with-null"
  - id: window
    roles: [clerk]
    purposes: [service]
    where: {{levels: [L1, L2, L3, L4], without_tags: [use]}}
    action: raw
    row_filter: {{column: district, op: in, session: districts}}
  - {{id: count, roles: [counter], purposes: [service], where: {{levels: [L1]}}, action: raw}}
"""
PERSON = {**METERS["person_no"], "tags": ["identifier"]}
WATER = {**METERS, "person_no": PERSON, "district": {"logicalType": "string", "classification": "L1"}}
USE: Mapping[str, Mapping[str, Any]] = {
    "person_no": PERSON,
    "holder": {"logicalType": "string", "classification": "L3"},
    "district": {"logicalType": "string", "classification": "L1"},
    "meters": {"logicalType": "integer", "classification": "L2"},
    "kwh": {"logicalType": "integer", "classification": "L2", "tags": ["use"]},
}
USE_SQL = """\
WITH power AS (
    SELECT person_no__token, CAST(sum(kwh) AS BIGINT) AS kwh FROM power.accounts GROUP BY person_no__token
)
SELECT max(m.person_no) AS person_no, m.person_no__token, max(m.holder) AS holder, m.district, count(*) AS meters, max(p.kwh) AS kwh
FROM water.meters AS m LEFT JOIN power AS p ON p.person_no__token = m.person_no__token
GROUP BY m.person_no__token, m.district
"""
BAND: Mapping[str, Mapping[str, Any]] = {
    "district": {"logicalType": "string", "classification": "L1", "tags": ["key"]},
    "people": {"logicalType": "integer", "classification": "L2"},
    "most": {"logicalType": "integer", "classification": "L2"},
}
BAND_SQL = "SELECT district, count(*) AS people, max(kwh) AS most FROM curated.use WHERE holder IS NOT NULL GROUP BY district\n"
ZHANG, LI, WANG = "11010119900307001X", "110101199003070028", "110101199003070036"
METER_LINES = [
    f"1,{ZHANG},张三甲,10,north",
    f'2,{LI},"李四\n乙",20,south',  # a record of two lines
    f"3,{ZHANG},张三甲,30,north",
    f"4,{WANG},王五丙,5,north",
]
POWER_LINES = [f"{ZHANG},100", f"{LI},200", f"{ZHANG},7"]


def traced_home(folder: Path) -> Home:
    home = empty_home(folder)
    (folder / "catalog" / "access.yaml").write_text(ACCESS, encoding="utf-8")
    home.declare("water.meters", WATER)
    home.declare("power.accounts", {**ACCOUNTS, "person_no": PERSON}, path="sources/power.*.csv")
    home.declare("curated.use", USE, sql=USE_SQL)
    home.declare("curated.band", BAND, sql=BAND_SQL)
    home.deliver("water.meters", [*METER_LINES[:3], "", *METER_LINES[3:]], WATER)
    home.deliver("power.b", POWER_LINES[1:], ACCOUNTS)
    home.deliver("power.a", [*POWER_LINES[:1], "one,two,three"], ACCOUNTS)  # a line that no parser accepts
    assert home.run(month(1)).failed == ()
    with home.opened() as context:
        publish(context)
    return home


def publish(context: Context) -> str:
    """Everything as it is now, proposed, signed and published."""
    catalogue, database, lake = context.catalogue, context.database, context.lake
    actor = Actor("user:wang", "pipeline.use", "publishing")
    proposed = release.propose(catalogue, database=database, lake=lake, actor=actor)
    signature = release.sign(proposed, STEWARD_KEY)
    release.approve(
        proposed, subject="user:wang", signature=signature, catalogue=catalogue, database=database, actor=actor
    )
    release.publish(proposed, catalogue=catalogue, settings=context.settings, database=database, lake=lake, actor=actor)
    return proposed
