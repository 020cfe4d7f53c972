"""The targets by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from governance.policy.exports import iceberg, postgres, ranger, trino, unity
from governance.policy.exports.model import Export, Scope

TARGETS: Mapping[str, Callable[[Iterable[Scope]], Export]] = {
    "iceberg": iceberg.export,
    "trino": trino.export,
    "ranger": ranger.export,
    "postgres": postgres.export,
    "unity": unity.export,
}
