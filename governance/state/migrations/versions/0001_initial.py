"""Every table of the first version.

Revision ID: 0001
"""

from alembic import op

from governance.state import tables, tables_lake, tables_lineage, tables_use  # noqa: F401 - importing them registers every table
from governance.state.schema import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())


def downgrade() -> None:
    raise RuntimeError("the state is never taken back: restore a backup instead")
