"""An account with one of everything that an address can name, for tests that walk over all routes."""

from io import BytesIO

from sqlalchemy import select

from tests.conftest import make_owner
from tests.support.factories import point_at, submit
from tests.support.people import join
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import File, Mail, Role, User
from webapp.services import api_keys
from webapp.services.files.storage import file_store
from webapp.services.interfaces import interfaces
from webapp.services.leads import leads
from webapp.services.people import invitations
from webapp.services.webhooks import editing, hooks, webhooks
from webapp.services.webhooks.editing import Plan

STORED_AS = "of-brightwater"
_ids: dict[str, str] = {}


def make_everything() -> None:
    """For a test file's MAKES: an owner with one of everything. `ids_of_everything` has the ids."""
    _ids.update(everything_of(make_owner()))


def ids_of_everything() -> dict[str, str]:
    """In a database with the rows of `make_everything`. The file's content is stored here: it is not in the rows."""
    file_store.put(STORED_AS, BytesIO(b"x"))
    return dict(_ids)


def everything_of(owner: User) -> dict[str, str]:
    """Creates one of everything in the owner's account. Returns the ids by what they are. Each name has Brightwater."""
    editor = join(owner, Role.EDITOR, email="emil@brightwater.example", name="Emil of Brightwater")
    with transaction():
        interface = interfaces.create(owner.account_id, "Brightwater form")
        interface.notification_emails = ["brightwater@example.com"]
        invitation = invitations.invite(owner, "dora@brightwater.example", Role.ADMIN)
        key, _ = api_keys.create_shared_token(owner.account_id, owner.id, "Brightwater token")
    point_at(interface, "http://127.0.0.1:9/")
    lead = submit(interface)
    with transaction():
        test = leads.send_test(interface, owner.id)
        webhooks.pause(interface.webhook, "Paused by a test.")
        webhook = editing.add(interface, Plan("http://127.0.0.1:9/", "Brightwater CRM", is_shadow=True))
        hook, _ = hooks.create(interface, "http://127.0.0.1:9/hook")
        file = File(account_id=owner.account_id, interface_id=interface.id, lead_id=lead.id, field_key="cv")
        file.name, file.size, file.media_type = "Brightwater.pdf", 1, "application/pdf"
        file.sha256, file.storage_key = "0" * 64, STORED_AS
        file_store.put(file.storage_key, BytesIO(b"x"))
        db.session.add(file)
        db.session.flush()
        file_id = file.public_id
    mail = db.session.scalar(select(Mail.id).where(Mail.kind == "lead_notification"))
    return {
        "interface": interface.public_id,
        "webhook": webhook.public_id,
        "hook": hook.public_id,
        "field": str(interface.fields[0].id),
        "field key": interface.fields[0].key,
        "test": test.message_id,
        "lead": lead.public_id,
        "key": key.public_id,
        "user": str(editor.id),
        "invitation": str(invitation.id),
        "mail": str(mail),
        "file": file_id,
        "kind of mail": "answer",
    }
