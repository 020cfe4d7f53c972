"""One process of `governed_run`: open the home, run all stages, propose a release, sign it, publish it. Prints (wall, CPU) seconds of each step.

The bench signs with a key of its own, which the bench home's access.yaml registers.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

STEWARD = "user:bench-steward"

ACCESS = """version: 1
roles: [{{id: analyst, description: reads turnover}}]
purposes: [{{id: statistics, description: turnover by region}}]
subjects:
- {{name: "user:analyst", roles: [analyst], clearance: L2}}
- {{name: "{steward}", clearance: L3}}
approvers: [{{subject: "{steward}", public_key: "{public_key}"}}]
rules:
- {{id: open, roles: [analyst], purposes: [statistics], where: {{levels: [L1, L2]}}, action: raw}}
"""


def access() -> str:
    """The text of the bench home's access.yaml."""
    public = _key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return ACCESS.format(steward=STEWARD, public_key=public.hex())


class Clock:
    """Wall and CPU seconds of this process by step; `mark` ends a step."""

    def __init__(self) -> None:
        self.steps: dict[str, tuple[float, float]] = {}
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def mark(self, name: str) -> None:
        wall, cpu = time.monotonic(), time.process_time()
        before = self.steps.get(name, (0.0, 0.0))
        self.steps[name] = (round(before[0] + wall - self._wall, 2), round(before[1] + cpu - self._cpu, 2))
        self._wall, self._cpu = wall, cpu


def main(home: Path) -> None:
    clock = Clock()
    from governance.config import load_settings
    from governance.pipeline.context import open_context
    from governance.pipeline.publish import propose_release, publish_release
    from governance.pipeline.run import new_run, run_all
    from governance.state.values import Window
    from governance.use.release import sign

    clock.mark("import")
    context = open_context(load_settings(home))
    clock.mark("open")
    run = new_run()
    window = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    result = run_all(context, window, run=run, report=lambda step: clock.mark(f"{step.stage} {step.subject}"))
    if result.failed:
        sys.exit("\n".join(map(str, result.failed)))
    release = propose_release(context, run)
    publish_release(context, release, STEWARD, sign(release, _key()), run)
    context.database.close()
    clock.mark("publish")
    print("STEPS", json.dumps(clock.steps))


def _key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"the bench's steward").digest())


if __name__ == "__main__":
    from governance.process import whole

    whole(lambda: main(Path(sys.argv[1])))
