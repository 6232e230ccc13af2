"""The public guides for developers: of receivers (what is sent, how to verify it, what happens on failure), and of
programs that use the REST API."""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from flask import Blueprint, Response, abort, render_template

from webapp.config import current_config
from webapp.models import api_key as key_words
from webapp.services.api_keys import PREFIXES
from webapp.services.interfaces.field_types import KINDS
from webapp.services.reports import reports
from webapp.web.api import problems, rates
from webapp.web.api.operations import BASE
from webapp.web.frames import mail_html, with_frames
from webapp.web.highlight import coloured
from webapp.web.security import public
from webapp.webhooks import advice
from webapp.webhooks.payload import lead_payload
from webapp.webhooks.sender import USER_AGENT
from webapp.webhooks.signing import PREFIX, sign

# tests/support/samples.py runs these files. They are read once, at start.
RECEIVERS = Path(__file__).parents[1] / "templates" / "docs" / "receivers"


class ReceiverSample(NamedTuple):
    """A file of RECEIVERS, how it is named and started, and the language of web/highlight.py that it is in."""

    file: str
    language: str
    label: str
    command: str = ""

    @property
    def code(self) -> str:
        return CODE[self.file]


SAMPLES = {
    "complete": (
        ReceiverSample("receiver.py", "python", "Python", "python3 receiver.py 9000"),
        ReceiverSample("receiver.mjs", "node", "Node", "node receiver.mjs 9000"),
        ReceiverSample("receiver.php", "php", "PHP", "php -S 127.0.0.1:9000 receiver.php"),
        ReceiverSample("receiver.go", "go", "Go", "go run receiver.go 9000"),
        ReceiverSample("receiver.ru", "ruby", "Ruby", "puma -b tcp://127.0.0.1:9000 receiver.ru"),
        ReceiverSample("Receiver.java", "java", "Java", "java Receiver.java 9000"),
        ReceiverSample("receiver.sh", "shell", "Shell", "busybox httpd -f -p 127.0.0.1:9000 -h site"),
    ),
    "framework": (
        ReceiverSample("flask_app.py", "python", "Flask", "flask --app flask_app run --port 9000"),
        ReceiverSample("fastapi_app.py", "python", "FastAPI", "uvicorn fastapi_app:app --port 9000"),
        ReceiverSample("django_app.py", "python", "Django", "python3 django_app.py runserver 9000"),
        ReceiverSample("express_app.mjs", "node", "Express", "node express_app.mjs 9000"),
        ReceiverSample("fastify_app.mjs", "node", "Fastify", "node fastify_app.mjs 9000"),
    ),
    "library": (
        ReceiverSample("library.py", "python", "Python library"),
        ReceiverSample("library.mjs", "node", "Node library"),
        ReceiverSample("library.go", "go", "Go library"),
        ReceiverSample("Library.java", "java", "Java library"),
    ),
    "public_key": (
        ReceiverSample("v1a.py", "python", "Python, v1a", "python3 v1a.py 9000"),
        ReceiverSample("v1a.mjs", "node", "Node, v1a", "node v1a.mjs 9000"),
    ),
}
CODE = {
    sample.file: (RECEIVERS / sample.file).read_text(encoding="utf-8") for group in SAMPLES.values() for sample in group
}
UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
SHORT_UNITS = ((3600, "h"), (60, "min"), (1, "s"))

blueprint = Blueprint("docs", __name__)
blueprint.add_app_template_filter(coloured, "coloured")


@blueprint.get("/docs/webhooks")
@public
def webhooks() -> str:
    schedule = current_config.retry_schedule
    return render_template(
        "docs/webhooks.html",
        samples=SAMPLES,
        example=example(),
        user_agent=USER_AGENT,
        field_types=[(kind.name, kind.sends) for kind in KINDS.values()],
        connect_timeout=span(current_config.connect_timeout),
        deadline=span(current_config.deadline),
        retries=len(schedule),
        waits=listed([span(wait) for wait in schedule]),
        in_all=roughly(sum(schedule)),
        failures=[(advice.example(row), row.cause, row.step) for row in advice.ROWS],
    )


@blueprint.get("/docs/api")
@public
def api() -> str:
    """The REST API, from the declarations that make its routes."""
    from webapp.web.api import document  # few processes are asked for it

    return render_template(
        "docs/api.html",
        sections=document.sections(),
        base=f"{current_config.public_url}{BASE}",
        words=key_words,
        prefixes=PREFIXES,
        kinds=problems.KINDS,
        limit=current_config.api_rate_limit,
        limit_words=rates.words(current_config.api_rate_limit),
    )


@blueprint.get("/docs/error-reports")
@public
def error_reports() -> Response:
    windows = [span(window) for window in current_config.report_window]
    return with_frames(
        render_template("docs/error_reports.html", samples=reports.sample_reports(), windows=listed(windows))
    )


@blueprint.get("/docs/error-reports/<name>")
@public
def error_report(name: str) -> Response:
    """The HTML of a sample report, for its frame on the page."""
    found = next((sample for sample in reports.sample_reports() if sample.name == name), None)
    return mail_html((found or abort(404)).html)


@cache
def example() -> dict[str, Any]:
    """One request as Leadhook would send it, signed with a made-up token, to test a receiver's code with."""
    token = PREFIX + base64.b64encode(b"for this example, and no other!!").decode()
    message_id, at = "msg_01m83pph3v2r0yfay9n7db9hyk", datetime(2026, 11, 23, 8, 0, 0, 123000, tzinfo=UTC)
    body = lead_payload(
        event="lead.created",
        lead_id="lead_01m83pph3v0019fd3g78e43pkn",
        received_at=at,
        fields={"name": "Ada Lovelace", "email": "ada@example.com", "phone": "", "message": "Hello from Zürich"},
        interface_id="if_8Kx2vQ4mTzPa",
        interface_name="Contact sales",
        source={
            "page_url": "https://example.com/contact",
            "page_title": "Contact",
            "utm": {"source": "newsletter"},
            "ip": "203.0.113.7",
            "user_agent": "Mozilla/5.0",
        },
        consents=(),
    )
    timestamp = int(at.timestamp())
    return {
        "token": token,
        "id": message_id,
        "timestamp": timestamp,
        "signature": sign([token], message_id, timestamp, body),
        "body": body.decode(),
        "pretty": json.dumps(json.loads(body), indent=2, ensure_ascii=False),
    }


def span(seconds: float) -> str:
    """An exact duration: 5 s, 1 min 30 s, 2 h, 0.5 s."""
    if seconds != int(seconds):
        return f"{seconds:g} s"
    parts, rest = [], int(seconds)
    for size, unit in SHORT_UNITS:
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts)


def roughly(seconds: float) -> str:
    """A rounded duration: 28 hours, 3 days, 2 minutes."""
    size, unit = next((unit for unit in UNITS if seconds >= 2 * unit[0]), UNITS[-1])
    number = round(seconds / size)
    return f"{number} {unit}{'' if number == 1 else 's'}"


def listed(words: Sequence[str]) -> str:
    """The words as one text: a, b and c."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
