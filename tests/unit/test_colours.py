"""Every accent has enough contrast, on light and on dark backgrounds."""

from hypothesis import given
from hypothesis import strategies as st

from webapp.colours import DARK, LIGHT, PART, TEXT, contrast, on, readable

COLOURS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


def test_contrast_is_wcags() -> None:
    assert contrast("#000000", "#ffffff") == 21
    assert contrast("#777777", "#777777") == 1
    assert round(contrast("#767676", "#ffffff"), 2) == 4.54, "the well-known lightest grey that passes on white"


@given(COLOURS, st.sampled_from([LIGHT, DARK]))
def test_any_accent_becomes_readable(accent: str, ground: str) -> None:
    fill = readable(accent, ground, PART)
    assert contrast(fill, ground) >= PART
    assert contrast(on(fill), fill) >= TEXT
    assert contrast(readable(accent, ground, TEXT), ground) >= TEXT


def test_a_colour_that_can_be_read_is_left_alone() -> None:
    assert readable("#2f54d0", LIGHT, TEXT) == "#2f54d0"
