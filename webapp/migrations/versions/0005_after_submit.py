"""after submit: texts of mails, answers to visitors, privacy, earlier submissions

Existing leads are matched to their visitor by e-mail address only. New leads are also matched by phone number.
"""

import sqlalchemy as sa
from alembic import op

import webapp.models.base
from webapp.migrations.batches import add_column, create_index, update_in_batches

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# The column is added with its CHECK. To add it later, SQLite would have to copy a table that other tables refer to.
IP_ADDRESSES = (
    "ALTER TABLE interfaces ADD COLUMN ip_addresses VARCHAR(32) DEFAULT 'whole' NOT NULL "
    "CONSTRAINT ck_interfaces_ipaddresses CHECK (ip_addresses IN ('whole', 'cut', 'none'))"
)


def upgrade() -> None:
    _leads()
    create_index("ix_report_entries_attempt_id", "report_entries", ["attempt_id"])
    _interfaces()  # from here on all is one transaction, so an interrupted upgrade has none of it
    op.create_table(
        "autoresponse_counts",
        sa.Column("interface_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("address_digest", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["interface_id"], ["interfaces.id"], name=op.f("fk_autoresponse_counts_interface_id_interfaces")
        ),
        sa.PrimaryKeyConstraint("interface_id", "address_digest", "day", name=op.f("pk_autoresponse_counts")),
    )


def _interfaces() -> None:
    op.add_column("interfaces", sa.Column("notification_subject", sa.String(length=200), nullable=True))
    op.add_column("interfaces", sa.Column("notification_body", sa.Text(), nullable=True))
    op.add_column("interfaces", sa.Column("autoresponds", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("interfaces", sa.Column("autoresponse_subject", sa.String(length=200), nullable=True))
    op.add_column("interfaces", sa.Column("autoresponse_body", sa.Text(), nullable=True))
    op.add_column("interfaces", sa.Column("autoresponse_reply_to", sa.String(length=320), nullable=True))
    op.execute(IP_ADDRESSES)
    op.add_column("interfaces", sa.Column("retention_days", sa.Integer(), nullable=True))
    op.add_column("interfaces", sa.Column("anonymises", sa.Boolean(), server_default=sa.false(), nullable=False))


def _leads() -> None:
    add_column("leads", sa.Column("visitor", sa.String(length=320), nullable=True))
    add_column("leads", sa.Column("blank_due", sa.Boolean(), server_default=sa.false(), nullable=False))
    add_column("leads", sa.Column("anonymised_at", webapp.models.base.UTCDateTime(timezone=True), nullable=True))
    update_in_batches("leads", values="visitor = lower(email)", where="visitor IS NULL AND email <> ''")
    create_index("ix_leads_visitor", "leads", ["interface_id", "visitor", "id"], "visitor IS NOT NULL")
    create_index("ix_leads_blank_due", "leads", ["id"], "blank_due")


def downgrade() -> None:
    op.drop_table("autoresponse_counts")
    op.drop_index(op.f("ix_report_entries_attempt_id"), table_name="report_entries")
    op.drop_index("ix_leads_blank_due", table_name="leads")
    op.drop_index("ix_leads_visitor", table_name="leads")
    for column in ("anonymised_at", "blank_due", "visitor"):
        op.drop_column("leads", column)
    for column in (
        "anonymises",
        "retention_days",
        "ip_addresses",
        "autoresponse_reply_to",
        "autoresponse_body",
        "autoresponse_subject",
        "autoresponds",
        "notification_body",
        "notification_subject",
    ):
        op.drop_column("interfaces", column)
