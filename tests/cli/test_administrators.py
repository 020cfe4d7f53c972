"""Commands of the security administrator are for the system user that has the keys."""

import inspect
import os
import re

import pytest

from governance.cli import keys, keys_rotate, keys_shred
from governance.cli.administrators import COMMANDS, require_security
from governance.errors import Refused


def test_only_the_user_that_has_the_keys_may_where_there_is_one() -> None:
    require_security("keys shred", uid=2006, known=lambda _: 2006)
    for other in (0, 2002):
        with pytest.raises(Refused, match="security administrator") as refused:
            require_security("keys shred", uid=other, known=lambda _: 2006)
        assert "sudo -u gov-keys gov keys shred" in str(refused.value)


def test_a_home_of_one_user_tells_nobody_apart() -> None:
    require_security("keys shred", uid=os.getuid(), known=lambda _: None)


def test_every_command_of_the_table_asks_and_no_other_of_the_group_does() -> None:
    text = "".join(map(inspect.getsource, (keys, keys_rotate, keys_shred)))
    assert sorted(re.findall(r'require_security\("([a-z ]+)"\)', text)) == sorted(COMMANDS)
    assert {f"keys {name}" for name in keys.command.commands} == {*COMMANDS, "keys sign"}
