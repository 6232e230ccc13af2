"""form builder: field types and their settings, the texts and the look of forms"""

import sqlalchemy as sa
from alembic import op

import webapp.models.base

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

OLD_TYPES = ("text", "email", "phone", "long_text")
TYPES = (*OLD_TYPES, "select", "radio", "checkboxes", "number", "date", "url", "hidden", "consent", "heading")



def _checked(name, *values):
    """Adds a column with its CHECK in one statement. To add the CHECK later, SQLite would have to copy a table that
    other tables refer to."""
    listed = ", ".join(f"'{value}'" for value in values)
    check = f"CONSTRAINT ck_interfaces_{name} CHECK ({name} IN ({listed}))"
    op.execute(f"ALTER TABLE interfaces ADD COLUMN {name} VARCHAR(32) DEFAULT '{values[0]}' NOT NULL {check}")


def _drop_type_check():
    """On SQLite the table copy of the batch leaves the check out automatically."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f("ck_fields_fieldtype"), "fields", type_="check")


def upgrade() -> None:
    op.add_column("interfaces", sa.Column("redirect_url", sa.String(2048), nullable=True))
    op.add_column("interfaces", sa.Column("language", sa.String(35), server_default="en", nullable=False))
    op.add_column("interfaces", sa.Column("country", sa.String(2), nullable=True))
    op.add_column("interfaces", sa.Column("texts", sa.JSON(), nullable=True))
    op.add_column("interfaces", sa.Column("accent", sa.String(7), server_default="#2f54d0", nullable=False))
    _checked("scheme", "auto", "light", "dark")
    _checked("corners", "soft", "square", "round")
    op.add_column("interfaces", sa.Column("logo", sa.String(40), nullable=True))
    op.add_column("interfaces", sa.Column("closed_at", webapp.models.base.UTCDateTime(timezone=True), nullable=True))
    op.create_table(
        "logos",
        sa.Column("interface_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["interface_id"], ["interfaces.id"], name=op.f("fk_logos_interface_id_interfaces")),
        sa.PrimaryKeyConstraint("interface_id", name=op.f("pk_logos")),
    )

    _drop_type_check()
    created_at = webapp.models.base.UTCDateTime(timezone=True)
    with op.batch_alter_table("fields", schema=None) as batch_op:
        batch_op.add_column(sa.Column("placeholder", sa.String(200), server_default="", nullable=False))
        batch_op.add_column(sa.Column("options", sa.JSON(), server_default="[]", nullable=False))
        batch_op.add_column(sa.Column("default", sa.Text(), server_default="", nullable=False))
        batch_op.add_column(sa.Column("half", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("minimum", sa.String(40), server_default="", nullable=False))
        batch_op.add_column(sa.Column("maximum", sa.String(40), server_default="", nullable=False))
        batch_op.add_column(sa.Column("statement", sa.Text(), server_default="", nullable=False))
        batch_op.add_column(sa.Column("version", sa.Integer(), server_default="1", nullable=False))
        batch_op.add_column(sa.Column("created_at", created_at, nullable=True))
        batch_op.add_column(sa.Column("removed_at", webapp.models.base.UTCDateTime(timezone=True), nullable=True))
    interfaces = "SELECT created_at FROM interfaces WHERE interfaces.id = fields.interface_id"
    op.execute(f"UPDATE fields SET created_at = ({interfaces})")
    op.execute(sa.text("UPDATE fields SET half = :yes WHERE type <> 'long_text'").bindparams(yes=True))
    with op.batch_alter_table("fields", schema=None) as batch_op:
        for name in ("placeholder", "options", "default", "half", "minimum", "maximum", "statement", "version"):
            batch_op.alter_column(name, server_default=None)  # it was only for the existing rows
        batch_op.alter_column("created_at", existing_type=created_at, nullable=False)
        batch_op.create_check_constraint("fieldtype", sa.column("type").in_(TYPES))


def downgrade() -> None:
    """Deletes fields of the new types, and the texts and the look of forms."""
    op.execute(sa.text("DELETE FROM fields WHERE type NOT IN :old").bindparams(sa.bindparam("old", OLD_TYPES, expanding=True)))
    op.execute("DELETE FROM fields WHERE removed_at IS NOT NULL")
    _drop_type_check()
    with op.batch_alter_table("fields", schema=None) as batch_op:
        for name in ("removed_at", "created_at", "version", "statement", "maximum", "minimum", "half", "default", "options", "placeholder"):
            batch_op.drop_column(name)
        batch_op.create_check_constraint("fieldtype", sa.column("type").in_(OLD_TYPES))
    op.drop_table("logos")
    for name in ("closed_at", "logo", "corners", "scheme", "accent", "texts", "country", "language", "redirect_url"):
        op.drop_column("interfaces", name)
