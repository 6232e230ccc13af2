"""Every word of the public form that is not an interface's name, introduction, thank-you or question.

An interface keeps those that differ (`Interface.texts`). What stands in {braces} is filled in; nothing else is special,
and no code is run.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from webapp import text
from webapp.services.errors import refusing


class FormText(NamedTuple):
    name: str
    title: str  # what it is called in the settings
    default: str
    may_be_empty: bool = False
    lines: bool = False


SHOWN = (
    FormText("button", "Button", "Send"),
    FormText("optional", "Mark of an optional question", "(optional)", may_be_empty=True),
    FormText("required", "Mark of a required question", "", may_be_empty=True),
    FormText("choose", "First line of a select", "Choose…"),
    FormText("fine_print", "Under the button", "Your answers go to {account}.", may_be_empty=True),
    FormText("thank_you_title", "Title of the thank-you", "Your answers were sent"),
    FormText("onward", "Link to your page, inside a frame", "Continue"),
    FormText("closed_title", "Title of the closed form", "This form is closed"),
    FormText("blocked_title", "Title for a blocked sender who is told", "Your answers were not taken"),
    FormText("blocked", "Message to a blocked sender", "Your answers cannot be taken here.", lines=True),
    FormText("closed", "Message of the closed form", "No answers are taken here at the moment.", lines=True),
)
FAULTS = (
    FormText("error", "Before the page’s title, when something is wrong", "Error"),
    FormText("errors_one", "Summary, one answer", "One answer needs another look"),
    FormText("errors_many", "Summary, several answers", "{number} answers need another look"),
    FormText("needed", "Nothing was answered", "{label} is needed."),
    FormText("choice", "Not one of the options", "Choose from the answers that are offered."),
    FormText("too_long", "Too long", "{label} is too long: {number} characters, of which {limit} can be taken."),
    FormText("too_short", "Too short", "{label} is too short: it needs at least {limit} characters."),
    FormText(
        "email", "No email address", "This is not an e-mail address that mail can reach. Please check it for slips."
    ),
    FormText("email_at", "Email without @", "This address is not complete: it needs an @, as in name@example.com."),
    FormText("email_dot", "Email without a dot", "This address is not complete: the part after @ needs a dot."),
    FormText(
        "phone",
        "No phone number",
        "This is not a phone number. Write digits only, with country code: +44 20 7946 0958.",
    ),
    FormText("number", "No number", "This is not a number. Write digits only, such as 1250 or 12.5."),
    FormText("date", "No date", "This is not a date. Write year, month and day: 2027-03-31."),
    FormText("url", "No web address", "This is not the address of a page. Write it like this: https://example.com"),
    FormText("least", "Number too small", "{label} must be {limit} or more."),
    FormText("most", "Number too large", "{label} must be {limit} or less."),
    FormText("earliest", "Date too early", "{label} must be {limit} or later."),
    FormText("latest", "Date too late", "{label} must be {limit} or earlier."),
    FormText("consent", "Consent not given", "Please tick this box. Without it your answers cannot be taken."),
    FormText(
        "consent_changed",
        "Consent reworded meanwhile",
        "The wording has changed just now. Please read it and tick again.",
    ),
)
ALL = (*SHOWN, *FAULTS)
DEFAULTS: Mapping[str, str] = {each.name: each.default for each in ALL}
LIMIT = 300  # characters


def of(interface: Any) -> Mapping[str, str]:
    """All texts of an interface's form by name."""
    return {**DEFAULTS, **(interface.texts or {})}


def fill(sentence: str, **values: object) -> str:
    """The sentence with {name} replaced; numbers with thousands separators. Braces of other names stay."""
    for name, value in values.items():
        sentence = sentence.replace(f"{{{name}}}", f"{value:,}" if isinstance(value, int) else str(value))
    return sentence


def checked(given: Mapping[str, str]) -> dict[str, str]:
    """What of `given` (by name; some may be missing) is to be kept: what differs. An empty one that may not be so
    becomes the default. Refused for a text that cannot be kept."""
    kept = {}
    for each in ALL:
        with refusing(each.name):
            take = text.lines if each.lines else text.line
            words = take(given.get(each.name, each.default), each.title, LIMIT, required=False)
        if words != each.default and (words or each.may_be_empty):
            kept[each.name] = words
    return kept
