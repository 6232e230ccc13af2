"""since when the answers of a webhook's receiver stop without an end"""

import sqlalchemy as sa
from alembic import op

from webapp.migrations.batches import add_column

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_column("lanes", sa.Column("unended_since", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("lanes", "unended_since")
