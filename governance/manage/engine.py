"""Genuine GX results from counts that are there already: an execution engine that looks metrics up and computes none.

GX's own `Validator` and each expectation's own `_validate` decide success, `mostly` and the form of results. GX is imported here, and in
nothing that `import governance.manage` reaches: call `preload` early to have it imported meanwhile.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from governance.catalog.rules import Expectation
from governance.manage.contract import GOV_RULE

GOV_TABLE_RULE = "expect_gov_table_rule_to_hold"
_LATER = ("scipy.stats", "altair")
"""A third of GX's import; only its expectations on distributions and its pictures use them, and we run neither."""
_RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 0, "exclude_unexpected_values": True}


class MetricError(Exception):
    """A metric that could not be counted. The message names rule and error class, never a value."""


Lookup = Callable[[Expectation, str], Any]
"""(expectation, name of a GX metric) -> its value. Raises MetricError."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """GX's result of one expectation, as JSON values; `error` is empty unless it could not be judged."""

    expectation: Expectation
    success: bool
    error: str
    result: Mapping[str, Any]


def preload(*, wait: bool = False) -> None:
    """Begin to import GX in the background and return at once, or import it here (`wait`). The import takes seconds."""
    if wait:
        _load()
    else:
        threading.Thread(target=_load, name="import-gx", daemon=True).start()


def judge_expectations(expectations: Sequence[Expectation], lookup: Lookup) -> tuple[Judgement, ...]:
    """GX's result of each expectation, in their order. What cannot be looked up is an error of that expectation alone."""
    gx = _load()
    configurations = [gx.configuration(e) for e in expectations]
    values: dict[Any, Any] = {}
    errors: dict[str, str] = {}
    for expectation, configuration in zip(expectations, configurations, strict=True):
        error = _look_up(expectation, configuration, lookup, values)
        if error:
            errors[expectation.id] = error
    judged = [(e, c) for e, c in zip(expectations, configurations, strict=True) if e.id not in errors]
    found = gx.validate([c for _, c in judged], values)
    results = {e.id: result for (e, _), result in zip(judged, found, strict=True)}
    return tuple(
        _judgement(gx, e, c, results.get(e.id), errors.get(e.id, ""))
        for e, c in zip(expectations, configurations, strict=True)
    )


def suite_result(judgements: Iterable[Judgement], *, suite: str, meta: Mapping[str, Any]) -> str:
    """The JSON text of the `ExpectationSuiteValidationResult` of all of them."""
    return _load().suite_result(list(judgements), suite, meta)


@dataclass(frozen=True, slots=True)
class _Gx:
    """What is needed of GX once it is imported."""

    configuration: Callable[[Expectation], Any]
    validate: Callable[[list[Any], dict[Any, Any]], list[Any]]
    error_result: Callable[[Any, str], Any]
    suite_result: Callable[[list[Judgement], str, Mapping[str, Any]], str]


@lru_cache(maxsize=1)
def _load() -> _Gx:
    """Import GX, define our engine and expectations on it, and register every metric of GX for that engine as a leaf."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    for name in _LATER:
        sys.modules.setdefault(name, _Later(name))
    from governance.manage import lookup_engine

    return _Gx(
        configuration=lambda expectation: lookup_engine.configuration(_config_of(expectation)),
        validate=lambda configurations, values: lookup_engine.validate(configurations, values, _RESULT_FORMAT),
        error_result=lookup_engine.error_result,
        suite_result=lambda judgements, suite, meta: lookup_engine.suite_result(
            [j.result for j in judgements], suite, meta
        ),
    )


class _Later(ModuleType):
    """Stands for a module until somebody asks something of it. `importlib.util.LazyLoader` does not: to import one again loads it."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def _config_of(expectation: Expectation) -> dict[str, Any]:
    """The expectation that GX runs: itself, or ours in its place where the pass has decided (`holds`).

    Each is run on a "batch" of its own, so that no two share a metric: rules on one column may skip different rows.
    """
    config: dict[str, Any] = json.loads(expectation.config)
    kwargs = config["kwargs"]
    if expectation.holds:
        config["type"], kwargs = GOV_TABLE_RULE, {"rule": expectation.rule_ids[0]}
    elif config["type"] == GOV_RULE:
        kwargs = {"column": kwargs["column"], "rule": kwargs["rule"]}
    return {**config, "kwargs": {**kwargs, "batch_id": expectation.id}}


def _look_up(expectation: Expectation, configuration: Any, lookup: Lookup, values: dict[Any, Any]) -> str:
    """Put every metric that the expectation asks for into `values`; the error text when one is not to be had."""
    from governance.manage import lookup_engine

    try:
        wanted = lookup_engine.metrics_of(configuration, _RESULT_FORMAT)
    except Exception as error:
        return f"GX does not accept this expectation: {type(error).__name__}"
    try:
        found = {metric.id: lookup(expectation, name) for name, metric in wanted.items()}
    except MetricError as error:
        return str(error)
    values.update(found)
    return ""


def _judgement(gx: _Gx, expectation: Expectation, configuration: Any, found: Any, error: str) -> Judgement:
    if found is None:
        found = gx.error_result(configuration, error)
    result = found.to_json_dict()
    if not error and _raised(result.get("exception_info")):
        error = "GX raised while judging it"
    if error:
        result["exception_info"] = {"raised_exception": True, "exception_message": error, "exception_traceback": None}
    result["expectation_config"] = json.loads(expectation.config)
    return Judgement(expectation, bool(result["success"]) and not error, error, result)


def _raised(info: Any) -> bool:
    """GX keeps one record, or one a metric."""
    if not isinstance(info, dict):
        return False
    if "raised_exception" in info:
        return bool(info["raised_exception"])
    return any(_raised(part) for part in info.values())
