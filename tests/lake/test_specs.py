"""What the contract says becomes columns, types and keys."""

import subprocess
import sys
from dataclasses import replace

from governance.catalog.types import ColumnType, Field, Level, Model
from governance.keys.names import KeyName
from governance.lake.specs import curated_spec, quarantine_spec, stored_spec
from tests.lake.conftest import invoices


def test_stored_has_fields_tokens_and_lineage_columns() -> None:
    spec = stored_spec(invoices())
    assert [(c.name, c.type, c.group) for c in spec.columns] == [
        ("id", "long", ""),
        ("amount", "decimal(18, 2)", ""),
        ("name", "string", "L3"),
        ("payer", "string", "unclassified"),
        ("payer__token", "fixed[12]", ""),
        ("_batch", "string", ""),
        ("_row", "long", ""),
    ]
    assert spec.key(spec.column("name")) == KeyName("tax", "tax.invoices", "L3")
    assert not spec.keeps_versions


def test_a_dataset_that_keeps_versions_has_the_version_columns() -> None:
    spec = stored_spec(invoices("snapshot_diff"))
    assert spec.keeps_versions
    assert [c.name for c in spec.columns][-6:] == [
        "_rowdigest",
        "_valid_from",
        "_valid_to",
        "_recorded_at",
        "_current",
        "_held",
    ]


def test_quarantine_has_keys_of_its_own_and_its_raw_text_is_encrypted() -> None:
    spec = quarantine_spec(invoices())
    assert spec.name == "tax.invoices__quarantine"
    assert {c.name for c in spec.columns if c.encrypted} == {"name", "payer", "_raw", "_line"}
    assert spec.key(spec.column("_raw")) == KeyName("tax", "tax.invoices.quarantine", "raw")
    assert spec.key(spec.column("name")) == KeyName("tax", "tax.invoices.quarantine", "L3")


def test_a_curated_table_takes_inherited_classifications_and_carried_tokens() -> None:
    text = ColumnType("string")
    fields = (
        Field("name", text, "name", classification=Level.L1),
        Field("payer__token", text, "payer__token", classification=Level.L1),
        Field("place", text, "place", classification=Level.L1),
    )
    contract = replace(invoices(), name="curated.payer", department="curated", fields=fields)
    model = Model("curated.payer", "SELECT 1", "f", "h", contract)
    spec = curated_spec(model, classifications={"name": Level.L4, "place": None})
    assert [(c.name, c.type, c.encrypted, c.group) for c in spec.columns] == [
        ("name", "string", True, "L4"),
        ("payer__token", "fixed[12]", False, ""),
        ("place", "string", True, "unclassified"),
    ]


def test_importing_the_lake_imports_neither_pyiceberg_nor_airflow() -> None:
    code = "import sys, governance.lake.lake, governance.lake.care; print({'pyiceberg', 'airflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
