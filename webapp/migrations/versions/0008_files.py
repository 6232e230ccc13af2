"""fields for files, and the files that visitors added"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TEXTS = ("text", "email", "phone", "long_text", "number", "date", "url")
OLD = (*TEXTS, "select", "radio", "checkboxes", "hidden", "consent", "heading")
SETTINGS = {
    "file_types": sa.JSON(none_as_null=True),
    "file_megabytes": sa.Integer(),
    "file_count": sa.Integer(),
    "file_link_days": sa.Integer(),
}


def upgrade() -> None:
    for name, kind in SETTINGS.items():
        op.add_column("fields", sa.Column(name, kind, nullable=True))
    _allow((*OLD, "file"))
    op.create_table(
        "files",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("public_id", sa.String(40), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("interface_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("lead_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("field_key", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("media_type", sa.String(100), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("storage_key", sa.String(100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_files_account_id_accounts")),
        sa.ForeignKeyConstraint(["interface_id"], ["interfaces.id"], name=op.f("fk_files_interface_id_interfaces")),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.id"], name=op.f("fk_files_lead_id_leads")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
        sa.UniqueConstraint("public_id", name=op.f("uq_files_public_id")),
    )
    for name, column, condition in (
        ("ix_files_lead", "lead_id", sa.text("lead_id IS NOT NULL")),
        ("ix_files_loose", "created_at", sa.text("lead_id IS NULL")),
    ):
        op.create_index(name, "files", [column], sqlite_where=condition, postgresql_where=condition)


def downgrade() -> None:
    op.drop_table("files")
    op.execute("DELETE FROM fields WHERE type = 'file'")
    _allow(OLD)
    for name in SETTINGS:
        op.drop_column("fields", name)


def _allow(types: tuple[str, ...]) -> None:
    # On SQLite the copy that the batch makes leaves the old CHECK out.
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f("ck_fields_fieldtype"), "fields", type_="check")
    with op.batch_alter_table("fields", schema=None) as batch_op:
        batch_op.create_check_constraint("fieldtype", sa.column("type").in_(types))
