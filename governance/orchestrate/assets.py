"""How datasets and curated tables appear as Airflow assets."""

from __future__ import annotations

from airflow.sdk import Asset


def asset_of(table: str) -> Asset:
    """The asset of a dataset or curated table: name `tax.invoices`, URI `gov://tax/invoices`."""
    department, _, short = table.partition(".")
    return Asset(
        name=table, uri=f"gov://{department}/{short}", group="curated" if department == "curated" else "governed"
    )
