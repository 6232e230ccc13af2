"""several webhooks for an interface, each with its own authentication, payload, rate and state"""

import sqlalchemy as sa
from alembic import op

import webapp.models.base
from webapp.migrations.batches import add_column, create_index

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

OLD = ("none", "shared_token")
NEW = (*OLD, "v1a", "metalocator", "signature", "bearer", "basic", "header", "query", "oauth2")
WEBHOOKS = ("name", "rate", "connection", "secrets_encrypted", "certificate_until", "is_shadow", "maintenance_from")
WEBHOOKS += ("maintenance_until", "examination", "removed_at", "is_first")
DELIVERIES = ("content_type", "shadow", "event")


def upgrade() -> None:
    for column in (
        sa.Column("is_first", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("name", sa.String(100), nullable=True),
        sa.Column("rate", sa.Integer(), nullable=True),
        sa.Column("connection", sa.JSON(), nullable=True),
        sa.Column("secrets_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("certificate_until", webapp.models.base.UTCDateTime(timezone=True), nullable=True),
        sa.Column("is_shadow", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("maintenance_from", sa.Double(), nullable=True),
        sa.Column("maintenance_until", sa.Double(), nullable=True),
        sa.Column("examination", sa.JSON(), nullable=True),
        sa.Column("removed_at", webapp.models.base.UTCDateTime(timezone=True), nullable=True),
    ):
        add_column("webhooks", column)
    add_column("deliveries", sa.Column("content_type", sa.String(100), nullable=True))
    add_column("deliveries", sa.Column("shadow", sa.Boolean(), nullable=False, server_default=sa.false()))
    add_column("deliveries", sa.Column("event", sa.String(40), nullable=True))
    add_column("interfaces", sa.Column("webhooks_version", sa.Integer(), nullable=False, server_default="0"))
    create_index("ix_webhooks_more", "webhooks", ["account_id"], where="NOT is_first")
    _authentications(OLD, NEW)
    _nullable("webhooks", "interface_id", True)
    _nullable("deliveries", "lead_id", True)


def downgrade() -> None:
    """Removes what an earlier version could not send: webhooks beside the first, and what belongs to them."""
    more = "SELECT id FROM webhooks WHERE NOT is_first"
    theirs = f"SELECT id FROM deliveries WHERE lead_id IS NULL OR webhook_id IN ({more})"
    for statement in (
        f"DELETE FROM report_entries WHERE delivery_id IN ({theirs}) OR webhook_id IN ({more})",
        f"DELETE FROM reports WHERE webhook_id IN ({more})",
        f"DELETE FROM attempts WHERE delivery_id IN ({theirs})",
        f"DELETE FROM deliveries WHERE id IN ({theirs})",
        f"DELETE FROM lanes WHERE webhook_id IN ({more})",
        "DELETE FROM webhooks WHERE NOT is_first",
        # Held rather than sent without authentication: custom headers and certificates are one, too.
        "UPDATE webhooks SET authentication = 'shared_token', shared_token_id = NULL "
        "WHERE authentication NOT IN ('none', 'shared_token') OR secrets_encrypted IS NOT NULL",
        # An earlier version would send nothing as their payload.
        "UPDATE deliveries SET state = 'cancelled', state_reason = 'The payload could not be made.' "
        "WHERE state = 'held' AND length(payload) = 0",
    ):
        op.execute(statement)
    _nullable("webhooks", "interface_id", False)
    _nullable("deliveries", "lead_id", False)
    _authentications(NEW, OLD)
    op.drop_index("ix_webhooks_more", "webhooks")
    op.drop_column("interfaces", "webhooks_version")
    for name in DELIVERIES:
        op.drop_column("deliveries", name)
    for name in WEBHOOKS:
        op.drop_column("webhooks", name)


def _authentications(old: tuple[str, ...], new: tuple[str, ...]) -> None:
    before, after = f"authentication IN ({_listed(old)})", f"authentication IN ({_listed(new)})"
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE webhooks DROP CONSTRAINT IF EXISTS ck_webhooks_authentication")
        op.create_check_constraint(op.f("ck_webhooks_authentication"), "webhooks", after)
        return
    _rewrite("webhooks", before, after)


def _nullable(table: str, column: str, allowed: bool) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column(table, column, nullable=allowed)
        return
    required, free = f"{column} INTEGER NOT NULL", f"{column} INTEGER"
    _rewrite(table, *((required, free) if allowed else (f"{free},", f"{required},")))


def _rewrite(table: str, before: str, after: str) -> None:
    """Changes the text of a table's definition: SQLite cannot change a column of a table that others refer to."""
    change = sa.text("UPDATE sqlite_schema SET sql = replace(sql, :before, :after) WHERE type = 'table' AND name = :name")
    op.execute("PRAGMA writable_schema = ON")
    op.execute(change.bindparams(before=before, after=after, name=table))
    op.execute("PRAGMA writable_schema = RESET")


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)
