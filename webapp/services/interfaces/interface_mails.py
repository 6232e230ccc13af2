"""The mails of a captured lead: the notification to the account and the automatic answer to the visitor."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from webapp import text
from webapp.clock import utc, utcnow
from webapp.config import current_config
from webapp.models import Field, FieldType, Interface, Lead, User
from webapp.services.errors import Refused, refusing
from webapp.services.interfaces import answer_limits, interfaces
from webapp.services.interfaces.field_types import SENT, sample, shown
from webapp.services.mail import addresses, mails, placeholders
from webapp.services.mail.unlinked import unlinked

NOTIFICATION, AUTORESPONSE = "lead_notification", "autoresponse"
MAX_SUBJECT, MAX_BODY = 200, 5000
ANSWER_SUBJECT = "We have received your message"
ANSWER_BODY = (
    "Hello,\n\nthank you for writing to us. Your message has arrived, and we will be in touch soon.\n\n{{ interface }}"
)

# The placeholders of a mail beside the fields' keys, and their descriptions on the page.
OF_BOTH = {"interface": "The name of this interface", "answers": "Every answer, a line each"}
OF_LEAD = {
    "lead.link": "The lead in Leadhook",
    "lead.id": "Its id",
    "lead.received": "When it came",
    "lead.page": "The page it came from",
}

# Free text is not in this list: a spammer could send an advertisement with it to another person's address.
_CHOSEN = frozenset(FieldType) - {
    FieldType.TEXT,
    FieldType.LONG_TEXT,
    FieldType.EMAIL,
    FieldType.PHONE,
    FieldType.URL,
    FieldType.FILE,  # its name is free text
    FieldType.HIDDEN,
}
MAX_TYPED = 200  # characters of a free-text answer in a mail to the visitor
MAX_HIDDEN = 500  # characters of a hidden value in a notification: as of an undeclared answer
# Text is here for fields made of undeclared answers, which take long ones; any other Text is shorter.
_SHORTENED = frozenset({FieldType.HIDDEN, FieldType.TEXT})


class Words(NamedTuple):
    """The texts of an interface's mails. Where the notification's subject or body is empty, Leadhook's own is used."""

    notification_subject: str = ""
    notification_body: str = ""
    autoresponds: bool = False
    autoresponse_subject: str = ""
    autoresponse_body: str = ""
    autoresponse_reply_to: str = ""

    @classmethod
    def of(cls, interface: Interface) -> "Words":
        """The saved texts; an answer to the visitor that was never saved starts with Leadhook's own."""
        saved: dict[str, Any] = {name: getattr(interface, name) for name in cls._fields}
        ours: dict[str, Any] = {"autoresponse_subject": ANSWER_SUBJECT, "autoresponse_body": ANSWER_BODY}
        return cls(**{name: ours.get(name, "") if value is None else value for name, value in saved.items()})


class Preview(NamedTuple):
    recipients: str
    reply_to: str
    subject: str
    text: str


class Mailed(NamedTuple):
    """A lead whose mails are written. `ip` is the visitor's whole address, which may not be stored; None if unknown."""

    lead: Lead
    interface: Interface
    ip: str | None


def write_mails(mailed: Sequence[Mailed]) -> None:
    """Writes the leads' mails into the current transaction. Call it once for each lead that is not a test or spam.

    `Lead.unanswered` says which limit was reached, if that is why a visitor gets no answer.
    """
    answered = [each for each in mailed if each.interface.autoresponds and each.lead.email]
    if answered:
        asked = [answer_limits.Asked(each.interface.id, each.lead.email, each.ip) for each in answered]
        for each, reason in zip(answered, answer_limits.take(asked), strict=True):
            each.lead.unanswered = reason
    for lead, interface, _ in mailed:
        if interface.notification_emails:
            _write_notification(lead, interface, interface.notification_emails, Words.of(interface), lead.id)
        if interface.autoresponds and lead.email and lead.unanswered is None:
            _write_autoresponse(lead, interface, lead.email, Words.of(interface), lead.id)


