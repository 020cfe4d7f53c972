"""`gov report`: one folder of static HTML that opens offline - scores of stages and dimensions, incidents, providers, every table by run, lineage.

`read` reads what the state recorded, one table at a time, `facts` are its values, `trend`, `sla` and the scorecard make scores of them, `pages`
renders. Pages hold counts, names and rules; never a cell value. No page loads a script or anything else from a network.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from governance.pipeline.context import Context


def write_report(context: Context, folder: Path | None = None) -> Path:
    """Write the report into `folder` (default: the home's reports folder); returns the path of its first page.

    What the folder held is replaced. Raises GovernanceError when it holds something that is no report.
    """
    from governance.pipeline.report import pages

    return pages.write_report(context, folder)
