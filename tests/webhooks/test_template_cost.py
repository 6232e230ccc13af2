"""What a template costs, against a dict that is written by hand. Medians of the same run, so that a slow machine slows
both."""

import json
import re
import time
from collections.abc import Callable
from datetime import datetime
from statistics import median
from zoneinfo import ZoneInfo

from tests.webhooks.leads import document, keys
from webapp.webhooks.formats.template import PayloadTemplate

MOST = 14  # times
LEAD = document({"name": "Ada Lovelace", "email": "A@x.org", "phone": "+1 555", "topics": ["a", "b"], "n": "12"})
PLAIN = {
    "id": "{{ lead.id }}",
    "at": "{{ lead.received_at }}",
    "name": "{{ fields.name }}",
    "email": "{{ fields.email }}",
    "phone": "{{ fields.phone }}",
    "topics": "{{ fields.topics }}",
    "n": "{{ fields.n }}",
    "form": "{{ interface.name }}",
    "page": "{{ source.page_url }}",
    "campaign": "{{ source.utm.source }}",
}
CHANGED = PLAIN | {
    "at": "{{ lead.received_at | date('Europe/Berlin', '%d.%m.%Y') }}",
    "name": "{{ fields.name | upper }}",
    "email": "{{ fields.email | lower }}",
    "phone": "{{ fields.phone | digits }}",
    "topics": "{{ fields.topics | join(';') }}",
    "n": "{{ fields.n | number }}",
    "form": "Form: {{ interface.name }}",
}
BERLIN = ZoneInfo("Europe/Berlin")


def plain() -> bytes:
    data = LEAD["data"]
    lead, source = data["lead"], data["source"]
    fields = {"id": lead["id"], "at": lead["received_at"], **lead["fields"]}
    made = {
        **fields,
        "form": data["interface"]["name"],
        "page": source["page_url"],
        "campaign": source["utm"]["source"],
    }
    return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()


def changed() -> bytes:
    data = LEAD["data"]
    lead, source = data["lead"], data["source"]
    fields = lead["fields"]
    made = {
        "id": lead["id"],
        "at": datetime.fromisoformat(lead["received_at"]).astimezone(BERLIN).strftime("%d.%m.%Y"),
        "name": fields["name"].upper(),
        "email": fields["email"].lower(),
        "phone": re.sub("[^0-9]", "", fields["phone"]),
        "topics": ";".join(fields["topics"]),
        "n": int(fields["n"]),
        "form": f"Form: {data['interface']['name']}",
        "page": source["page_url"],
        "campaign": source["utm"]["source"],
    }
    return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()


def seconds(make: Callable[[], object], times: int = 200) -> float:
    began = time.process_time()
    for _ in range(times):
        make()
    return time.process_time() - began


def test_a_template_of_ten_fields_costs_little_more_than_a_dict_by_hand() -> None:
    for source, by_hand in ((PLAIN, plain), (CHANGED, changed)):
        template = PayloadTemplate.of(json.dumps(source), keys(LEAD))
        assert template.render(LEAD) == by_hand()
        pairs = [(seconds(by_hand), seconds(lambda of=template: of.render(LEAD))) for _ in range(15)]
        assert median(ours / theirs for theirs, ours in pairs) < MOST


def test_a_template_is_read_once() -> None:
    source = json.dumps(PLAIN)
    first = PayloadTemplate.of(source, keys(LEAD))
    assert PayloadTemplate.of(source, keys(LEAD)).node is first.node
