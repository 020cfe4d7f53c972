"""The production shape, as far as it can be checked without a Docker engine: files, variables, commands, users and queues exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from governance.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
TEXT = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")


def test_the_shape_has_every_part() -> None:
    expected = {
        *(
            "api-server",
            "scheduler",
            "dag-processor",
            "triggerer",
            "postgres",
            "valkey",
            "portal",
            "serve",
            "serving",
            "keys",
            "ledger",
            "migrate",
        ),
        *(f"worker-{role}" for role in ("collect", "store", "manage", "build", "use")),
    }
    assert set(SERVICES) == expected


def test_every_variable_is_in_the_example_and_has_no_default() -> None:
    used = set(re.findall(r"\$\{(\w+)", TEXT))
    named = {line.partition("=")[0] for line in (DOCKER / ".env.example").read_text().splitlines() if "=" in line}
    assert used == named
    assert all(match.endswith(":?}") for match in re.findall(r"\$\{[^}]*\}", TEXT))


def test_every_path_of_the_repository_exists() -> None:
    for service in SERVICES.values():
        build = service.get("build")
        if build:
            assert (DOCKER / build["context"] / build["dockerfile"]).is_file()
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).exists(), source
            elif not source.startswith("$"):
                assert source in COMPOSE["volumes"], source
    for copied in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in copied.split():
            assert (ROOT / source).exists(), source


def test_every_service_runs_as_a_system_user_that_the_image_makes() -> None:
    made = set(re.findall(r"useradd .* (gov-\w+)", DOCKERFILE))
    ours = {name: s for name, s in SERVICES.items() if name not in ("postgres", "valkey")}
    users = {name: s["user"].partition(":")[0] for name, s in ours.items()}
    assert set(users.values()) == made
    workers = [user for name, user in users.items() if name.startswith("worker-")]
    assert len(set(workers)) == len(workers)


def test_every_queue_that_a_task_names_has_a_worker_of_its_own() -> None:
    named = set()
    for file in (ROOT / "governance" / "orchestrate").glob("*.py"):
        named |= set(re.findall(r'queue="(\w+)"', file.read_text(encoding="utf-8")))
    named |= {"collect", "store", "manage"}
    served = [q for n, s in SERVICES.items() if n.startswith("worker-") for q in s["command"][-1].split(",")]
    assert named <= set(served)
    assert len(served) == len(set(served))


def test_copies_for_lookups_are_made_by_the_system_user_that_may_open_them() -> None:
    copying = [name for name, service in SERVICES.items() if service.get("user") == "gov-serve:gov"]
    assert copying == ["serving"]
    assert SERVICES["serving"]["command"] == ["gov", "serving", "--follow"]
    assert "GOV_KEY_SOCKET" in SERVICES["serving"]["environment"]


def test_only_custody_sees_the_keyring() -> None:
    seeing = [n for n, s in SERVICES.items() if any(v.startswith("keyring:") for v in s.get("volumes", []))]
    assert seeing == ["keys", "ledger"]
    assert {SERVICES[name]["user"] for name in seeing} == {"gov-keys:gov"}


@pytest.mark.parametrize("name", [n for n, s in SERVICES.items() if s.get("command", [""])[0] == "gov"])
def test_every_gov_command_exists(name: str) -> None:
    assert SERVICES[name]["command"][1] in COMMANDS
