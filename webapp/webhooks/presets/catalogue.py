"""The presets by name. Each is a JSON file beside this one, with nothing but data: see docs/payloads.md."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class Preset:
    """`url`: what an address of the service looks like. `query`: parameters that the address must have. `fill_in`:
    words in the URL and the template that the operator replaces, and what with. `format`, `template` and `encode`: as
    formats/choices.py takes them. `answer`: as success_rules.py stores it. `authentication`: the usual one, if any,
    with the name of its header. `limits`, `source` and `checked` (a date): where all of it comes from."""

    name: str
    title: str
    url: str
    format: str
    answer: Mapping[str, Any]
    limits: str
    source: str
    checked: str
    template: str = ""
    encode: str = "json"
    authentication: str = ""
    header_name: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    fill_in: Mapping[str, str] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, str]:
        """What formats/choices.py takes."""
        return {"template": self.template, "encode": self.encode} if self.format == "template" else {}

    def url_of(self, given: str) -> str:
        """The address with the parameters that the service needs, such as wait=true for Discord."""
        parts = urlsplit(given)
        present = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        more = [f"{name}={value}" for name, value in self.query.items() if name not in present]
        return urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, *more])))) if more else given

    def left_to_fill_in(self, url: str, template: str) -> list[str]:
        """What the operator still has to replace, in words."""
        return [words for word, words in self.fill_in.items() if word in url or word in template]


def _read(path: Path) -> Preset:
    stored = json.loads(path.read_text(encoding="utf-8"))
    if "template" in stored:
        stored["template"] = json.dumps(stored["template"], ensure_ascii=False, indent=2)
    return Preset(name=path.stem, **stored)


PRESETS: dict[str, Preset] = {path.stem: _read(path) for path in sorted(Path(__file__).parent.glob("*.json"))}


def completed(url: str | None, name: object) -> str | None:
    """The URL with what the service of this preset needs in it, such as wait=true for Discord."""
    preset = PRESETS.get(name) if isinstance(name, str) else None
    return preset.url_of(url) if preset and url else url
