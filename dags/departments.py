"""One DAG a department: collect, store and manage, mapped over its systems. (Airflow looks into files that name it and a dag.)"""

from governance.orchestrate.departments import department_dags

globals().update(department_dags())
