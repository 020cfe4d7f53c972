"""Use: Built -> Published. Releases, per-field access, the query service.

`propose`, `approve` and `publish` make curated tables a release; `query` answers one SELECT for a subject and
purpose; `who_sees` and `explain` say why. Start reading at `query.py`.
"""

from governance.use.query import Answer, query
from governance.use.release import approve, propose, publish, sign
from governance.use.who_sees import explain, who_sees

__all__ = ["Answer", "approve", "explain", "propose", "publish", "query", "sign", "who_sees"]
