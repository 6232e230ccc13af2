"""when the account's owner was warned of the end of a webhook's client certificate"""

import sqlalchemy as sa
from alembic import op

import webapp.models.base
from webapp.migrations.batches import add_column

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    at = webapp.models.base.UTCDateTime(timezone=True)
    add_column("webhooks", sa.Column("certificate_warned_at", at, nullable=True))


def downgrade() -> None:
    op.drop_column("webhooks", "certificate_warned_at")
