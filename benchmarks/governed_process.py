"""One process of `governed_run`: open the home, run all stages, propose a release, sign it, publish it. Prints the seconds of each step.

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


def main(home: Path) -> None:
    started = time.monotonic()
    from governance.config import load_settings
    from governance.pipeline.context import open_context
    from governance.pipeline.publish import propose_release, publish_release
    from governance.pipeline.run import new_run, run_all
    from governance.pipeline.steps import Step
    from governance.state.values import Window
    from governance.use.release import sign

    imported = time.monotonic()
    context = open_context(load_settings(home))
    opened = time.monotonic()
    steps: list[Step] = []
    run = new_run()
    window = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    result = run_all(context, window, run=run, report=steps.append)
    if result.failed:
        sys.exit("\n".join(map(str, result.failed)))
    ran = time.monotonic()
    release = propose_release(context, run)
    publish_release(context, release, STEWARD, sign(release, _key()), run)
    context.database.close()
    seconds = {"import": imported - started, "open": opened - imported}
    for step in steps:
        name = f"{step.stage} {step.subject}"
        seconds[name] = seconds.get(name, 0.0) + step.seconds
    seconds["publish"] = time.monotonic() - ran
    print("STEPS", json.dumps({name: round(value, 2) for name, value in seconds.items()}))


def _key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"the bench's steward").digest())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
