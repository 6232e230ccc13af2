"""lanes rest because the receiver asked, and know their last failure; Automatic parallel requests"""

import sqlalchemy as sa
from alembic import op

from webapp.migrations.batches import add_column

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

LANES = ("failed_at", "rests_until", "tries_first")


def upgrade() -> None:
    add_column("lanes", sa.Column("failed_at", sa.Double(), nullable=True))
    add_column("lanes", sa.Column("rests_until", sa.Double(), nullable=True))
    add_column("lanes", sa.Column("tries_first", sa.Boolean(), nullable=False, server_default=sa.false()))
    # Those that exist keep the order of their leads.
    automatic = sa.Column("automatic_parallel", sa.Boolean(), nullable=False, server_default=sa.false())
    add_column("webhooks", automatic)


def downgrade() -> None:
    op.drop_column("webhooks", "automatic_parallel")
    for name in LANES:
        op.drop_column("lanes", name)
