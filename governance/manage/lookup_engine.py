"""GX's side of the look-up: an `ExecutionEngine` whose metrics are given, and our two expectations. Importing this imports GX.

None of these seams is promised by GX (facts: it covers results and expectation classes only), so the minor version is pinned and a
conformance test compares every supported type with GX's own pandas engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
from great_expectations.exceptions import MetricResolutionError
from great_expectations.execution_engine import ExecutionEngine
from great_expectations.expectations import registry
from great_expectations.expectations.expectation import BatchExpectation, ColumnMapExpectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metrics.metric_provider import MetricProvider
from great_expectations.validator.metric_configuration import MetricConfiguration
from great_expectations.validator.validator import Validator, calc_validation_statistics


class LookupExecutionEngine(ExecutionEngine):  # type: ignore[misc]
    """Resolves a metric by looking it up in `values` (by metric id); one that is not there is an error, never a guess."""

    def __init__(self, values: Mapping[Any, Any]) -> None:
        super().__init__()
        self._values = values

    def get_batch_data_and_markers(self, batch_spec: Any) -> Any:
        raise TypeError("this engine has no data, only what was counted")

    def _no_filter(self, condition: Any) -> Any:
        raise TypeError("conditions are part of the compiled rules, this engine filters nothing")

    _comparison_condition_to_filter_clause = _no_filter
    _nullity_condition_to_filter_clause = _no_filter
    _and_condition_to_filter_clause = _no_filter
    _or_condition_to_filter_clause = _no_filter

    def resolve_metrics(
        self,
        metrics_to_resolve: Iterable[MetricConfiguration],
        metrics: dict[Any, Any] | None = None,
        runtime_configuration: dict[str, Any] | None = None,
    ) -> dict[Any, Any]:
        """Every metric asked for, by its id. Raises MetricResolutionError that names those that are missing."""
        wanted = list(metrics_to_resolve)
        missing = tuple(metric for metric in wanted if metric.id not in self._values)
        if missing:
            names = ", ".join(sorted({metric.metric_name for metric in missing}))
            raise MetricResolutionError(message=f"not counted: {names}", failed_metrics=missing)
        return {metric.id: self._values[metric.id] for metric in wanted}


class _Validator(Validator):  # type: ignore[misc]
    """GX's validator, without its progress bars."""

    def _determine_progress_bars(self) -> bool:
        return False


class Given(MetricProvider):  # type: ignore[misc]
    """A metric that depends on nothing: its value is there."""

    @classmethod
    def get_evaluation_dependencies(cls, metric: Any, configuration: Any = None, **_: Any) -> dict[str, Any]:
        return {}


class ExpectGovRuleToHold(ColumnMapExpectation):  # type: ignore[misc]
    """Expect values to keep a rule of the contract that GX has no type for: a code set, a reference, a check, a conversion."""

    rule: str
    map_metric: ClassVar[str] = "gov_rule.holds"
    success_keys: ClassVar[tuple[str, ...]] = ("rule", "mostly")
    args_keys: ClassVar[tuple[str, ...]] = ("column", "rule")
    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id", "table", "column", "row_condition", "condition_parser")


class ExpectGovTableRuleToHold(BatchExpectation):  # type: ignore[misc]
    """Expect an aggregate to be as declared, where the pass that read the data has decided and the value stays there."""

    rule: str
    metric_dependencies: ClassVar[tuple[str, ...]] = ("gov_table_rule.holds",)
    success_keys: ClassVar[tuple[str, ...]] = ("rule",)
    args_keys: ClassVar[tuple[str, ...]] = ("rule",)
    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id", "table")

    def _validate(
        self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None
    ) -> dict[str, Any]:
        return {"success": metrics["gov_table_rule.holds"] is True, "result": {"observed_value": None}}


def configuration(config: Mapping[str, Any]) -> ExpectationConfiguration:
    """GX's configuration of an expectation in its JSON form."""
    return ExpectationConfiguration(
        type=config["type"],
        kwargs=dict(config["kwargs"]),
        meta=dict(config.get("meta") or {}),
        severity=config.get("severity") or "critical",
    )


def metrics_of(config: ExpectationConfiguration, result_format: Mapping[str, Any]) -> dict[str, MetricConfiguration]:
    """The metrics that the expectation needs, by name. Raises what GX raises for kwargs that it does not accept."""
    dependencies = config.to_domain_obj().get_validation_dependencies(
        runtime_configuration={"result_format": dict(result_format)}
    )
    wanted: dict[str, MetricConfiguration] = dependencies.metric_configurations
    return wanted


def validate(
    configurations: list[ExpectationConfiguration], values: Mapping[Any, Any], result_format: Mapping[str, Any]
) -> list[ExpectationValidationResult]:
    """GX's results, in the order of the configurations, which each have a `batch_id` of their own."""
    if not configurations:
        return []
    validator = _Validator(execution_engine=LookupExecutionEngine(values))
    runtime = {"result_format": dict(result_format), "catch_exceptions": True}
    results = validator.graph_validate(configurations=configurations, runtime_configuration=runtime)
    by_batch = {r.expectation_config.kwargs["batch_id"]: r for r in results}
    return [by_batch.get(c.kwargs["batch_id"]) or error_result(c, "GX gave no result") for c in configurations]


def error_result(config: ExpectationConfiguration, message: str) -> ExpectationValidationResult:
    """The result of an expectation that could not be judged: never a success."""
    info = {"raised_exception": True, "exception_message": message, "exception_traceback": None}
    return ExpectationValidationResult(success=False, exception_info=info, expectation_config=config)


def suite_result(results: list[Mapping[str, Any]], suite: str, meta: Mapping[str, Any]) -> str:
    """JSON text of the suite's result, with GX's own statistics."""
    rebuilt = [
        ExpectationValidationResult(
            success=r["success"],
            expectation_config=configuration(r["expectation_config"]),
            result=r.get("result"),
            meta=r.get("meta"),
            exception_info=r.get("exception_info"),
        )
        for r in results
    ]
    statistics = calc_validation_statistics(rebuilt)
    whole = ExpectationSuiteValidationResult(
        success=statistics.success,
        results=rebuilt,
        suite_name=suite,
        statistics={
            "evaluated_expectations": statistics.evaluated_expectations,
            "successful_expectations": statistics.successful_expectations,
            "unsuccessful_expectations": statistics.unsuccessful_expectations,
            "success_percent": statistics.success_percent,
        },
        meta=dict(meta),
    )
    return json.dumps(whole.to_json_dict(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _register() -> None:
    """Every metric that GX knows, and our own, for our engine: leaves without dependencies."""
    for name, definition in list(registry._registered_metrics.items()):
        domain, value = tuple(definition["metric_domain_keys"]), tuple(definition["metric_value_keys"])
        _register_one(name, domain, value)
    domain = ("batch_id", "table", "column", "row_condition", "condition_parser")
    for suffix in ("unexpected_count", "unexpected_values", "unexpected_index_list", "unexpected_index_query"):
        _register_one(f"gov_rule.holds.{suffix}", domain, ("rule",))
    _register_one("gov_table_rule.holds", ("batch_id", "table"), ("rule",))


def _register_one(name: str, domain: tuple[str, ...], value: tuple[str, ...]) -> None:
    registry.register_metric(
        metric_name=name,
        metric_domain_keys=domain,
        metric_value_keys=value,
        execution_engine=LookupExecutionEngine,
        metric_class=Given,
        metric_provider=None,
    )


_register()
