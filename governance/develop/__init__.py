"""Develop: judged tables in, curated tables out, as SQL models say; with column lineage, inherited levels and
repeatability.

Start with `analyse` (what a model reads, makes and may do; pure), then `build` (pin, grant, worker, verdict, swap)
and `checks`.
"""

from governance.develop.analyse import analyse, analyse_check, order
from governance.develop.analysis import Analysis

__all__ = ["Analysis", "analyse", "analyse_check", "order"]
