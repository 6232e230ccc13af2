"""a million leads: indexes for what pages count and filter by; leads without a webhook are marked"""

import sqlalchemy as sa
from alembic import op

from webapp.migrations.batches import add_column, create_index, replace_index, update_in_batches

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

IS_SPAM = "spam IS NOT NULL"
HAS_ACCOUNT = "account_id IS NOT NULL"
IS_HELD = "state = 'held'"


def upgrade() -> None:
    add_column("leads", sa.Column("no_webhook", sa.Boolean(), server_default=sa.false(), nullable=False))
    create_index("ix_leads_no_webhook", "leads", ["account_id", "id"], "no_webhook")
    update_in_batches(
        "leads",
        values="no_webhook = true",
        where="spam IS NULL AND NOT no_webhook "
        "AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.lead_id = leads.id)",
    )
    create_index("ix_leads_spam_interface", "leads", ["account_id", "interface_id", "id"], IS_SPAM)
    create_index("ix_leads_test", "leads", ["interface_id", "id"], "test")
    covering = ["account_id", "received_at", "interface_id", "test", "spam"]
    replace_index("ix_leads_account_received", "leads", covering)
    replace_index("ix_deliveries_held", "deliveries", ["webhook_id", "state", "state_reason"], IS_HELD)
    create_index("ix_mails_state", "mails", ["account_id", "state", "id"], HAS_ACCOUNT)
    create_index("ix_mails_operator", "mails", ["id"], "account_id IS NULL OR signs_in")


def downgrade() -> None:
    op.drop_index("ix_mails_operator", "mails")
    op.drop_index("ix_mails_state", "mails")
    replace_index("ix_deliveries_held", "deliveries", ["webhook_id", "id"], IS_HELD)
    replace_index("ix_leads_account_received", "leads", ["account_id", "received_at"])
    for name in ("ix_leads_test", "ix_leads_spam_interface", "ix_leads_no_webhook"):
        op.drop_index(name, "leads")
    op.drop_column("leads", "no_webhook")
