"""Two forms with the same settings: one is asked by the short way, its twin by Flask alone. Their answers are compared.

Ids, tokens and times differ. Each is replaced by its name before the comparison.
"""

import contextvars
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import time_machine
from flask import Flask
from sqlalchemy import bindparam, select
from werkzeug.test import Client

from webapp.clock import utcnow
from webapp.db.transactions import read_only, transaction
from webapp.db.write_turns import SideBySide
from webapp.extensions import db
from webapp.models import Delivery, Interface, Lead, Mail
from webapp.servers.together import TOGETHER, Elsewhere, beginnings
from webapp.services.intake import visitor
from webapp.services.interfaces import interfaces

PATTERNS = {
    "LEAD": r"lead_[0-9a-z]{26}",
    "MESSAGE": r"msg_[0-9a-z]{26}",
    'name="_token" value="TOKEN"': r'name="_token" value="[^"]+"',
    "TIME": r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?|\d\d:\d\d UTC",
    "/leads/ROW": r"/leads/\d+",
}
# Columns that say which row it is, or when.
OWN = {"id", "public_id", "interface_id", "lead_id", "webhook_id", "message_id", "received_at", "created_at", "due_at"}
OWN |= {"nonce", "content_digest"}

# Made once: thousands of cases ask.
LEADS = select(Lead.__table__).where(Lead.interface_id == bindparam("form"), Lead.id > bindparam("seen"))
LEADS = LEADS.order_by(Lead.id)
OF_LEADS = [
    select(model.__table__).where(model.lead_id.in_(bindparam("ids", expanding=True))).order_by(model.id)
    for model in (Delivery, Mail)
]

Settings = Callable[[Interface], object]


def as_the_server_asks(app: Flask) -> Callable[..., Any]:
    """The app, whose posts and views of forms run side by side with others: see servers/together.py."""
    beginning = [each.match for each in beginnings(app)]

    def ask(environ: dict[str, Any], start_response: Any) -> Any:
        target = f"{environ['PATH_INFO']}{'?' if environ.get('QUERY_STRING') else ' '}"
        request = f"{environ['REQUEST_METHOD']} {target}".encode("latin-1")
        if not any(begins(request) for begins in beginning):
            return app(environ, start_response)
        environ[TOGETHER] = True
        answers: list[Any] = []

        def work() -> None:
            try:
                answers.append(app(environ, start_response))
            except Elsewhere as elsewhere:
                del environ[TOGETHER]
                answers.append(elsewhere)

        SideBySide().run([work])
        [answer] = answers
        return answer.app(environ, start_response) if isinstance(answer, Elsewhere) else answer

    return ask


@dataclass(frozen=True)
class Case:
    """A request. In its address, its headers and its body, {form}, {token}, {old} (a token of an hour ago), {n} and the
    names in `Side.names` are filled in.

    `is_short`: whether the short way answers once it knows the answer; None where that does not matter.
    """

    name: str
    method: str = "POST"
    path: str = "/f/{form}"
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, Any] = field(default_factory=dict)
    is_short: bool | None = None

    def joined(self, other: "Case") -> "Case":
        """This body with the query and the headers of the other one."""
        is_short = None if None in (self.is_short, other.is_short) else bool(self.is_short and other.is_short)
        headers = {**self.headers, **other.headers}
        name = f"{self.name}, {other.name}"
        return replace(self, name=name, query=other.query, headers=headers, environ=other.environ, is_short=is_short)


class Side:
    """An app with one of the two forms."""

    def __init__(self, app: Flask, account_id: int, settings: Settings) -> None:
        self.app, self.asked_flask, self._seen = app, 0, 0
        self._asked = as_the_server_asks(app)
        self._token = ""
        self.names: dict[str, str] = {}  # that cases may have, beside the form's own
        app.before_request_funcs.setdefault(None, []).insert(0, self._note)
        with app.app_context():
            with transaction():
                interface = interfaces.create(account_id, "Contact sales")
                settings(interface)
                interface.updated_at = utcnow()
            self.form, self.row = interface.public_id, interface.id
            with time_machine.travel(utcnow() - timedelta(hours=1), tick=False):
                self._old = visitor.new_token(self.form)
            db.session.rollback()

    def _note(self) -> None:
        self.asked_flask += 1

    def ask(self, case: Case, number: int) -> dict[str, Any]:
        """The answer, and what was stored since the last one."""
        if not number:  # a new token for each case: one that grows old would be "too fast" for one side only
            with self.app.app_context():
                self._token = visitor.new_token(self.form)
        body = self._filled(case.body.decode("latin-1"), number).encode("latin-1")
        client = Client(self._asked, use_cookies=False)
        sent = {name: self._filled(value, number) for name, value in case.headers.items()}
        given = {"headers": sent, "environ_overrides": dict(case.environ)}
        given |= {"method": case.method, "query_string": self._filled(case.query, number)}
        path = self._filled(case.path, number)
        answer = contextvars.Context().run(client.open, path, data=body or None, **given)  # type: ignore[arg-type]
        text = answer.get_data().decode("utf-8", "surrogateescape")
        headers = [(name, self._neutral(value)) for name, value in answer.headers]
        if case.method != "HEAD":
            assert dict(headers)["Content-Length"] == str(len(answer.get_data())), case.name
        if 'name="_token"' in text or case.method == "HEAD":  # tokens have several lengths
            headers = [(name, value if name != "Content-Length" else "") for name, value in headers]
        return {"status": answer.status, "headers": headers, "body": self._neutral(text), "rows": self._rows()}

    def _filled(self, text: str, number: int) -> str:
        own = {"form": self.form, "token": self._token, "old": self._old, "n": str(number)}
        for name, value in {**own, **self.names}.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def _neutral(self, text: str) -> str:
        text = text.replace(self.form, "FORM")
        for name, pattern in PATTERNS.items():
            text = re.sub(pattern, name, text)
        return text

    def _rows(self) -> list[str]:
        """All columns of the leads, deliveries and mails that were stored since."""
        with self.app.app_context(), read_only(), db.engine.connect() as connection:
            rows = [*connection.execute(LEADS, {"form": self.row, "seen": self._seen})]
            if ids := [lead.id for lead in rows]:
                self._seen = ids[-1]
                for belonging in OF_LEADS:
                    rows += connection.execute(belonging, {"ids": ids})
        return [
            self._neutral(repr({name: value for name, value in row._mapping.items() if name not in OWN}))
            for row in rows
        ]


def differences(short: Side, flask: Side, cases: Iterable[Case], rounds: int = 2, checks_way: bool = True) -> list[str]:
    """What the two answer differently, and what did not take the way that the case says. Each case is sent twice: the
    first answer of a kind comes from Flask in any case."""
    found = []
    for case in cases:
        for number in range(rounds):
            before = short.asked_flask
            ours, theirs = short.ask(case, number), flask.ask(case, number)
            found += [
                f"{case.name}, {number}: {part} is {ours[part]!r:.1500}, not {theirs[part]!r:.1500}"
                for part in ours
                if ours[part] != theirs[part]
            ]
        if checks_way and case.is_short not in (None, short.asked_flask == before):
            found.append(f"{case.name}: {'Flask was asked' if case.is_short else 'Flask was not asked'}")
    return found
