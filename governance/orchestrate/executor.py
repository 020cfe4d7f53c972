"""Airflow's local executor, less one fault: it told the scheduler of an end that was already over.

A task that parks (an approval) ends its process and is started again, as the same try, when the answer comes. LocalExecutor of Airflow 3.3 knows
a try only by its key: the end of the first process, read after the second was started, reads as "this try is over", and the scheduler fails a
task that is well (Airflow issues 67287, 72716). Celery's executor keeps the latest result of a try only, and has no such fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from airflow.executors.local_executor import LocalExecutor
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.utils.state import TaskInstanceState

ENDS = (TaskInstanceState.SUCCESS, TaskInstanceState.FAILED)


class SettlingExecutor(LocalExecutor):  # type: ignore[misc]  # Airflow's executor has no types
    """A LocalExecutor that counts the processes of a try, and reports its end when the last of them has ended."""

    def start(self) -> None:
        self._processes: Counter[TaskInstanceKey] = Counter()
        super().start()

    def _process_workloads(self, workload_list: Sequence[Any]) -> None:
        self._processes.update(load.key for load in workload_list if isinstance(load.key, TaskInstanceKey))
        super()._process_workloads(workload_list)

    def change_state(self, key: Any, state: Any, info: Any = None, remove_running: bool = True) -> None:
        if isinstance(key, TaskInstanceKey) and state in ENDS:
            self._processes[key] -= 1
            if self._processes[key] > 0 or key in self.queued_tasks:
                self.log.info("An earlier process of %s has ended; a later one is under way", key)
                return
            del self._processes[key]
        super().change_state(key, state, info, remove_running)