def names(fields: Sequence[Any], kind: str) -> dict[str, str]:
    """The placeholders allowed in a mail of that kind, with a description of each."""
    keys = {field.key: field.label for field in fields if field.type in SENT}
    return {**keys, **OF_BOTH, **(OF_LEAD if kind == NOTIFICATION else {})}


def checked(interface: Interface, words: Words) -> Words:
    """The texts, normalised to be saved; Refused if one is too long or has an unknown placeholder."""
    kept = dict(words._asdict())
    required = words.autoresponds
    for kind, prefix in ((NOTIFICATION, "notification"), (AUTORESPONSE, "autoresponse")):
        known = names(interface.fields, kind)
        subject, body = f"{prefix}_subject", f"{prefix}_body"
        with refusing(subject):
            must = required and kind == AUTORESPONSE
            kept[subject] = text.line(kept[subject], "The subject", MAX_SUBJECT, required=must)
        with refusing(body):
            kept[body] = text.lines(kept[body], "The text", MAX_BODY, required=must)
        for name in (subject, body):
            _refuse_unknown(placeholders.unknown(kept[name], known), known, name)
    with refusing("autoresponse_reply_to"):
        reply_to = kept["autoresponse_reply_to"].strip()
        kept["autoresponse_reply_to"] = text.address(reply_to) if reply_to else ""
    if required and not _asks_for_address(interface):
        raise Refused("This form has no Email field, so there is no address to answer. Add one first.", "autoresponds")
    return Words(**kept)


def update(interface: Interface, words: Words) -> None:
    """Saves the texts of the mails; Refused as in `checked`."""
    for name, value in checked(interface, words)._asdict().items():
        setattr(interface, name, value if name == "autoresponds" else value or None)
    interface.updated_at = utcnow()
    interfaces.record("changed", interface, "E-mail")


def preview(interface: Interface, words: Words, kind: str) -> Preview:
    """The mail of that kind as it would be sent for a sample lead."""
    lead = _sample(interface, test=False)
    if kind == NOTIFICATION:
        to = ", ".join(interface.notification_emails)
        rendered = mails.render(kind, **_of_notification(lead, interface, words))
        return Preview(to, lead.email, rendered.subject, rendered.text)
    rendered = mails.render(kind, **_of_autoresponse(lead, interface, words))
    return Preview(lead.email, words.autoresponse_reply_to, rendered.subject, rendered.text)


def send_test(interface: Interface, words: Words, kind: str, user: User) -> None:
    """Sends the mail of that kind, for a sample lead, to the user; Refused as in `checked`."""
    words, lead = checked(interface, words), _sample(interface, test=True)
    write = _write_notification if kind == NOTIFICATION else _write_autoresponse
    recipients: Any = [user.email] if kind == NOTIFICATION else user.email
    write(lead, interface, recipients, words, None)


def _write_notification(
    lead: Lead, interface: Interface, recipients: Sequence[str], words: Words, lead_id: int | None
) -> None:
    mails.write(
        NOTIFICATION,
        recipients=recipients,
        account_id=interface.account_id,
        reply_to=lead.email or None,
        lead_id=lead_id,
        **_of_notification(lead, interface, words),
    )


def _of_notification(lead: Lead, interface: Interface, words: Words) -> dict[str, Any]:
    context: dict[str, Any] = {"lead": lead, "interface": interface, "fields": interface.fields, "reply": _reply(lead)}
    context["answers"] = answers = _shortened(lead, interface)
    if not (words.notification_subject or words.notification_body):
        return context
    values = _values(answers, interface, _of_lead(lead))
    subject, body = words.notification_subject, words.notification_body
    return {
        **context,
        "own_subject": placeholders.fill(subject, values),
        "own_body": placeholders.fill(body, values),
    }


