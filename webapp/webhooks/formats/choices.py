"""The formats of a payload, by the value that is stored. All have one interface; "json" is Leadhook's own."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from webapp.webhooks.formats import flat, form
from webapp.webhooks.formats.cloudevents import CloudEvents
from webapp.webhooks.formats.encoding import encode
from webapp.webhooks.formats.template import PayloadTemplate
from webapp.webhooks.settings import Setting


class Renderer(Protocol):
    """Makes the bytes of one lead from Leadhook's JSON. CannotRender if a template cannot."""

    @property
    def content_type(self) -> str: ...

    def render(self, document: Mapping[str, Any]) -> bytes: ...


@dataclass(frozen=True, slots=True)
class PlainFormat:
    """A format without settings."""

    content_type: str
    make: Callable[[Mapping[str, Any]], bytes]

    def render(self, document: Mapping[str, Any]) -> bytes:
        return self.make(document)


@dataclass(frozen=True, slots=True)
class PayloadFormat:
    """`of` takes the stored options and the keys that may be named, None for any; WrongSetting if it cannot be used."""

    title: str
    of: Callable[[Mapping[str, Any], Iterable[str] | None], Renderer]
    settings: tuple[Setting, ...] = ()


_JSON = PlainFormat("application/json", encode)
_FLAT = PlainFormat(flat.CONTENT_TYPE, flat.render)
_FORM = PlainFormat(form.CONTENT_TYPE, form.render)
FORMATS: dict[str, PayloadFormat] = {
    "json": PayloadFormat("Leadhook JSON", lambda options, fields: _JSON),
    "flat": PayloadFormat("Flat JSON", lambda options, fields: _FLAT),
    "form": PayloadFormat("Form-encoded", lambda options, fields: _FORM),
    "cloudevents": PayloadFormat(
        "CloudEvents 1.0", lambda options, fields: CloudEvents.of(options), CloudEvents.SETTINGS
    ),
    "template": PayloadFormat(
        "JSON from a template",
        lambda options, fields: PayloadTemplate.of(
            str(options.get("template") or ""), fields, str(options.get("encode") or "json")
        ),
        PayloadTemplate.SETTINGS,
    ),
}
