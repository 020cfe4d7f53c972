"""Develop: judged tables in, curated tables out, as SQL models say; with column lineage, inherited levels and
repeatability.

Start with `analyse` (what a model reads, makes and may do; pure), then `build` (pin, grant, worker, verdict, swap),
whose worker is `worker`; `findings` has the checks between departments.
"""

from governance.develop.analyse import analyse, analyse_check, order
from governance.develop.analysis import Analysis
from governance.develop.build import build
from governance.develop.findings import run_checks

__all__ = ["Analysis", "analyse", "analyse_check", "build", "order", "run_checks"]
