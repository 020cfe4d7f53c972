"""Cuts off an answer under way: within a second of its grant's end, of a change of the access rules, of the end of a request
of access that it stands on, or of a consent.

The rules are looked at whole: when they change, every answer under way ends and may be asked for again, which
compiles the new ones. That is coarser than it need be, and never late.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from governance.errors import GovernanceError, Refused
from governance.keys import grants
from governance.policy.filters import Consented
from governance.policy.permits import Permit
from governance.state.database import Database
from governance.use.consents import narrowed
from governance.use.published import in_force
from governance.use.standing import still_hold

EVERY_SECONDS = 0.5


class Watch:
    """Looks at a grant, at the rules, `permits` and `consents` until `stop`; calls `cut` once, with the reason, when the
    grant or a permit ended, somebody withdrew a consent, the rules in force are not `rules` any more, or whoever asked
    has gone (`cancelled` is set).
    """

    def __init__(
        self,
        grant: str,
        rules: str | None,
        database: Database,
        cut: Callable[[GovernanceError], None],
        cancelled: threading.Event | None = None,
        permits: Sequence[Permit] = (),
        consents: Sequence[Consented] = (),
    ) -> None:
        self._grant, self._rules, self._database, self._cut = grant, rules, database, cut
        self._cancelled = cancelled or threading.Event()
        self._permits, self._consents = tuple(permits), tuple(consents)
        self._over = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def stop(self) -> None:
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            reason = self._gone()
            if reason is not None:
                self._cut(reason)
                return

    def _gone(self) -> GovernanceError | None:
        if self._cancelled.is_set():
            return Refused("whoever asked has gone", do="ask again")
        try:
            with self._database.read() as connection:
                at = self._database.clock()
                grants.require(connection, self._grant, (), at=at)
                if not still_hold(connection, self._permits, at=at):
                    return Refused("the access that this answer stands on ended", do="ask again")
                if narrowed(connection, self._consents):
                    return Refused("a consent was withdrawn while the answer was under way", do="ask again")
                if in_force(connection) != self._rules:
                    return Refused("the access rules changed while the answer was under way", do="ask again")
        except Refused:
            return Refused("the grant of this answer ended", do="ask again")
        except GovernanceError as error:
            return error
        return None
