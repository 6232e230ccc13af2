"""embedding and spam: allowed sites, blocklist, spam leads, only one lead for each submission of a form"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

IS_SPAM = sa.text("spam IS NOT NULL")


def upgrade() -> None:
    op.add_column("interfaces", sa.Column("allowed_sites", sa.JSON(), nullable=True))
    op.add_column("interfaces", sa.Column("blocklist", sa.JSON(), nullable=True))
    op.add_column("interfaces", sa.Column("blocklist_published", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("leads", sa.Column("nonce", sa.String(64), nullable=True))
    op.add_column("leads", sa.Column("spam", sa.String(40), nullable=True))
    op.create_index("ix_leads_nonce", "leads", ["nonce"], unique=True)
    op.create_index("ix_leads_spam", "leads", ["account_id", "id"], sqlite_where=IS_SPAM, postgresql_where=IS_SPAM)


def downgrade() -> None:
    op.drop_index("ix_leads_spam", "leads")
    op.drop_index("ix_leads_nonce", "leads")
    for name in ("spam", "nonce"):
        op.drop_column("leads", name)
    for name in ("blocklist_published", "blocklist", "allowed_sites"):
        op.drop_column("interfaces", name)
