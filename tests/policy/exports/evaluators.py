"""What an export opens, read back from its files as its target would read them: (subject, purpose, table, field) -> how.

Each knows its target's rules alone and nothing of how our files are made: "raw", "masked", and whether rows are filtered.
"""

from __future__ import annotations

import json
import re

import sqlglot
from sqlglot import exp

from governance.policy.exports.model import purpose_name
from governance.policy.exports.postgres import session_role

KEYS = {"user", "catalog", "schema", "table"}


class Trino:
    """First match of a list, patterns match whole names, a column that is not named is open."""

    def __init__(self, files):
        self.rules = json.loads(files["rules.json"])

    def sees(self, subject, purpose, table, field):
        schema, _, name = table.partition(".")
        asked = {"user": subject, "catalog": purpose_name(purpose), "schema": schema, "table": name}
        catalog = self._first("catalogs", asked)
        rule = self._first("tables", asked)
        if catalog["allow"] == "none" or "SELECT" not in rule["privileges"]:
            return None
        own = [column for column in rule.get("columns", ()) if column["name"] == field]
        if any(column.get("allow") is False for column in own):
            return None
        return "masked" if any("mask" in column for column in own) else "raw", "filter" in rule

    def _first(self, section, asked):
        for rule in self.rules[section]:
            if all(re.fullmatch(rule[key], asked[key]) for key in KEYS & rule.keys()):
                return rule
        raise AssertionError("a list of rules has to end in one that denies")


class Ranger:
    """A policy a resource; `*` and `?` in a resource would match more, so there must be none."""

    def __init__(self, files):
        self.policies = {}
        for policy in json.loads(files["policies.json"])["policies"]:
            resource = tuple(level["values"][0] for level in policy["resources"].values())
            assert not any(re.search(r"[*?{}$]", part) for part in resource)
            key = policy["policyType"], resource
            assert key not in self.policies, "Ranger keeps one policy of a type for a resource"
            self.policies[key] = policy

    def sees(self, subject, purpose, table, field):
        place = (purpose_name(purpose), *table.split(".", 1))
        if not self._item(0, (*place, field), "policyItems", subject) or not self._item(
            0, place[:1], "policyItems", subject
        ):
            return None
        masked = self._item(1, (*place, field), "dataMaskPolicyItems", subject)
        return "masked" if masked else "raw", bool(self._item(2, place, "rowFilterPolicyItems", subject))

    def _item(self, kind, resource, section, subject):
        policy = self.policies.get((kind, resource))
        return next((item for item in policy[section] if subject in item["users"]), None) if policy else None


class Postgres:
    """A view's columns, for whom its schema's role is granted."""

    def __init__(self, files):
        self.views, self.members = {}, set()
        for line in files["policy.sql"].splitlines():
            if line.startswith("CREATE VIEW"):
                tree = sqlglot.parse_one(line.replace(" WITH (security_barrier = TRUE)", ""), dialect="postgres")
                self.views[tree.this.db, tree.this.name] = tree.expression
            if found := re.fullmatch(r'GRANT ("(?:[^"]|"")*") TO ("(?:[^"]|"")*");', line):
                self.members.add(tuple(part[1:-1].replace('""', '"') for part in found.groups()))

    def sees(self, subject, purpose, table, field):
        role = session_role(subject, purpose)
        view = self.views.get((role, table.partition(".")[2]))
        if view is None or (role, subject) not in self.members:
            return None
        own = [column for column in view.selects if column.alias == field]
        if not own:
            return None
        shown = own[0].this
        while isinstance(shown, exp.Paren | exp.Collate | exp.Cast):
            shown = shown.this
        return "raw" if isinstance(shown, exp.Column) else "masked", view.args.get("where") is not None


class Unity:
    """The last function of a name counts; a column without a mask is open."""

    def __init__(self, files):
        self.functions, self.masks, self.filters, self.granted = {}, {}, {}, set()
        name = r"`(?:[^`]|``)*`"
        full = rf"{name}\.{name}\.{name}"
        for line in files["policy.sql"].splitlines():
            if found := re.match(rf"CREATE OR REPLACE FUNCTION ({full})\(.*?\) RETURNS \S+ RETURN (.*);$", line):
                self.functions[found[1]] = sqlglot.parse_one(found[2], dialect="databricks")
            if found := re.match(rf"ALTER TABLE ({full}) ALTER COLUMN ({name}) SET MASK ({full});$", line):
                self.masks[found[1], found[2]] = found[3]
            if found := re.match(rf"ALTER TABLE ({full}) SET ROW FILTER ({full}) ON", line):
                self.filters[found[1]] = found[2]
            if found := re.match(rf"GRANT SELECT ON TABLE ({full}) TO ({name});$", line):
                self.granted.add((found[1], found[2]))

    def sees(self, subject, purpose, table, field):
        quoted = [
            "`" + part.replace("`", "``") + "`"
            for part in (purpose_name(purpose), *table.split(".", 1), field, subject)
        ]
        place, column, user = ".".join(quoted[:3]), quoted[3], quoted[4]
        if (place, user) not in self.granted:
            return None
        rows = self._for(self.functions[self.filters[place]], subject)
        shown = self._for(self.functions[self.masks[place, column]], subject) if (place, column) in self.masks else None
        if isinstance(rows, exp.Boolean) and not rows.this:
            return None
        if shown is None or isinstance(shown, exp.Null):
            return None
        return "raw" if isinstance(shown, exp.Column) else "masked", not isinstance(rows, exp.Boolean)

    def _for(self, tree, subject):
        if not isinstance(tree, exp.Case):
            return tree
        for branch in tree.args["ifs"]:
            if branch.this.name == subject:
                return branch.args["true"]
        return tree.args["default"]


class Iceberg:
    """A field that is not named is open; `deny` is ours. `ids`: table -> field -> id."""

    def __init__(self, files, ids):
        self.files, self.ids = files, ids
        self.index = {
            (x["subject"], x["purpose"], x["table"]): x for x in json.loads(files["index.json"])["read-restrictions"]
        }

    def sees(self, subject, purpose, table, field):
        entry = self.index.get((subject, purpose, table))
        if entry is None:
            return None
        document = json.loads(self.files[entry["file"]])["read-restrictions"]
        actions = {p["field-id"]: p["action"] for p in document["required-column-projections"]}
        action = actions.get(self.ids[table][field])
        if action == "deny":
            return None
        return "raw" if action is None else "masked", "required-row-filter" in document
