"""JSON whose parts know where they stand in the source, so that a mistake can be shown by line, column and path."""

import json
import json.decoder
import json.scanner
from typing import Any

from webapp.webhooks.settings import WrongSetting

MAX_SOURCE = 20_000  # characters
MAX_DEPTH = 40  # lists and objects in one another
MAX_WHOLE = 2**53 - 1  # JavaScript changes the digits of larger numbers


class WrongTemplate(WrongSetting):
    """A template that cannot be used. `line` and `column` begin at 1; `path` is such as blocks[0].text, or ""."""

    def __init__(self, sentence: str, source: str, offset: int, path: str = "") -> None:
        self.line, self.column, self.path = *line_and_column(source, offset), path
        super().__init__(f"{place_words(source, offset, path)}: {sentence}", "template")


class PlacedText(str):
    """A text and where it begins in the source, after its quotation mark."""

    at: int


class PlacedObject(dict[str, Any]):
    """An object and where its bracket is in the source. `twice`: a key that it has more than once."""

    at: int
    twice = ""


def line_and_column(source: str, offset: int) -> tuple[int, int]:
    return source.count("\n", 0, offset) + 1, offset - (source.rfind("\n", 0, offset) + 1) + 1


def place_words(source: str, offset: int, path: str = "") -> str:
    line, column = line_and_column(source, offset)
    return f"Line {line}, column {column}" + (f", in {path}" if path else "")


def parsed(source: str) -> Any:
    """JSON's value, with texts as PlacedText and objects as PlacedObject. WrongTemplate for what is no JSON."""
    if len(source) > MAX_SOURCE:
        sentence = f"A template can have at most {MAX_SOURCE:,} characters. This one has {len(source):,}."
        raise WrongTemplate(sentence, source, MAX_SOURCE)
    try:
        return _PlacedDecoder().decode(source)
    except json.JSONDecodeError as error:
        raise WrongTemplate(f"This is no JSON: {error.msg}.", source, error.pos) from error
    except RecursionError as error:
        raise WrongTemplate(f"At most {MAX_DEPTH} lists and objects can be in one another.", source, 0) from error


def offset_of(source: str, text: PlacedText, index: int) -> int:
    """Where the character of that index stands in the source: one that is escaped there takes more than one."""
    at = text.at
    for _ in range(index):
        if source[at] != "\\":
            at += 1
        elif source[at + 1] != "u":
            at += 2
        else:
            at += 12 if _is_pair(source, at) else 6
    return at


def _is_pair(source: str, at: int) -> bool:
    first, second = source[at + 2 : at + 6].lower(), source[at + 6 : at + 12].lower()
    return "d800" <= first <= "dbff" and second[:2] == "\\u" and "dc00" <= second[2:] <= "dfff"


class _PlacedDecoder(json.JSONDecoder):
    """Python's own decoder, in its version in Python, which can be told what to make of texts and objects."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=self._object, parse_int=self._whole, parse_constant=self._constant)
        self.parse_float = self._decimal
        self.parse_string = self._text
        self.parse_object = self._placed_object
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]

    def decode(self, source: str) -> Any:  # type: ignore[override]
        self._source = source
        return super().decode(source)

    def _text(self, source: str, begin: int, strict: bool) -> tuple[PlacedText, int]:
        value, end = json.decoder.scanstring(source, begin, strict)  # type: ignore[attr-defined]
        text = PlacedText(value)
        text.at = begin
        return text, end

    def _placed_object(self, where: tuple[str, int], *rest: Any) -> tuple[PlacedObject, int]:
        found, end = json.decoder.JSONObject(where, *rest)  # type: ignore[attr-defined]
        found.at = where[1] - 1
        if found.twice:
            raise json.JSONDecodeError(f"The key “{found.twice[:40]}” stands twice in this object", where[0], found.at)
        return found, end

    def _object(self, pairs: list[tuple[str, Any]]) -> PlacedObject:
        found = PlacedObject()
        for key, value in pairs:
            found.twice = found.twice or (key if key in found else "")
            found[key] = value
        return found

    def _whole(self, digits: str) -> int:
        if len(digits) > 20 or abs(int(digits)) > MAX_WHOLE:
            raise self._unfit(digits)
        return int(digits)

    def _decimal(self, digits: str) -> float:
        number = float(digits)
        if number - number:
            raise self._unfit(digits)
        return number

    def _constant(self, name: str) -> Any:
        raise self._unfit(name)

    def _unfit(self, written: str) -> json.JSONDecodeError:
        place = max(self._source.find(written), 0)
        return json.JSONDecodeError(f"The number {written[:30]} does not fit: write it as text", self._source, place)
