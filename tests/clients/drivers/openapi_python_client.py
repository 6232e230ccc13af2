"""Drives the client of openapi-python-client. Arguments: the address of the API, and that of the receiver. KEY: the
API Key. See generated.py for what it does and prints."""

import json
import os
import sys
import time
from typing import TypeVar

from leadhook_client import AuthenticatedClient
from leadhook_client.api.interfaces import create_interface
from leadhook_client.api.leads import create_lead, get_lead, list_leads, retry_lead
from leadhook_client.api.webhooks import add_webhook
from leadhook_client.models import (
    AuthenticationChanges,
    AuthenticationChangesSecrets,
    LeadResource,
    NewInterface,
    NewLeadRequest,
    NewLeadRequestFields,
    NewWebhook,
    Problem,
    Retry,
)
from leadhook_client.types import UNSET, Unset

T = TypeVar("T")
client = AuthenticatedClient(base_url=sys.argv[1], token=os.environ["KEY"])


def good(answer: T | Problem | None) -> T:
    if answer is None or isinstance(answer, Problem):
        sys.exit(f"refused: {answer}")
    return answer


def lead_of(email: str) -> NewLeadRequest:
    answers = {"name": "Ada Lovelace", "email": email, "phone": "", "message": "Hello"}
    return NewLeadRequest(interface=interface.id, fields=NewLeadRequestFields.from_dict(answers))


def attempts_once(number: int) -> list[list[object]]:
    """The attempts of the first lead, once there are so many."""
    for _ in range(300):
        read: LeadResource = good(get_lead.sync(lead.id, client=client))
        made = read.deliveries[0].attempts
        if len(made) == number and read.status == "delivered":
            return [[each.id, each.reason, each.code] for each in made]
        time.sleep(0.1)
    sys.exit(f"not delivered: {read}")


interface = good(create_interface.sync(client=client, body=NewInterface(name="Generated")))
secrets = AuthenticationChangesSecrets.from_dict({"token": "token-of-the-crm"})
bearer = AuthenticationChanges(kind="bearer", secrets=secrets)
hook = good(
    add_webhook.sync(
        interface.id, client=client, body=NewWebhook(name="CRM", url=sys.argv[2], authentication=bearer, rate=50)
    )
)
lead = good(create_lead.sync(client=client, body=lead_of("ada@example.com"), idempotency_key="first"))
again = good(create_lead.sync(client=client, body=lead_of("ada@example.com"), idempotency_key="first"))
delivered = attempts_once(1)
for number in range(6):
    good(create_lead.sync(client=client, body=lead_of(f"ada{number}@example.com")))

pages: list[int] = []
leads: list[str] = []
cursor: str | Unset | None = UNSET
while cursor is not None:
    page = good(list_leads.sync(client=client, interface=interface.id, limit=3, cursor=cursor))
    pages.append(len(page.data))
    leads += [each.id for each in page.data]
    cursor = page.next_

good(retry_lead.sync(lead.id, client=client, body=Retry(webhooks=[hook.id])))
retried = attempts_once(2)
missing = get_lead.sync("lead_nothing", client=client)
assert isinstance(missing, Problem)
refused = create_lead.sync(client=client, body=lead_of("nonsense"))
assert isinstance(refused, Problem)
assert refused.errors
print(
    json.dumps(
        {
            "interface": interface.id,
            "fields": [field.key for field in interface.fields],
            "lead": lead.id,
            "again": again.id,
            "delivered": delivered,
            "pages": pages,
            "leads": leads,
            "retried": retried,
            "problem": [missing.status, missing.title],
            "refused": [refused.status, refused.errors[0].pointer],
        }
    )
)
