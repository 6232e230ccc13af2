"""what an API Key may do, until when, and with which interfaces"""

import sqlalchemy as sa
from alembic import op

import webapp.models.base
from webapp.migrations.batches import add_column

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # NULL: all that its access allows, for ever, with all interfaces. So are the keys that exist already.
    add_column("api_keys", sa.Column("scopes", sa.JSON(), nullable=True))
    add_column("api_keys", sa.Column("expires_at", webapp.models.base.UTCDateTime(timezone=True), nullable=True))
    add_column("api_keys", sa.Column("only_interfaces", sa.JSON(), nullable=True))


def downgrade() -> None:
    for name in ("only_interfaces", "expires_at", "scopes"):
        op.drop_column("api_keys", name)
