"""The keys that a model's lineage needs: one for each group of encrypted columns that it reads, and their tables'
footers. Pure.

Tokens, `_batch` and `_row` are clear and need no key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from governance.catalog.types import TOKEN_SUFFIX, Catalogue, Dataset
from governance.keys.names import KeyName


def keys_of(catalogue: Catalogue, reads: Mapping[str, Iterable[str]]) -> tuple[tuple[KeyName, ...], bool]:
    """Key names, sorted, for reading these columns of these tables; and whether any of the columns is encrypted."""
    keys: set[KeyName] = set()
    for table, columns in reads.items():
        dataset = catalogue.table(table)
        groups = {dataset.field(c).group for c in encrypted_columns(dataset, columns)}
        if groups:
            keys |= {KeyName(dataset.department, table, group) for group in (*groups, "footer")}
    return tuple(sorted(keys)), bool(keys)


def encrypted_columns(dataset: Dataset, columns: Iterable[str]) -> tuple[str, ...]:
    """Those of `columns` that are encrypted in the lake, in contract order."""
    named = set(columns)
    return tuple(
        f.name for f in dataset.fields if f.encrypted and f.name in named and not f.name.endswith(TOKEN_SUFFIX)
    )
