"""`python -m tests.service.fuzz [SECONDS]`: a small published home, a real `gov serve`, schemathesis against its OpenAPI document.

Schemathesis lies in the environment of this folder's own lock (`make fuzz` makes it): it needs another jsonschema-rs than
we do. Its exit code is ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from governance.catalog.load import load_catalogue
from governance.service import api_keys
from governance.state.values import Actor
from tests.service.conftest import port_that_is_free
from tests.use.lookup_home import ROOT, Home

HERE = Path(__file__).parent
SUBJECT = """\
  - name: "service:fuzz"
    roles: [statistician, caseworker]
    department: statistics
    clearance: L3
    attributes: { divisions: ["440106"] }
"""


def main(seconds: int) -> int:
    """Fuzz for about so many seconds; schemathesis' exit code."""
    with tempfile.TemporaryDirectory() as folder:
        key = _home(Path(folder))
        port = port_that_is_free()
        words = [sys.executable, "-m", "governance.cli.main", "--home", folder, "serve", f"--port={port}"]
        server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            _await(url)
            return subprocess.run(
                [
                    HERE / ".venv" / "bin" / "schemathesis",
                    *("--config-file", HERE / "schemathesis.toml"),
                    *("run", f"{url}/v1/openapi.json", f"--max-time={seconds}"),
                ],
                env={**os.environ, "FUZZ_KEY": key},
                cwd=folder,
                check=False,
            ).returncode
        finally:
            server.terminate()
            server.wait(timeout=30)


def _home(folder: Path) -> str:
    """A published home of a few people in `folder`; an API key of service:fuzz, who sees something of it."""
    for name in ("catalog", "expectations"):
        shutil.copytree(ROOT / name, folder / name)
    access = folder / "catalog" / "access.yaml"
    text = access.read_text(encoding="utf-8")
    access.write_text(text.replace("subjects:\n", "subjects:\n" + SUBJECT, 1), encoding="utf-8")
    (folder / "gov.toml").write_text("[engine]\nthreads = 1\nmemory_limit_mb = 512\n", encoding="utf-8")
    home = Home(folder)
    home.catalogue = load_catalogue(home.settings)
    for table in ("curated.person", "curated.family"):
        home.fill(table, 40)
    home.release("curated.person", "curated.family")
    actor = Actor("system:fuzz", "service.keys", "fuzz")
    key, _ = api_keys.create("service:fuzz", days=1, actor=actor, database=home.database)
    home.database.close()
    return key


def _await(url: str) -> None:
    for _ in range(300):
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    sys.exit("the service did not start")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 60))
