"""Idempotency-Keys whose lead was deleted"""

import sqlalchemy as sa
from alembic import op

import webapp.models.base

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spent_keys",
        sa.Column("nonce", sa.String(length=64), primary_key=True),
        sa.Column("received_at", webapp.models.base.UTCDateTime(timezone=True), nullable=False),
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_table("spent_keys")
