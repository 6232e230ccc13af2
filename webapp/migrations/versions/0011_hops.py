"""how many webhooks brought the lead of a delivery"""

import sqlalchemy as sa
from alembic import op

from webapp.migrations.batches import add_column

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_column("deliveries", sa.Column("hops", sa.SmallInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("deliveries", "hops")
