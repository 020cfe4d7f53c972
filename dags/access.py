"""Requests of access: put before the approvers, answered with a signature, recorded. (Airflow looks into files that name it and a dag.)"""

from governance.orchestrate.access import access_dags

globals().update(access_dags())
