"""The environment of a local Airflow that serves one home: everything it writes is under the home's `var/airflow`.

Passwords and secrets are drawn at random on first use and kept in files that only this user can read; there are no default passwords.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from governance.config import Settings

USERS: Mapping[str, str] = {"admin": "admin", "steward": "op", "engineer": "user", "auditor": "viewer"}
"""user -> role of Airflow's simple auth manager; production uses FAB or Keycloak (docker/)."""

CONNECT_ARGS: dict[str, object] = {"timeout": 30}
"""SQLite has one writer at a time: wait for it instead of answering with an error."""

_PRELOAD = '''"""Read by every Airflow process; only the scheduler imports the engines, once, for its forked tasks to inherit."""

from governance.orchestrate.preload import preload

preload()
'''


def airflow_home(settings: Settings) -> Path:
    return settings.var / "airflow"


def airflow_environment(settings: Settings, *, port: int, parallelism: int = 4) -> dict[str, str]:
    """Environment variables for every Airflow process of this home; makes its folder, secrets and passwords when they are new."""
    home = airflow_home(settings)
    (home / "config").mkdir(parents=True, exist_ok=True)
    (home / "config" / "airflow_local_settings.py").write_text(_PRELOAD, encoding="utf-8")
    kept = _secrets(home / "secrets.json")
    _private(home / "passwords.json", json.dumps({user: kept[f"password_{user}"] for user in USERS}))
    own = {
        "AIRFLOW_HOME": str(home),
        "GOV_HOME": str(settings.home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings.home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "governance.orchestrate.executor.SettlingExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(parallelism),
        "AIRFLOW__CORE__MAX_MAP_LENGTH": "20000",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__FERNET_KEY": kept["fernet"],
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{u}:{r}" for u, r in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port + 1}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": f"{__name__}.CONNECT_ARGS",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS_ASYNC": f"{__name__}.CONNECT_ARGS",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__SECRET_KEY": kept["api"],
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": kept["jwt"],
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(port + 2),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(port + 3),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    inherited = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE",) and not k.startswith("AIRFLOW")
    }
    return {**inherited, **own}


def password(settings: Settings, user: str) -> str:
    """The password of one of `USERS`, drawn on first use."""
    return str(_secrets(airflow_home(settings) / "secrets.json")[f"password_{user}"])


def _secrets(file: Path) -> dict[str, str]:
    if file.exists():
        kept: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        return kept
    from cryptography.fernet import Fernet

    drawn = {"api": secrets.token_hex(32), "jwt": secrets.token_hex(32), "fernet": Fernet.generate_key().decode()}
    drawn |= {f"password_{user}": secrets.token_urlsafe(12) for user in USERS}
    _private(file, json.dumps(drawn))
    return drawn


def _private(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as target:
        target.write(text)
