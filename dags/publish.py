"""The release of the curated tables: proposed, approved by a steward, published. (Airflow looks into files that name it and a dag.)"""

from governance.orchestrate.publish import publish_dag

dag = publish_dag()
