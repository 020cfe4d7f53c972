"""Who runs what (三员分立): commands of the security administrator are for the system user that has the keys.

Where the machine has no such user, a single-user home, there is nothing to tell apart. Root is nobody's role: whoever
is root takes the user's place and is seen to do so.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable

from governance.errors import Refused

SECURITY = "gov-keys"
COMMANDS = ("keys ledger", "keys list", "keys rotate", "keys serve", "keys shred")
"""The security administrator's commands; `gov keys sign` is an approver's, at a machine of their own."""


def uid_of(user: str) -> int | None:
    """The uid of a system user; None when there is none."""
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def require_security(command: str, *, uid: int | None = None, known: Callable[[str], int | None] = uid_of) -> None:
    """Refused unless the security administrator runs `command`, where the machine has one."""
    wanted = known(SECURITY)
    if wanted is not None and wanted != (os.getuid() if uid is None else uid):
        raise Refused(
            "this user is not the security administrator",
            where=f"gov {command}",
            allowed=f"system user {SECURITY}",
            do=f"sudo -u {SECURITY} gov {command}",
        )
