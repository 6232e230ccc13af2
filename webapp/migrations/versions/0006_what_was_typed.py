"""what was typed: the text behind a value, marks, undeclared answers"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS = ("typed", "marks", "undeclared")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("leads", sa.Column(name, sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("leads", name)
