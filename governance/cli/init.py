"""`gov init`: a new home for somebody's own data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from governance.catalog.names import CURATED, STANDARDS, name_fault
from governance.config import load_settings
from governance.errors import GovernanceError

_SETTINGS = """\
# A home: what is declared here (catalog, expectations) and what the system writes (var). Everything below is the default.
[paths]
catalog = "catalog"
expectations = "expectations"
var = "var"
keyring = "var/keys"            # better: a folder outside this home, so that a copy of the data has no keys

[engine]
threads = 2
memory_limit_mb = 2048

# Where a source system's files or database really are; overrides what the contracts say.
# [sources.SYSTEM]
# location = "/srv/exports"     # a folder, a database URL or an http(s) address
"""

_ACCESS = """\
# Who may see what, for which purpose. Written on tags and levels, never on column names. What no rule opens stays closed.
version: 1

# roles:
#   - {id: statistician, description: "counts people"}
# purposes:
#   - {id: statistics, description: "yearly statistics", legal_basis: "Statistics Law article 7"}
# subjects:
#   - {name: "user:li", roles: [statistician], clearance: L2}
#   - {name: "user:wang"}
# approvers:                      # whose Ed25519 signature over a release counts
#   - {subject: "user:wang", public_key: "64 hex digits"}
# administrators:                 # three, of whom nobody is two and none reads a sensitive field (docs/CUSTODY.md)
#   {system: ["user:zhang"], security: ["user:qian"], audit: ["user:sun"]}
# rules:
#   - id: statistics-open-fields
#     roles: [statistician]
#     purposes: [statistics]
#     where: {levels: [L1, L2]}
#     action: raw
"""

_DAGS: Mapping[str, str] = {
    "departments.py": '''"""One DAG a department: collect, store and manage, mapped over its systems. (Airflow looks into files that name it and a dag.)"""

from governance.orchestrate.departments import department_dags

globals().update(department_dags())
''',
    "curated.py": '''"""One DAG a curated table, triggered by the assets that its model reads. (Airflow looks into files that name it and a dag.)"""

from governance.orchestrate.curated import curated_dags

globals().update(curated_dags())
''',
    "publish.py": '''"""The release of the curated tables: proposed, approved by a steward, published. (Airflow looks into files that name it and a dag.)"""

from governance.orchestrate.publish import publish_dag

dag = publish_dag()
''',
    "access.py": '''"""Requests of access: put before the approvers, answered with a signature, recorded. (Airflow looks into files that name it and a dag.)"""

from governance.orchestrate.access import access_dags

globals().update(access_dags())
''',
}

_DEPARTMENT = """\
# {department}

One contract a dataset: `catalog/{department}/<dataset>.odcs.yaml` (Open Data Contract Standard v3.1), and if there are rules beyond the
contract, a Great Expectations suite in `expectations/{department}/<dataset>.json`. The smallest contract that can be collected:

```yaml
apiVersion: v3.1.0
kind: DataContract
id: {department}-people
version: 1.0.0
status: active
servers:
  - {{server: files, type: local, path: sources/people.csv, format: csv}}
schema:
  - name: people
    properties:
      - {{name: number, logicalType: string, primaryKey: true, required: true, unique: true, classification: L2}}
      - {{name: name, logicalType: string, classification: L3, tags: [name]}}
team:
  members: [{{username: li, role: steward}}]
```

Then run `gov check`.
"""


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--department",
    "departments",
    multiple=True,
    help="Make the folders of this department (may be given several times).",
)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def command(folder: Path, departments: tuple[str, ...], as_json: bool) -> None:
    """Make a new home in FOLDER: gov.toml, an empty catalogue, DAG files, a folder for keys. Files that are there stay as they are.

    Example: gov init city --department health && gov --home city check
    """
    made = make_home(folder, departments)
    if as_json:
        click.echo(json.dumps({"home": str(folder.resolve()), "made": made}, ensure_ascii=False))
        return
    click.echo("\n".join(made))
    click.echo(f"A home. Next: write a contract, then `gov --home {folder} check`.")


def make_home(folder: Path, departments: tuple[str, ...] = ()) -> list[str]:
    """Make the home; the files and folders that are new, relative to it. Raises GovernanceError when it is a home already."""
    if (folder / "gov.toml").exists():
        raise GovernanceError(
            "this is a home already", where=str(folder), allowed="a folder without a gov.toml", do="name another"
        )
    for department in departments:
        problem = name_fault(department)
        if problem or department in (CURATED, STANDARDS):
            found, allowed = problem or ("a name that is taken", f"any but {CURATED}, {STANDARDS}")
            raise GovernanceError(
                f"{department!r} cannot be a department: {found}", where="--department", allowed=allowed
            )
    files = {
        f"catalog/{STANDARDS}/.gitkeep": "",
        f"catalog/{CURATED}/.gitkeep": "",
        "catalog/access.yaml": _ACCESS,
        "expectations/.gitkeep": "",
        ".gitignore": "/var/\n",
        **{f"dags/{name}": text for name, text in _DAGS.items()},
    }
    for department in departments:
        files[f"catalog/{department}/README.md"] = _DEPARTMENT.format(department=department)
        files[f"expectations/{department}/.gitkeep"] = ""
    made = [name for name, text in files.items() if _write_new(folder / name, text)]
    _write_new(folder / "gov.toml", _SETTINGS)  # last: from here on it is a home
    keyring = load_settings(folder).keyring
    keyring.mkdir(parents=True, exist_ok=True)
    keyring.chmod(0o700)
    return sorted([*made, "gov.toml", "var/keys/"])


def _write_new(file: Path, text: str) -> bool:
    """Whether the file was made; one that is there is left alone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        return False
    return True
