"""The texts of the public form, except an interface's name, introduction, thank-you message and questions.

An interface stores only the texts that differ from the defaults (`Interface.texts`). A {name} in braces is filled in;
nothing else is special, and no code runs.
"""

from collections.abc import Mapping
from typing import NamedTuple

from webapp import text
from webapp.models import Interface
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
    FormText("file_limits", "Under a file control", "{types}; up to {size}", may_be_empty=True),
    FormText(
        "files_limits", "Under a control for several files", "{types}; up to {limit} files of {size}", may_be_empty=True
    ),
    FormText("file_kept", "A file that was added before", "Keep {file} ({size})"),
    FormText("fine_print", "Under the button", "Your answers go to {account}.", may_be_empty=True),
    FormText("thank_you_title", "Title of the thank-you", "Your answers were sent"),
    FormText("onward", "Link to your page, inside a frame", "Continue"),
    FormText("closed_title", "Title of the closed form", "This form is closed"),
    FormText("blocked_title", "Title for a blocked sender who is told", "Your answers were not taken"),
    FormText("blocked", "Message to a blocked sender", "You cannot send answers here.", lines=True),
    FormText("closed", "Message of the closed form", "This form does not take answers at the moment.", lines=True),
)
FAULTS = (
    FormText("error", "Before the page’s title, when something is wrong", "Error"),
    FormText("errors_one", "Summary, one answer", "One answer needs another look"),
    FormText("errors_many", "Summary, several answers", "{number} answers need another look"),
    FormText("nothing", "Summary, the whole form is empty", "Nothing is filled in yet. Please answer a question."),
    FormText("needed", "Nothing was answered", "{label} is needed."),
    FormText("choice", "Not one of the options", "Choose only from the answers on the form."),
    FormText("too_long", "Too long", "{label} is too long: it has {number} characters, and the limit is {limit}."),
    FormText("too_short", "Too short", "{label} is too short: it needs at least {limit} characters."),
    FormText(
        "email", "No email address", "This is not an e-mail address that mail can reach. Please check the spelling."
    ),
    FormText("email_at", "Email without @", "This address is not complete: it needs an @, as in name@example.com."),
    FormText("email_dot", "Email without a dot", "This address is not complete: the part after @ needs a dot."),
    FormText(
        "phone",
        "No phone number",
        "This is not a phone number. Write it with its country code, such as +44 20 7946 0958.",
    ),
    FormText("number", "No number", "This is not a number. Write digits only, such as 1250 or 12.5."),
    FormText(
        "number_unclear",
        "Number with two readings",
        "This can mean {first} or {second}. Write it without a sign for thousands.",
    ),
    FormText("date", "No date", "This is not a date. Write year, month and day: 2027-03-31."),
    FormText(
        "date_unclear", "Date with two readings", "This can mean {first} or {second}. Write it in one of these ways."
    ),
    FormText(
        "date_range",
        "Year that cannot be meant",
        "{label} must be from {first} to {last}. Please check the year: it has four digits.",
    ),
    FormText("url", "No web address", "This is not the address of a page. Write it like this: https://example.com"),
    FormText("least", "Number too small", "{label} must be {limit} or more."),
    FormText("most", "Number too large", "{label} must be {limit} or less."),
    FormText("earliest", "Date too early", "{label} must be {limit} or later."),
    FormText("latest", "Date too late", "{label} must be {limit} or earlier."),
    FormText("file_type", "File of another type", "{file} cannot be added. Choose one of these: {types}."),
    FormText(
        "file_content", "File whose content is another type", "{file} is not the kind of file that its name says."
    ),
    FormText("file_size", "File too large", "{file} is too large: it has {size}, and the limit is {limit}."),
    FormText("file_empty", "Empty file", "{file} is empty. Please check the file, and choose it again."),
    FormText("file_many", "Too many files", "You can add at most {limit} here, and {number} were chosen."),
    FormText("file_gone", "File no longer kept", "The file that you added before is no longer here. Choose it again."),
    FormText("file_text", "Something that is not a file", "{label} must be a file, sent as multipart/form-data."),
    FormText("consent", "Consent not given", "Please tick this box. Without it you cannot send your answers."),
    FormText(
        "consent_changed",
        "Consent reworded meanwhile",
        "The wording has changed just now. Please read it and tick again.",
    ),
)
ALL = (*SHOWN, *FAULTS)
DEFAULTS: Mapping[str, str] = {each.name: each.default for each in ALL}
LIMIT = 300  # characters


def of(interface: Interface) -> Mapping[str, str]:
    """All texts of an interface's form, by name."""
    return {**DEFAULTS, **(interface.texts or {})}


def fill(sentence: str, **values: object) -> str:
    """The sentence with each {name} of `values` replaced; whole numbers get thousands separators. Other braces stay."""
    for name, value in values.items():
        sentence = sentence.replace(f"{{{name}}}", f"{value:,}" if isinstance(value, int) else str(value))
    return sentence


def checked(given: Mapping[str, str]) -> dict[str, str]:
    """The texts of `given` that differ from the defaults; Refused for a text that cannot be saved.

    `given` is by name and may miss some. An empty text becomes the default unless that text may be empty.
    """
    kept = {}
    for each in ALL:
        with refusing(each.name):
            take = text.lines if each.lines else text.line
            words = take(given.get(each.name, each.default), each.title, LIMIT, required=False)
        if words != each.default and (words or each.may_be_empty):
            kept[each.name] = words
    return kept
