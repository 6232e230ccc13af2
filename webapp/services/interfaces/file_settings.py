"""The settings of a File field: which files, how many, how large, and how long their links work."""

from collections.abc import Mapping
from typing import Any

from webapp.config import current_config
from webapp.services.errors import Refused
from webapp.services.files import kinds
from webapp.services.files.uploads import LARGEST_DEFAULT, MOST_DEFAULT

MOST_TYPES, MOST_FILES, MOST_DAYS = 50, 10, 3650


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """By column of Field, validated; what is not given gets the usual value. Refused with the name of what is wrong."""
    largest = current_config.files_max_mb
    days = f"Write a whole number of days, from 1 to {MOST_DAYS:,}, or leave it empty."
    return {
        "file_types": _types(str(given.get("file_types") or "")),
        "file_count": _number("file_count", given, MOST_FILES, f"Write a number from 1 to {MOST_FILES}.")
        or MOST_DEFAULT,
        "file_megabytes": _number("file_megabytes", given, largest, f"Write a whole number of MB, from 1 to {largest}.")
        or min(LARGEST_DEFAULT, largest),
        "file_link_days": _number("file_link_days", given, MOST_DAYS, days),
    }


def _types(typed: str) -> list[str]:
    """Groups and endings, each once; "JPG" and "*.jpg" are ".jpg"."""
    words = [word.strip().lower().removeprefix("*") for word in typed.replace(",", "\n").splitlines()]
    found = [word if word in kinds.GROUPS or word.startswith(".") else f".{word}" for word in words if word]
    wrong = next((word for word in found if not kinds.is_known(word)), None)
    if wrong:
        groups = ", ".join(kinds.GROUPS)
        raise Refused(f"“{wrong}” is not one of {groups}, and not an ending such as .dwg.", "file_types")
    if len(found) > MOST_TYPES:
        raise Refused(f"List at most {MOST_TYPES} types.", "file_types")
    return list(dict.fromkeys(found)) or list(kinds.USUAL)


def _number(name: str, given: Mapping[str, Any], most: int, words: str) -> int | None:
    typed = str(given.get(name) or "").strip()
    if not typed:
        return None
    if not (typed.isascii() and typed.isdigit() and 1 <= int(typed[:9]) <= most):
        raise Refused(words, name)
    return int(typed)
