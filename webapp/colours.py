"""Readable colours: the contrast of WCAG 2.2, and an accent changed as little as needed to reach it."""

import re

LIGHT, DARK = "#ffffff", "#12151c"  # the backgrounds of forms, --lf-bg in form.css
TEXT, PART = 4.5, 3.0  # WCAG's minimum contrast for text, and for parts of the user interface

Rgb = tuple[float, float, float]


def is_colour(text: str) -> bool:
    """Whether the text is #rrggbb in lower case."""
    return re.fullmatch(r"#[0-9a-f]{6}", text) is not None


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, from 1 (the same) to 21 (black and white)."""
    first, second = sorted((_luminance(_rgb(one)), _luminance(_rgb(other))))
    return (second + 0.05) / (first + 0.05)


def readable(colour: str, ground: str, ratio: float) -> str:
    """The colour, mixed with just enough black or white to have the contrast `ratio` against `ground`."""
    away = "#000000" if contrast("#000000", ground) > contrast("#ffffff", ground) else "#ffffff"
    for percent in range(0, 101, 2):
        mixed = _mix(colour, away, percent / 100)
        if contrast(mixed, ground) >= ratio:
            return mixed
    return away


def on(colour: str) -> str:
    """The text colour on this colour: white if its contrast is enough, otherwise black.

    One of them always has a contrast of at least 4.58.
    """
    return "#ffffff" if contrast("#ffffff", colour) >= TEXT else "#000000"


def _rgb(colour: str) -> Rgb:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _luminance(rgb: Rgb) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _mix(colour: str, other: str, share: float) -> str:
    pairs = zip(_rgb(colour), _rgb(other), strict=True)
    return "#" + "".join(f"{round((mine * (1 - share) + theirs * share) * 255):02x}" for mine, theirs in pairs)
