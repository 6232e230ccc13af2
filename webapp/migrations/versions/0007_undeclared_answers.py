"""undeclared answers become fields and are sent; Idempotency-Key; prefill"""

import sqlalchemy as sa
from alembic import op

from webapp.migrations.batches import add_column, create_index

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SWITCHES = ("sends_undeclared", "prefills")


def upgrade() -> None:
    add_column("leads", sa.Column("content_digest", sa.String(64), nullable=True))
    create_index("ix_leads_undeclared", "leads", ["interface_id", "id"], "undeclared IS NOT NULL")
    for name in SWITCHES:  # from here on all is one transaction, so an interrupted upgrade has none of it
        op.add_column("interfaces", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("fields", sa.Column("sent_as", sa.String(200), nullable=True))


def downgrade() -> None:
    op.drop_index("ix_leads_undeclared", "leads")
    op.drop_column("leads", "content_digest")
    op.drop_column("fields", "sent_as")
    for name in SWITCHES:
        op.drop_column("interfaces", name)
