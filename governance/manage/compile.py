"""`compile_rules`: a contract and a suite as one frozen `RowRules`. Pure, and without GX, which takes three seconds to import."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from governance.catalog.rules import Expectation, RowRules, Rule
from governance.catalog.suites import Entry, read_suite
from governance.catalog.types import CodeSet, Dataset, Severity, Suite
from governance.errors import DeclarationError, Fault
from governance.manage.binding import bind_faults
from governance.manage.call import Call, Compiled
from governance.manage.conditions import compile_condition
from governance.manage.contract import Pair, contract_rules
from governance.manage.kwargs import check_kwargs
from governance.manage.names import rule_names
from governance.manage.registry import NOT_COMPILED, SUPPORTED, Type
from governance.manage.sql import Unfit

_GX_SEVERITIES: Mapping[str, tuple[Severity, Severity]] = {
    "critical": ("quarantine", "stop"),
    "warning": ("warn", "warn"),
    "info": ("warn", "warn"),
}
"""GX's severity -> ours for a rule about rows, and for one about the table."""
_OURS = ("warn", "quarantine", "stop")
_TO_GX: Mapping[Severity, str] = {"warn": "warning", "quarantine": "critical", "stop": "critical"}
_CONDITION_KWARGS = frozenset({"row_condition", "condition_parser"})


def compile_rules(dataset: Dataset, suite: Suite | None, code_sets: Mapping[str, CodeSet]) -> RowRules:
    """All rules of a dataset or curated table: what follows from its contract, then its suite in order.

    The same texts give the same value and hash. Raises DeclarationError with every fault of both.
    """
    pairs, faults = contract_rules(dataset, code_sets)
    rules = [rule for rule, _ in pairs]
    expectations = [_of_contract(pair) for pair in pairs]
    found = list(faults)
    if suite is not None:
        entries, form_faults = read_suite(suite)
        found += form_faults
        tried: list[tuple[Entry, tuple[Rule, ...]]] = []
        names = rule_names((entry.type, entry.kwargs) for entry in entries)
        for entry, name in zip(entries, names, strict=True):
            try:
                compiled, expectation = _of_suite(entry, name, dataset)
            except Unfit as unfit:
                found.append(Fault(suite.file, entry.line, entry.path, unfit.found, unfit.allowed, unfit.do))
                continue
            tried.append((entry, compiled.rules))
            rules += compiled.rules
            expectations.append(expectation)
        found += bind_faults(dataset, tried, suite.file)
    if found:
        raise DeclarationError(tuple(found))
    return RowRules(dataset.name, tuple(rules), tuple(expectations), _hash(dataset.name, rules, expectations))


def _of_contract(pair: Pair) -> Expectation:
    rule, config = pair
    severity: Severity = rule.severity
    meta = {"gov": {"id": rule.id, "severity": severity, "scope": "batch", "source": "contract", "rules": [rule.id]}}
    return Expectation(rule.id, _json({**config, "severity": _TO_GX[severity], "meta": meta}), (rule.id,))


def _of_suite(entry: Entry, rule: str, dataset: Dataset) -> tuple[Compiled, Expectation]:
    name = entry.type.lower()
    if name in NOT_COMPILED:
        raise Unfit(f"this type is not compiled: {NOT_COMPILED[name]}", "", "replace it")
    if name not in SUPPORTED:
        raise Unfit(
            "unknown expectation type", "a core type of GX 1.24", "see the list in governance/manage/registry.py"
        )
    kind = SUPPORTED[name]
    _check_kwargs(entry, kind)
    condition, form = compile_condition(
        entry.kwargs.get("row_condition"), entry.kwargs.get("condition_parser"), dataset
    )
    severity, scope = _governed(entry, kind)
    call = Call(
        dataset=dataset,
        id=rule,
        kwargs=entry.kwargs,
        row_severity=severity,
        table_severity=severity,
        scope=scope,
        condition=condition,
    )
    compiled = kind.compile(call)
    kwargs = {k: v for k, v in entry.kwargs.items() if k not in _CONDITION_KWARGS}
    if form is not None:
        kwargs["row_condition"] = form
    ids = tuple(rule.id for rule in compiled.rules)
    gov = {"id": call.id, "severity": severity, "scope": scope, "source": "suite", "rules": list(ids)}
    others = {k: v for k, v in entry.meta.items() if k != "gov"}
    config = {"type": name, "kwargs": kwargs, "severity": entry.severity, "meta": {**others, "gov": gov}}
    for key in ("notes", "description"):
        if entry.raw.get(key):
            config[key] = entry.raw[key]
    return compiled, Expectation(call.id, _json(config), ids, compiled.holds)


def _check_kwargs(entry: Entry, kind: Type) -> None:
    allowed = kind.kwargs | (_CONDITION_KWARGS if kind.conditional else frozenset())
    unknown = sorted(set(entry.kwargs) - allowed)
    if unknown:
        raise Unfit(f"unknown kwargs: {', '.join(unknown)}", ", ".join(sorted(allowed)), "remove or correct them")
    check_kwargs(entry.kwargs, kind.kwargs, kind.bounds)


def _governed(entry: Entry, kind: Type) -> tuple[Severity, str]:
    """Our severity and scope: from GX's severity, unless `meta.gov` says otherwise."""
    gov = entry.meta.get("gov") or {}
    if not isinstance(gov, dict) or set(gov) - {"severity", "scope"}:
        raise Unfit("meta.gov holds something else than severity and scope", "severity, scope", "remove it")
    severity = gov.get("severity") or _GX_SEVERITIES[entry.severity][kind.about == "table"]
    scope = gov.get("scope") or "batch"
    if severity not in _OURS:
        raise Unfit(f"meta.gov.severity: '{severity}'", ", ".join(_OURS))
    if scope not in ("batch", "table"):
        raise Unfit(f"meta.gov.scope: '{scope}'", "batch, table")
    if severity == "quarantine" and kind.about == "table":
        raise Unfit("a rule about the table cannot quarantine rows", "warn, stop")
    return severity, scope


def _hash(dataset: str, rules: Sequence[Rule], expectations: Sequence[Expectation]) -> str:
    everything = {
        "dataset": dataset,
        "rules": [dataclasses.asdict(rule) for rule in rules],
        "expectations": [dataclasses.asdict(expectation) for expectation in expectations],
    }
    return hashlib.sha256(_json(everything).encode("utf-8")).hexdigest()


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
