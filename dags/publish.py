"""The release of the curated tables: proposed, approved by a steward, published."""

from governance.orchestrate.publish import publish_dag

dag = publish_dag()