def _reply(lead: Lead) -> str:
    """Where a reply to the notification goes. True before the mail server is known, and if the mail is passed on."""
    if not lead.email:
        return "The visitor left no e-mail address, so you cannot reply."
    if addresses.is_ascii(lead.email):
        return f"If you reply to this e-mail, your reply goes to {lead.label}."
    return (
        f"The visitor’s address is {lead.email}. Not every mail program and mail server can write to such an address. "
        "Before you send a reply, check that it goes to this address."
    )


def _write_autoresponse(lead: Lead, interface: Interface, recipient: str, words: Words, lead_id: int | None) -> None:
    mails.write(
        AUTORESPONSE,
        recipients=[recipient],
        account_id=interface.account_id,
        reply_to=words.autoresponse_reply_to or None,
        lead_id=lead_id,
        **_of_autoresponse(lead, interface, words),
    )


def _of_autoresponse(lead: Lead, interface: Interface, words: Words) -> dict[str, Any]:
    chosen = {field.key for field in interface.fields if field.type in _CHOSEN}
    answers = {
        key: answer if key in chosen or answer == lead.email else unlinked(" ".join(answer.split())[:MAX_TYPED])
        for key, answer in _answers(lead, interface).items()
    }
    values = _values(answers, interface)
    own = placeholders.fill(words.autoresponse_subject, values), placeholders.fill(words.autoresponse_body, values)
    return {"own_subject": own[0], "own_body": own[1], "language": interface.language}


def _answers(lead: Lead, interface: Interface) -> dict[str, str]:
    return {field.key: shown(lead.fields.get(field.key)) for field in interface.fields if field.type in SENT}


def _shortened(lead: Lead, interface: Interface) -> dict[str, str]:
    """The answers for a notification. A program writes hidden values, at any length: the lead has the rest of it."""
    answers = _answers(lead, interface)
    for field in interface.fields:
        if field.type in _SHORTENED and len(answers[field.key]) > MAX_HIDDEN:
            answers[field.key] = f"{answers[field.key][:MAX_HIDDEN]}… (all of it: {_of_lead(lead)['lead.link']})"
    return answers


def _values(answers: Mapping[str, str], interface: Interface, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The value of every placeholder; a field's key takes precedence over Leadhook's own names."""
    lines = [f"{field.label}: {answers[field.key]}" for field in interface.fields if answers.get(field.key)]
    return {"interface": interface.name, "answers": "\n".join(lines), **(more or {}), **answers}


def _of_lead(lead: Lead) -> dict[str, str]:
    link = f"{current_config.public_url}/leads/{lead.public_id}"
    page = str(lead.source.get("page_url") or "")
    return {"lead.link": link, "lead.id": lead.public_id, "lead.received": utc(lead.received_at), "lead.page": page}


def _sample(interface: Interface, test: bool) -> Lead:
    """A lead with the answers of a test lead; it is never saved."""
    fields = {field.key: sample(field) for field in interface.fields if field.type in SENT}
    page = {"page_url": interfaces.form_url(interface)}
    first = {kind: _first(interface.fields, fields, kind) for kind in (FieldType.TEXT, FieldType.EMAIL)}
    return Lead(
        public_id="lead_sample",
        received_at=utcnow(),
        test=test,
        name=first[FieldType.TEXT],
        email=first[FieldType.EMAIL],
        fields=fields,
        source=page,
        consents=[],
    )


def _first(fields: Sequence[Field], answers: Mapping[str, Any], kind: FieldType) -> str:
    return next((str(answers[field.key]) for field in fields if field.type == kind), "")


def _asks_for_address(interface: Interface) -> bool:
    return any(field.type == FieldType.EMAIL for field in interface.fields)


def _refuse_unknown(wrong: list[str], known: Mapping[str, str], control: str) -> None:
    if wrong:
        one = len(wrong) == 1
        says = f"{', '.join(wrong)} {'is' if one else 'are'} not known here."
        raise Refused(f"{says} Use {', '.join(f'{{{{ {name} }}}}' for name in known)}.", control)
