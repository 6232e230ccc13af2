"""Drives the client of openapi-generator, python. Arguments and output as in generated.py."""

import json
import os
import sys
import time
from collections.abc import Callable

from leadhook_client import (
    ApiClient,
    ApiException,
    AuthenticationChanges,
    Configuration,
    InterfacesApi,
    LeadsApi,
    NewInterface,
    NewLeadRequest,
    NewWebhook,
    Problem,
    Retry,
    WebhooksApi,
)

client = ApiClient(Configuration(host=sys.argv[1], access_token=os.environ["KEY"]))
leads_api = LeadsApi(client)


def lead_of(email: str) -> NewLeadRequest:
    answers = {"name": "Ada Lovelace", "email": email, "phone": "", "message": "Hello"}
    return NewLeadRequest(interface=interface.id, fields=answers)


def attempts_once(number: int) -> list[list[object]]:
    """The attempts of the first lead, once there are so many."""
    for _ in range(300):
        read = leads_api.get_lead(lead.id)
        made = read.deliveries[0].attempts
        if len(made) == number and read.status == "delivered":
            return [[each.id, each.reason, each.code] for each in made]
        time.sleep(0.1)
    sys.exit(f"not delivered: {read}")


def problem(call: Callable[[], object]) -> Problem:
    try:
        call()
    except ApiException as error:
        found = Problem.from_json(error.body or "")
        assert found
        return found
    sys.exit("not refused")


interface = InterfacesApi(client).create_interface(NewInterface(name="Generated"))
bearer = AuthenticationChanges(kind="bearer", secrets={"token": "token-of-the-crm"})
hook = WebhooksApi(client).add_webhook(
    interface.id, NewWebhook(name="CRM", url=sys.argv[2], authentication=bearer, rate=50)
)
lead = leads_api.create_lead(lead_of("ada@example.com"), idempotency_key="first")
again = leads_api.create_lead(lead_of("ada@example.com"), idempotency_key="first")
delivered = attempts_once(1)
for number in range(6):
    leads_api.create_lead(lead_of(f"ada{number}@example.com"))

pages: list[int] = []
leads: list[str] = []
cursor: str | None = ""
while cursor is not None:
    page = leads_api.list_leads(interface=interface.id, limit=3, cursor=cursor)
    pages.append(len(page.data))
    leads += [each.id for each in page.data]
    cursor = page.next

leads_api.retry_lead(lead.id, retry=Retry(webhooks=[hook.id]))
retried = attempts_once(2)
missing = problem(lambda: leads_api.get_lead("lead_nothing"))
refused = problem(lambda: leads_api.create_lead(lead_of("nonsense")))
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
