"""what look-ups of hosts share between processes"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    name = sa.Column("name", sa.String(length=255), primary_key=True)
    op.create_table("known_hosts", name, if_not_exists=True)
    op.create_table(
        "late_answers",
        sa.Column("host", sa.String(length=255), primary_key=True),
        sa.Column("addresses", sa.JSON(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_late_answers_until", "late_answers", ["until"], if_not_exists=True)


def downgrade() -> None:
    op.drop_table("late_answers")
    op.drop_table("known_hosts")
