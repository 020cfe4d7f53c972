"""One DAG a curated table, triggered by the assets that its model reads."""

from governance.orchestrate.curated import curated_dags

globals().update(curated_dags())
