"""What a webhook can choose is complete: each scheme and each format is stored, shown for itself alone, documented."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import webapp
from tests.support.tree import ROOT
from webapp.models import Authentication
from webapp.services.webhooks import connections
from webapp.webhooks.authentications.bearer import Bearer
from webapp.webhooks.authentications.schemes import SCHEMES, SIGNED
from webapp.webhooks.formats.choices import FORMATS
from webapp.webhooks.settings import Setting

STYLES = Path(webapp.__file__).parent / "static" / "app.css"
PAGE = ROOT / "docs" / "webhooks.md"
ON_THE_FAST_PATH = {Authentication.NONE, Authentication.SHARED_TOKEN}


def what_is_not_stored() -> list[str]:
    """A choice, or one of its settings, that would be lost or refused when it is saved."""
    values = {each.value for each in Authentication}
    faults = [f"{name} is no Authentication" for name in SCHEMES if name not in values]
    faults += [f"{value} has no scheme" for value in values - ON_THE_FAST_PATH - SCHEMES.keys()]
    faults += [f"{name} is signed and no scheme" for name in SIGNED if name not in SCHEMES]
    for name, each in FORMATS.items():
        faults += [f"{name}: {one.name} is not in KEYS" for one in each.settings if one.name not in connections.KEYS]
        faults += [f"{name}: {one.name} would be stored readable" for one in each.settings if one.secret]
    return faults


def what_is_not_hidden() -> list[str]:
    """Settings that the page would show although another scheme or format is chosen."""
    styles = STYLES.read_text()
    shown = [("authentication", "auth", name) for name, each in SCHEMES.items() if each.SETTINGS]
    shown += [("format", "format", name) for name, each in FORMATS.items() if each.settings]
    return [
        f"app.css does not hide .when-{kind}-{name}"
        for control, kind, name in shown
        if f"form:not(:has(#{control} [value={name}]:checked)) .when-{kind}-{name}" not in styles
    ]


def what_is_not_documented() -> list[str]:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(("| `--auth`", "| `--format`"))]
    return [f"{name} is not in {PAGE.name}" for name in (*SCHEMES, *FORMATS) if f"`{name}`" not in " ".join(rows)]


def test_every_choice_is_stored() -> None:
    assert what_is_not_stored() == []


def test_the_settings_of_a_choice_are_shown_for_it_alone() -> None:
    assert what_is_not_hidden() == []


def test_every_choice_is_documented() -> None:
    assert what_is_not_documented() == []


@dataclass(frozen=True)
class Planted:
    """A choice that only a part of the house knows."""

    scheme: str = ""
    format_setting: Setting | None = None
    lost: str = ""


@pytest.mark.parametrize(
    ("planted", "words"),
    [
        (Planted(scheme="digest"), "digest is no Authentication"),
        (Planted(scheme="digest"), "app.css does not hide .when-auth-digest"),
        (Planted(scheme="digest"), "digest is not in webhooks.md"),
        (Planted(format_setting=Setting("root", "Root")), "flat: root is not in KEYS"),
        (Planted(format_setting=Setting("root", "Root")), "app.css does not hide .when-format-flat"),
        (Planted(format_setting=Setting("source", "Source", secret=True)), "flat: source would be stored readable"),
        (Planted(lost="bearer"), "bearer has no scheme"),
        (Planted(lost="v1a"), "v1a is signed and no scheme"),
    ],
)
def test_a_forgotten_step_is_found(monkeypatch: pytest.MonkeyPatch, planted: Planted, words: str) -> None:
    if planted.scheme:
        monkeypatch.setitem(SCHEMES, planted.scheme, Bearer)
    if planted.format_setting:
        monkeypatch.setitem(FORMATS, "flat", replace(FORMATS["flat"], settings=(planted.format_setting,)))
    if planted.lost:
        monkeypatch.delitem(SCHEMES, planted.lost)
    assert words in (*what_is_not_stored(), *what_is_not_hidden(), *what_is_not_documented())
