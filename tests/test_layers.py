"""The house's walls: which package may import which."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_import_respects_the_layers() -> None:
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:]


def test_importing_the_package_imports_no_engine() -> None:
    code = (
        "import sys, governance, governance.errors, governance.config\n"
        "heavy = {'duckdb', 'pyarrow', 'pyiceberg', 'great_expectations', 'airflow', 'sqlalchemy', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
