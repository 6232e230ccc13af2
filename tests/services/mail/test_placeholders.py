"""Placeholders are only names."""

import pytest

from webapp.services.mail.placeholders import fill, unknown


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("Hello {{ name }}, {{name}}!", "Hello Ada, Ada!"),
        ("{{ unknown }}x", "x"),
        ("{{ lead.link }}", "https://l.example"),
        ("{ name } {{ name } {{", "{ name } {{ name } {{"),
        ("{{ 7 * 7 }}{{ name|upper }}{{ name.__class__ }}{% if name %}", "{% if name %}"),
        ("{{{ name }}}", "{Ada}"),
        ("{{\nname }}", "{{\nname }}"),
    ],
)
def test_names_are_replaced_and_no_code_is_run(text: str, filled: str) -> None:
    assert fill(text, {"name": "Ada", "lead.link": "https://l.example"}) == filled


def test_a_filled_in_value_is_not_filled_in_again() -> None:
    assert fill("{{ a }}{{ b }}", {"a": "{{ b }}", "b": "{{ a }}"}) == "{{ b }}{{ a }}"


def test_an_unknown_placeholder_is_listed_once_as_it_was_written() -> None:
    assert unknown("{{ name }} {{ nme }} {{nme2}} {{ nme }} {{ }}", {"name": "Name"}) == [
        "{{ nme }}",
        "{{nme2}}",
        "{{ }}",
    ]
