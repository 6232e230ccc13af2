"""Interfaces: list, create, get with their fields, change. By the same services as the pages."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from webapp.blueprints.api.shapes import Moment, Next, PageQuery, moment
from webapp.db.transactions import transaction
from webapp.models import Corners, Field, Interface, Scheme, Scope
from webapp.services.errors import Refused
from webapp.services.interfaces import form_texts, interface_templates, interfaces
from webapp.web.api import changes, cursors, keys
from webapp.web.api.operations import BASE, Answered, operation

TAG = "Interfaces"
TEMPLATES = Literal["contact", "quote", "newsletter", "demo", "callback", "blank"]
assert get_args(TEMPLATES) == tuple(interface_templates.ALL)


class FieldResource(msgspec.Struct):
    key: Annotated[str, Meta(description="Its name in a lead’s fields.")]
    label: str
    type: Annotated[str, Meta(description="Such as text, email, phone; later versions may have more.")]
    required: bool
    help: str
    placeholder: str
    options: Annotated[list[str], Meta(description="Of select, radio and checkboxes.")]
    default: str
    half: Annotated[bool, Meta(description="Half as wide as the form.")]
    minimum: Annotated[str, Meta(description="Characters, a number or a date.")]
    maximum: Annotated[str, Meta(description="Characters, a number or a date.")]
    autocomplete: Annotated[str, Meta(description="What browsers fill in, such as given-name.")]
    statement: Annotated[str, Meta(description="What a visitor agrees to, of consent.")]
    file_types: Annotated[list[str] | None, Meta(description="Of file: images, pdf, documents, or an ending.")]
    file_count: int | None
    file_megabytes: int | None
    file_link_days: Annotated[int | None, Meta(description="Days that its link works; null: as long as the lead.")]


class LookResource(msgspec.Struct):
    accent: Annotated[str, Meta(description="#rrggbb")]
    scheme: Annotated[str, Meta(description="auto, light or dark.")]
    corners: Annotated[str, Meta(description="square, soft or round.")]


class InterfaceSummary(msgspec.Struct):
    id: str
    name: str
    form_url: str
    created_at: Moment
    updated_at: Moment
    closed_at: Annotated[Moment | None, Meta(description="Since when its form takes no answers.")]


class InterfaceResource(InterfaceSummary):
    introduction: str
    thank_you: str
    redirect_url: str | None
    language: str
    country: Annotated[str | None, Meta(description="Its phone numbers need no country code.")]
    look: LookResource
    texts: Annotated[dict[str, str], Meta(description="The words of the form that differ from Leadhook’s.")]
    fields: list[FieldResource]


class InterfaceList(msgspec.Struct):
    data: list[InterfaceSummary]
    next: Next


class NewInterface(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=200)]
    template: TEMPLATES = "contact"


class LookChanges(msgspec.Struct, forbid_unknown_fields=True):
    accent: Annotated[str, Meta(description="#rrggbb")] | UnsetType = UNSET
    scheme: Literal["auto", "light", "dark"] | UnsetType = UNSET
    corners: Literal["square", "soft", "round"] | UnsetType = UNSET


class InterfaceChanges(msgspec.Struct, forbid_unknown_fields=True):
    """What is left out stays as it is."""

    name: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET
    introduction: Annotated[str, Meta(max_length=1000)] | UnsetType = UNSET
    thank_you: Annotated[str, Meta(max_length=1000)] | UnsetType = UNSET
    redirect_url: str | UnsetType | None = UNSET
    language: str | UnsetType = UNSET
    country: str | UnsetType | None = UNSET
    closed: Annotated[bool, Meta(description="true: the form takes no answers.")] | UnsetType = UNSET
    look: LookChanges | UnsetType = UNSET
    texts: Annotated[
        dict[str, str | None],
        Meta(description=f"Other words of the form; null: Leadhook’s. By name: {', '.join(form_texts.DEFAULTS)}."),
    ] = {}


SUMMARY = {
    "id": "if_8Kx2vQ4mTzPa",
    "name": "Contact sales",
    "form_url": "https://leads.example.com/f/if_8Kx2vQ4mTzPa",
    "created_at": "2026-11-01T09:30:00.000Z",
    "updated_at": "2026-11-20T16:05:12.480Z",
    "closed_at": None,
}
FIELD = {
    "key": "email",
    "label": "Email",
    "type": "email",
    "required": True,
    "help": "",
    "placeholder": "",
    "options": [],
    "default": "",
    "half": True,
    "minimum": "",
    "maximum": "",
    "autocomplete": "email",
    "statement": "",
    "file_types": None,
    "file_count": None,
    "file_megabytes": None,
    "file_link_days": None,
}
EXAMPLE: dict[str, Any] = {
    **SUMMARY,
    "introduction": "Tell us how we can help.",
    "thank_you": "Thank you. We will be in touch soon.",
    "redirect_url": None,
    "language": "en",
    "country": "US",
    "look": {"accent": "#2f54d0", "scheme": "auto", "corners": "soft"},
    "texts": {"button": "Send it"},
    "fields": [FIELD],
}
LIST = {"data": [SUMMARY], "next": None}


@operation(
    "GET",
    "/interfaces",
    "List interfaces",
    tag=TAG,
    scope=Scope.READ,
    query=PageQuery,
    answer=InterfaceList,
    example=LIST,
)
def list_interfaces(query: PageQuery) -> InterfaceList:
    caller = keys.caller()
    after = cursors.row_of(query.cursor)
    page = interfaces.page(caller.account_id, after, query.limit, only=caller.interfaces)
    return InterfaceList([summary(each) for each in page.rows], cursors.cursor_of(page.next))


@operation(
    "POST",
    "/interfaces",
    "Create an interface",
    tag=TAG,
    scope=Scope.WRITE,
    body=NewInterface,
    sends={"name": "Contact sales", "template": "contact"},
    answer=InterfaceResource,
    status=201,
    example=EXAMPLE,
    of_account=True,
    about="With the fields of a template: contact, unless another is named. Its leads go nowhere yet.",
)
def create_interface(body: NewInterface) -> Answered:
    with transaction():
        interface = interfaces.create(keys.account_id(), body.name, interface_templates.ALL[body.template])
        made = resource(interface)
    return Answered(made, headers={"Location": f"{BASE}/interfaces/{made.id}"})


@operation(
    "GET",
    "/interfaces/<interface_id>",
    "Get an interface",
    tag=TAG,
    scope=Scope.READ,
    answer=InterfaceResource,
    example=EXAMPLE,
)
def get_interface(interface_id: str) -> InterfaceResource:
    return resource(one(interface_id))


@operation(
    "PATCH",
    "/interfaces/<interface_id>",
    "Change an interface",
    tag=TAG,
    scope=Scope.WRITE,
    body=InterfaceChanges,
    sends={"name": "Contact sales", "look": {"accent": "#2f54d0"}, "texts": {"button": "Send it"}},
    answer=InterfaceResource,
    example=EXAMPLE,
    headers=changes.IF_MATCH,
    about="Its words and its look. Its fields have addresses of their own.",
)
def change_interface(interface_id: str, body: InterfaceChanges) -> InterfaceResource:
    with transaction():
        interface = one(interface_id, lock=True)
        changes.check(resource(interface))
        _change_words(interface, body)
        if body.look is not UNSET:
            _change_look(interface, body.look)
        if body.texts:
            _change_texts(interface, body.texts)
        if body.closed is not UNSET and body.closed != bool(interface.closed_at):
            (interfaces.close if body.closed else interfaces.reopen)(interface)
        return resource(interface)


def one(public_id: str, lock: bool = False) -> Interface:
    """The account's interface that the key reaches; NotFound for any other."""
    keys.check_reach(public_id)
    return interfaces.get(keys.account_id(), public_id, lock=lock)


