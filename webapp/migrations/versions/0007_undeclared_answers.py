"""undeclared answers become fields and are sent; Idempotency-Key; prefill"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SWITCHES = ("sends_undeclared", "prefills")
WHERE = sa.text("undeclared IS NOT NULL")


def upgrade() -> None:
    for name in SWITCHES:
        op.add_column("interfaces", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("fields", sa.Column("sent_as", sa.String(200), nullable=True))
    op.add_column("leads", sa.Column("content_digest", sa.String(64), nullable=True))
    columns = ["interface_id", "id"]
    op.create_index("ix_leads_undeclared", "leads", columns, sqlite_where=WHERE, postgresql_where=WHERE)


def downgrade() -> None:
    op.drop_index("ix_leads_undeclared", "leads")
    op.drop_column("leads", "content_digest")
    op.drop_column("fields", "sent_as")
    for name in SWITCHES:
        op.drop_column("interfaces", name)
