"""hosts that were once found without a search domain"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("known_hosts", sa.Column("name", sa.String(length=255), primary_key=True))


def downgrade() -> None:
    op.drop_table("known_hosts")