WORDS = ("name", "introduction", "thank_you", "redirect_url", "language", "country")


def _change_words(interface: Interface, body: InterfaceChanges) -> None:
    given = {name: value for name in WORDS if (value := getattr(body, name)) is not UNSET}
    if given:
        interfaces.update_general(interface, **({name: getattr(interface, name) for name in WORDS} | given))


def _change_look(interface: Interface, look: LookChanges) -> None:
    accent = interface.accent if look.accent is UNSET else look.accent
    scheme = interface.scheme if look.scheme is UNSET else Scheme(look.scheme)
    corners = interface.corners if look.corners is UNSET else Corners(look.corners)
    try:
        interfaces.update_look(interface, accent=accent, scheme=scheme, corners=corners)
    except Refused as refusal:
        raise Refused(str(refusal), f"look/{refusal.field}") from None


def _change_texts(interface: Interface, given: Mapping[str, str | None]) -> None:
    if unknown := next((name for name in given if name not in form_texts.DEFAULTS), None):
        raise Refused(f"The form has no words named “{unknown[:40]}”.", f"texts/{unknown[:40]}")
    wanted = {**(interface.texts or {}), **given}
    try:
        interfaces.update_texts(interface, {name: words for name, words in wanted.items() if words is not None})
    except Refused as refusal:
        raise Refused(str(refusal), f"texts/{refusal.field}") from None


def summary(interface: Interface) -> InterfaceSummary:
    return InterfaceSummary(**_summary(interface))


def _summary(interface: Interface) -> dict[str, Any]:
    return {
        "id": interface.public_id,
        "name": interface.name,
        "form_url": interfaces.form_url(interface),
        "created_at": moment(interface.created_at),
        "updated_at": moment(interface.updated_at),
        "closed_at": moment(interface.closed_at) if interface.closed_at else None,
    }


def resource(interface: Interface) -> InterfaceResource:
    look = LookResource(interface.accent, interface.scheme.value, interface.corners.value)
    words = {name: getattr(interface, name) for name in WORDS}
    fields = [_field(field) for field in interface.fields]
    texts = dict(interface.texts or {})
    return InterfaceResource(**{**_summary(interface), **words}, look=look, texts=texts, fields=fields)


def _field(field: Field) -> FieldResource:
    names = (name for name in FieldResource.__struct_fields__ if name != "type")
    return FieldResource(type=field.type.value, **{name: getattr(field, name) for name in names})
