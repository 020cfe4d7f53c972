"""One batch of two tables through the whole protocol, as a process of its own that a test may have killed at a step."""

import sys
from pathlib import Path

from governance.lake.lake import TableChange
from governance.lake.specs import quarantine_spec, stored_spec
from governance.state.crash import crash_point
from tests.lake.conftest import invoice_rows, invoices, open_home

SPEC, QUARANTINE = stored_spec(invoices()), quarantine_spec(invoices())


def run(folder: Path) -> None:
    """What a stage does: ensure, write, prepare, swap; nothing when it was done before."""
    home = open_home(folder)
    if home.lake.snapshot(SPEC.name) is None:
        home.lake.ensure(QUARANTINE)
        files = home.write(SPEC, invoice_rows(0, 300_000))
        prepared = home.lake.prepare([TableChange(SPEC.name, files), TableChange(QUARANTINE.name)])
        with home.database.unit_of_work() as tx:
            home.lake.swap(tx, prepared)
        crash_point("test.after_swap")
    home.database.close()


if __name__ == "__main__":
    run(Path(sys.argv[1]))
