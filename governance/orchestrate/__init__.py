"""Airflow's side: the DAG factories, the tasks, and the processes of a local Airflow. The only package that may import airflow.

A DAG file is three lines: it calls a factory of this package, which reads the compiled index (`gov check` writes it) and nothing else. The
tasks import the engines when they run; the scheduler imports them once beforehand, and forked tasks inherit them (`environment`).
"""
