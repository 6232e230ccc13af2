"""Whether an account has more webhooks than the first of each interface: most have not, and need simpler statements."""

from typing import Any

from sqlalchemy import bindparam, select, text

from webapp.extensions import db
from webapp.models import Webhook

ACCOUNT: Any = bindparam("account", type_=Webhook.account_id.type)
OTHERS = select(Webhook.id).where(Webhook.account_id == ACCOUNT, text("NOT webhooks.is_first"))  # as the index has it
_ASKED = select(OTHERS.exists())


def exist(account_id: int) -> bool:
    """Whether it has such webhooks, or had one that was removed since."""
    return bool(db.session.scalar(_ASKED, {"account": account_id}))
