"""One DAG a curated table, triggered by the assets that its model reads. (Airflow looks into files that name it and a dag.)"""

from governance.orchestrate.curated import curated_dags

globals().update(curated_dags())
