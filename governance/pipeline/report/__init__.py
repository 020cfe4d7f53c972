"""`gov report`: one folder of static HTML that opens offline - the quality of every dataset by run, the lineage of every curated column.

`facts` reads what the state recorded, `pages` renders it. Pages hold counts, names and rules; never a cell value. No page loads a script or
anything else from a network.
"""

from governance.pipeline.report.pages import write_report

__all__ = ["write_report"]
