"""`gov check`: every fault of every declaration, or the compiled index."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from governance.catalog.types import Level
from governance.config import load_settings
from governance.errors import DeclarationError

if TYPE_CHECKING:
    from governance.pipeline.check import Checked


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(home: Path | None, as_json: bool) -> None:
    """Report every fault of every declaration, each with file and line; without one, write the index that DAG files read.

    Prints the exact keys that each curated table will be granted. Exit code 1 when there is a fault.

    Example: gov check --json
    """
    from governance.pipeline.check import check

    try:
        checked = check(load_settings(home))
    except DeclarationError as error:
        if as_json:
            click.echo(
                json.dumps({"ok": False, "faults": [asdict(f) for f in error.faults]}, ensure_ascii=False, indent=1)
            )
        else:
            click.echo("\n".join(map(str, error.faults)))
            click.echo(
                f"{len(error.faults)} fault{'s' if len(error.faults) != 1 else ''}; no index was written", err=True
            )
        click.get_current_context().exit(1)
    if as_json:
        click.echo(json.dumps(_answer(checked), ensure_ascii=False, indent=1))
    else:
        click.echo("\n".join(_lines(checked)))


def _answer(checked: Checked) -> Mapping[str, Any]:
    catalogue = checked.catalogue
    models = {
        name: {
            "inputs": list(checked.analyses[name].inputs),
            "keys": [str(key) for key in checked.analyses[name].keys],
            "checks": [c.name for c in catalogue.models[name].checks],
            "tolerance": catalogue.models[name].tolerance,
            "declassified": {
                c: {"level": level.value, "because": why}
                for c, (level, why) in catalogue.models[name].declassify.items()
            },
        }
        for name in checked.order
    }
    return {
        "ok": True,
        "faults": [],
        "departments": list(catalogue.departments),
        "datasets": list(catalogue.datasets),
        "models": models,
        "code_sets": sorted(catalogue.code_sets),
        "suites": sorted(catalogue.suites),
        "without_source": list(checked.sourceless),
        "unclassified": list(checked.unclassified),
        "index": checked.index_hash,
    }


def _lines(checked: Checked) -> list[str]:
    catalogue = checked.catalogue
    lines = []
    for name in checked.order:
        analysis = checked.analyses[name]
        lines.append(f"{name} reads {', '.join(analysis.inputs) or 'nothing'}")
        lines += [f"  is granted {key}" for key in analysis.keys] or ["  needs no key"]
        lines += [f"  tolerance: {catalogue.models[name].tolerance}"] if catalogue.models[name].tolerance else []
        lines += [
            f"  declassifies {c} to {level.value} because {why}"
            for c, (level, why) in catalogue.models[name].declassify.items()
        ]
    lines += _some("no source that can be read", checked.sourceless)
    unclassified = f"not classified ({', '.join(Level)}), so encrypted and never published"
    lines += _some(unclassified, checked.unclassified)
    numbers = [
        (len(catalogue.departments), "department"),
        (len(catalogue.datasets), "dataset"),
        (len(catalogue.models), "curated table"),
        (len(catalogue.suites), "suite"),
        (len(catalogue.code_sets), "code set"),
    ]
    counted = ", ".join(f"{number} {word}{'' if number == 1 else 's'}" for number, word in numbers) + ": no fault"
    return [*lines, counted, f"index {checked.index_hash[:12]} written"]


def _some(what: str, names: tuple[str, ...], most: int = 5) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return [f"{what}: {', '.join(names[:most])}{more}"]
