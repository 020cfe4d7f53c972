"""What one stage did with one dataset or model, and how a loop over many goes on when one of them fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from traceback import format_tb
from typing import Literal

from governance.errors import Fault, GovernanceError, NotReady, Refused
from governance.ledger.entry import append
from governance.state.database import Database
from governance.state.values import Actor

log = logging.getLogger("governance")

StepOutcome = Literal["done", "warned", "stopped", "waiting", "failed"]


@dataclass(frozen=True, slots=True)
class Step:
    """One dataset's (or model's) way through one stage. `message` is empty when all went well; it never holds a cell value."""

    stage: str
    subject: str
    batch: str
    outcome: StepOutcome
    seconds: float
    message: str = ""
    retry: bool = False
    rows: int | None = None

    def __str__(self) -> str:
        rows = f" {self.rows:,} rows" if self.rows is not None else ""
        batch = (
            f" (batch {self.batch})" if self.message and self.batch and self.outcome not in ("done", "warned") else ""
        )
        text = f"{self.stage:8} {self.subject}{batch}: {self.outcome}{rows} in {self.seconds:.1f} s"
        return f"{text} - {self.message}" if self.message else text


def of_faults(faults: Iterable[Fault]) -> tuple[Step, ...]:
    """A failed step for each file that is wrong: nothing that it declares is worked on.

    >>> print(*of_faults([Fault("a.json", 2, "", "not JSON", "", "correct it")]))
    check    a.json: failed in 0.0 s - a.json:2: not JSON; correct it
    """
    by_file: dict[str, list[Fault]] = {}
    for fault in sorted(faults):
        by_file.setdefault(fault.file, []).append(fault)
    return tuple(
        Step("check", file, "", "failed", 0.0, str(own[0]) + (f" (and {len(own) - 1} more)" if own[1:] else ""))
        for file, own in by_file.items()
    )


Report = Callable[[Step], None]


def silent(_step: Step) -> None:
    """A report that nobody reads."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a stage's work returns to `attempt`."""

    batch: str
    outcome: StepOutcome = "done"
    rows: int | None = None
    message: str = ""


def attempt(
    stage: str,
    subject: str,
    work: Callable[[], Done],
    *,
    actor: Actor,
    database: Database,
    report: Report,
    batch: str = "",
) -> Step:
    """Run one piece of work; an error becomes a step (and a ledger entry), so that the neighbours go on. `batch` is what it works on, if known.

    Errors that are not ours are programming errors or the operating system's: they become `failed` with class and place alone, since an
    engine's message may quote a value; the log has the lines of code that led there, never the text either.
    """
    started, raised = time.monotonic(), False
    try:
        done = work()
        step = Step(stage, subject, done.batch, done.outcome, time.monotonic() - started, done.message, rows=done.rows)
    except NotReady as error:
        step = Step(stage, subject, batch, "waiting", time.monotonic() - started, str(error), retry=True)
    except GovernanceError as error:
        outcome: StepOutcome = "stopped" if isinstance(error, Refused) else "failed"
        raised, step = (
            True,
            Step(stage, subject, batch, outcome, time.monotonic() - started, str(error), retry=error.retry),
        )
    except Exception as error:
        log.debug("%s %s: %s\n%s", stage, subject, type(error).__name__, "".join(format_tb(error.__traceback__)))
        raised, step = (
            True,
            Step(stage, subject, batch, "failed", time.monotonic() - started, _origin(error), retry=True),
        )
    if raised:
        _record_failure(step, actor, database)
    report(step)
    return step


def _origin(error: BaseException) -> str:
    """Class of an unexpected error and the place it came from; never its text.

    >>> try:
    ...     int("110101199003070011x")
    ... except ValueError as error:
    ...     _origin(error).startswith("ValueError at ")
    True
    """
    traceback = error.__traceback__
    place = ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = f"{code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return f"{type(error).__name__} at {place}"


def _record_failure(step: Step, actor: Actor, database: Database) -> None:
    facts = {
        "stage": step.stage,
        "subject": step.subject,
        "batch": step.batch,
        "outcome": step.outcome,
        "message": step.message,
    }
    with database.unit_of_work() as tx:
        append(tx, "failure", facts, actor=actor, writer=database.writer, at=database.clock())
