"""One DAG a department: collect, store and manage, mapped over its systems."""

from governance.orchestrate.departments import department_dags

globals().update(department_dags())
