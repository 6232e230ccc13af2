"""automatic answers are counted by mailbox, network and interface; mails with sign-in links are encrypted"""

import json
from datetime import timedelta

import sqlalchemy as sa
from alembic import op

from webapp.clock import utcnow
from webapp.encryption import CannotDecrypt, decrypt, encrypt
from webapp.migrations.batches import add_column, create_index
from webapp.models.base import UTCDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

FOREIGN_KEY = "fk_autoresponse_counts_interface_id_interfaces"
ENCRYPTED = "This e-mail has a link that signs its recipient in, so its text is encrypted."
REMOVED = "The link in this mail was removed."
LINKS_LIVE = timedelta(days=7)  # longer than any link does

MAILS = sa.table(
    "mails",
    sa.column("id", sa.BigInteger),
    sa.column("body_text", sa.Text),
    sa.column("body_html", sa.Text),
    sa.column("body_encrypted", sa.LargeBinary),
    sa.column("signs_in", sa.Boolean),
    sa.column("state", sa.String),
    sa.column("created_at", UTCDateTime),
)


def upgrade() -> None:
    add_column("leads", sa.Column("unanswered", sa.String(40), nullable=True))
    add_column("mails", sa.Column("body_encrypted", sa.LargeBinary(), nullable=True))
    if _has_foreign_key():
        with op.batch_alter_table("autoresponse_counts") as counts:
            counts.drop_constraint(op.f(FOREIGN_KEY), type_="foreignkey")
    _encrypt_links()
    if op.get_bind().dialect.name == "sqlite":
        with op.get_context().autocommit_block():
            op.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log has pages as they were before
    create_index("ix_mails_encrypted", "mails", ["created_at"], "body_encrypted IS NOT NULL")
    create_index("ix_leads_unanswered", "leads", ["interface_id", "received_at"], "unanswered IS NOT NULL")


def downgrade() -> None:
    op.drop_index("ix_leads_unanswered", "leads")
    op.drop_index("ix_mails_encrypted", "mails")
    _decrypt_links()
    op.execute("DELETE FROM autoresponse_counts WHERE interface_id NOT IN (SELECT id FROM interfaces)")
    with op.batch_alter_table("autoresponse_counts") as counts:
        counts.create_foreign_key(op.f(FOREIGN_KEY), "interfaces", ["interface_id"], ["id"])
    op.drop_column("mails", "body_encrypted")
    op.drop_column("leads", "unanswered")


def _has_foreign_key() -> bool:
    return bool(sa.inspect(op.get_bind()).get_foreign_keys("autoresponse_counts"))


def _encrypt_links() -> None:
    """Encrypts the mails whose link may still work and is not removed yet; cuts it out of those where it is too old.

    Mails that wait to be sent stay as they are: a worker of the previous version may send them, and could not read
    them. Once the workers are new, they encrypt those, too (services/mail/sealed.py).
    """
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")  # what is replaced is overwritten in the file, too
    waits = MAILS.c.signs_in, MAILS.c.state == "kept", MAILS.c.body_encrypted.is_(None)
    old = MAILS.c.created_at < utcnow() - LINKS_LIVE
    connection.execute(sa.update(MAILS).where(*waits, old).values(body_text=REMOVED, body_html=REMOVED))
    for mail in connection.execute(sa.select(MAILS).where(*waits, ~old)).all():
        sealed = encrypt(json.dumps([mail.body_text, mail.body_html]))
        values = {"body_text": ENCRYPTED, "body_html": ENCRYPTED, "body_encrypted": sealed}
        connection.execute(sa.update(MAILS).where(MAILS.c.id == mail.id).values(values))


def _decrypt_links() -> None:
    connection = op.get_bind()
    for mail in connection.execute(sa.select(MAILS).where(MAILS.c.body_encrypted.is_not(None))).all():
        try:
            body_text, body_html = json.loads(decrypt(mail.body_encrypted))
        except CannotDecrypt:
            body_text = body_html = REMOVED
        values = {"body_text": body_text, "body_html": body_html, "body_encrypted": None}
        connection.execute(sa.update(MAILS).where(MAILS.c.id == mail.id).values(values))
