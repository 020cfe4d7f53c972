"""How often and how soon tasks are tried again.

The first retry comes soon, since somebody who came first or holds the lease is gone in seconds; later ones leave a source or a full disk time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

STAGES: Mapping[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=5),
    "retry_exponential_backoff": 4.0,
    "max_retry_delay": timedelta(minutes=10),
}
"""For the tasks of the stages: after about 5, 20 and 80 seconds (Airflow adds up to as much again). "Fail now" needs no retry."""

APPROVAL: Mapping[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=2),
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(f"airflow.providers.standard.exceptions.{error}", action=RetryAction.FAIL)
            for error in ("HITLRejectException", "HITLTimeoutError")
        ]
    ),
}
"""For the approval: a rejection and a passed date are final; a process that dies while it takes the answer asks again."""
