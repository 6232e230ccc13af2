"""The templates that a new interface can start from: questions, texts and a look. All of it can be changed later."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from webapp.models import Corners, Field, FieldType


class Template(NamedTuple):
    """A starting point for an interface. `fields` makes new rows on each call; `settings` are columns of Interface."""

    slug: str
    title: str
    what: str  # one sentence; part of a label on the screen
    icon: str
    fields: Callable[[], list[Field]]
    settings: Mapping[str, Any]


def _asking(*questions: Mapping[str, Any]) -> Callable[[], list[Field]]:
    def fields() -> list[Field]:
        return [Field(position=place, **question) for place, question in enumerate(questions, start=1)]

    return fields


def _field(kind: FieldType, key: str, label: str, **more: Any) -> Mapping[str, Any]:
    return {"type": kind, "key": key, "label": label, **more}


def _name(**more: Any) -> Mapping[str, Any]:
    usual: dict[str, Any] = {"label": "Name", "required": True, "autocomplete": "name", "half": True}
    return _field(FieldType.TEXT, "name", **(usual | more))


def _email(**more: Any) -> Mapping[str, Any]:
    usual: dict[str, Any] = {"label": "Email", "required": True, "autocomplete": "email", "half": True}
    return _field(FieldType.EMAIL, "email", **(usual | more))


def _phone(**more: Any) -> Mapping[str, Any]:
    return _field(FieldType.PHONE, "phone", "Phone", autocomplete="tel", **more)


def _company(**more: Any) -> Mapping[str, Any]:
    return _field(FieldType.TEXT, "company", "Company", autocomplete="organization", half=True, **more)


CONTACT = Template(
    "contact",
    "Contact",
    "A message, and how to answer it.",
    "mail",
    _asking(_name(), _email(), _phone(), _field(FieldType.LONG_TEXT, "message", "Message", required=True)),
    {"introduction": "Tell us how we can help."},
)
QUOTE = Template(
    "quote",
    "Quote request",
    "What is needed, how much of it, by when.",
    "text-align-start",
    _asking(
        _name(),
        _company(),
        _email(),
        _phone(half=True),
        _field(FieldType.HEADING, "_heading", "What do you need?"),
        _field(
            FieldType.SELECT,
            "service",
            "Service",
            required=True,
            half=True,
            options=["Consulting", "Installation", "Maintenance", "Something else"],
        ),
        _field(FieldType.NUMBER, "quantity", "Quantity", half=True, minimum="1"),
        _field(FieldType.DATE, "needed_by", "Needed by", half=True),
        _field(
            FieldType.SELECT,
            "budget",
            "Budget",
            half=True,
            options=["Below 1,000", "1,000 to 5,000", "5,000 to 20,000", "Above 20,000", "Not known yet"],
        ),
        _field(
            FieldType.LONG_TEXT,
            "details",
            "Details",
            required=True,
            help="Sizes, materials, place: anything that helps us to name a price quickly.",
        ),
    ),
    {
        "introduction": "Tell us what you need. Our offer is free and without obligation.",
        "thank_you": "Thank you. We will work out a price and send you our offer by email.",
        "accent": "#0f766e",
        "texts": {"button": "Request a quote", "thank_you_title": "Your request was sent"},
    },
)
NEWSLETTER = Template(
    "newsletter",
    "Newsletter",
    "An address, some topics, and consent that is kept word for word.",
    "inbox",
    _asking(
        _email(half=False),
        _field(FieldType.TEXT, "first_name", "First name", autocomplete="given-name"),
        _field(
            FieldType.CHECKBOXES,
            "topics",
            "What interests you?",
            options=["Product news", "Guides and tips", "Events"],
        ),
        _field(
            FieldType.CONSENT,
            "newsletter_consent",
            "Newsletter consent",
            required=True,
            statement="Send me the newsletter by email. I can unsubscribe at any time, with the link in every issue.",
        ),
    ),
    {
        "introduction": "Once a month, what is new and worth your time.",
        "thank_you": "Thank you. The next issue will come to your inbox.",
        "accent": "#7c3aed",
        "corners": Corners.ROUND,
        "texts": {"button": "Subscribe", "thank_you_title": "You are on the list"},
    },
)
DEMO = Template(
    "demo",
    "Demo booking",
    "Who is coming, from where, and when it suits them.",
    "panel-top",
    _asking(
        _name(),
        _email(label="Work email"),
        _company(required=True),
        _field(FieldType.TEXT, "job_title", "Job title", autocomplete="organization-title", half=True),
        _field(
            FieldType.RADIO,
            "team_size",
            "How large is your team?",
            required=True,
            half=True,
            options=["Just me", "2 to 10", "11 to 50", "More than 50"],
        ),
        _field(
            FieldType.CHECKBOXES,
            "part_of_day",
            "Which time suits you?",
            half=True,
            options=["Morning", "Midday", "Afternoon"],
        ),
        _field(FieldType.DATE, "preferred_date", "Preferred date", half=True),
        _field(FieldType.URL, "website", "Website", autocomplete="url", half=True, placeholder="https://"),
        _field(FieldType.LONG_TEXT, "goal", "What would you like to see?"),
    ),
    {
        "introduction": "Thirty minutes, live, with your own questions.",
        "thank_you": "Thank you. An invitation with the exact time follows by email.",
        "accent": "#c2410c",
        "texts": {"button": "Book my demo", "thank_you_title": "Your demo is requested"},
    },
)
CALLBACK = Template(
    "callback",
    "Callback",
    "A number, and the best time to call.",
    "phone",
    _asking(
        _name(half=False),
        _phone(required=True, help="With the country code, if you are abroad"),
        _field(
            FieldType.RADIO,
            "best_time",
            "When may we call?",
            required=True,
            options=["As soon as possible", "In the morning", "In the afternoon", "In the evening"],
        ),
        _field(FieldType.TEXT, "subject", "What is it about?", maximum="150"),
    ),
    {
        "introduction": "Leave your number, and we will call you.",
        "thank_you": "Thank you. We will call you at the time you chose.",
        "accent": "#15803d",
        "corners": Corners.ROUND,
        "texts": {"button": "Call me back", "thank_you_title": "We have your number"},
    },
)
BLANK = Template("blank", "Blank", "No questions yet: add your own.", "circle-dashed", _asking(), {})
ALL = {each.slug: each for each in (CONTACT, QUOTE, NEWSLETTER, DEMO, CALLBACK, BLANK)}
