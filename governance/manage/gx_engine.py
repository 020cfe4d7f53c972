"""A suite run by GX's own pandas engine, for types that do not compile. Importing this imports GX; what comes out are verdicts and counts."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import great_expectations as gx
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 0, "exclude_unexpected_values": True}
_COUNTS = ("element_count", "unexpected_count", "missing_count")


def run_pandas(table: pa.Table, expectations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What GX says of each expectation (its JSON), each by itself: type, success, `errored`, counts of rows. No value of the data.

    Integers keep their NULLs, decimals become floats, since GX's statistics are of floats.
    """
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    frame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
        batch = asset.add_batch_definition_whole_dataframe("rows").get_batch(batch_parameters={"dataframe": frame})
        return [_judged(batch, expectation) for expectation in expectations]


def _judged(batch: Any, expectation: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"type": str(expectation["type"]), "success": False, "errored": True, "counts": {}}
    try:
        kwargs = json.loads(json.dumps(expectation.get("kwargs") or {}))
        configured = ExpectationConfiguration(type=told["type"], kwargs=kwargs).to_domain_obj()
        result = batch.validate(configured, result_format=_FORMAT).to_json_dict()
    except (
        Exception
    ) as error:  # GX and what it calls raise anything; their texts may quote rows, so only the class is told
        return {**told, "error": type(error).__name__}
    if any(_raised(result.get("exception_info"))):
        return {**told, "error": "GX raised while judging it"}
    counted = result.get("result") or {}
    counts = {name: int(counted[name]) for name in _COUNTS if counted.get(name) is not None}
    return {**told, "success": bool(result["success"]), "errored": False, "counts": counts}


def _raised(info: Any) -> Iterator[bool]:
    """GX keeps one record of what was raised, or one a metric."""
    if isinstance(info, Mapping):
        yield bool(info.get("raised_exception"))
        for part in info.values():
            yield from _raised(part)
