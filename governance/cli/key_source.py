"""Where a command takes keys from: a file or the input, never the command line, which the shell keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def key_options(command: Command) -> Command:
    """The options `--key-file FILE` and `--key -`, as parameters `key_file` and `from_input` for `key_source`."""
    from_input = click.Choice(["-"])
    command = click.option("--key", "from_input", type=from_input, help="- reads keys from the input, one a line.")(
        command
    )
    file = click.File("r", encoding="utf-8")
    return click.option("--key-file", type=file, help="A file with one key a line; - reads the input.")(command)


def key_source(key_file: TextIO | None, from_input: str | None) -> TextIO:
    """What to read keys from. Raises UsageError unless exactly one of the two is given."""
    if (key_file is None) == (from_input is None):
        raise click.UsageError("give exactly one of --key-file FILE and --key -")
    return key_file if key_file is not None else sys.stdin
