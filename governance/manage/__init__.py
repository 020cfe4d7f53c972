"""manage: `Stored` -> `Judged`. The only stage that lets a batch in, and the only package that speaks Great Expectations.

A contract and a suite are compiled to `RowRules` (`compile.py`), which store and develop evaluate in their one pass. What they counted
becomes genuine GX results and one verdict (`verdict.py`), and on go one commit that moves what readers see (`judge.py`). `preload` begins
to import GX, which takes three seconds, in the background. Start reading at `judge.py`.
"""

from governance.manage.compile import compile_rules
from governance.manage.engine import preload
from governance.manage.judge import judge
from governance.manage.verdict import verdict

__all__ = ["compile_rules", "judge", "preload", "verdict"]
