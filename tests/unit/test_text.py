"""Text that people type is validated before it is stored."""

import pytest

from webapp import text


@pytest.mark.parametrize(
    "typed",
    [
        "Contact sales",
        "Ventes & conseil <b>",
        "اتصل بنا",
        "צור קשר",
        "👩‍🚀 Rockets 🚀",
        "お問い合わせ",
        "’; DROP TABLE leads; --",
    ],
)
def test_any_script_and_emoji_are_kept_as_typed(typed: str) -> None:
    assert text.line(f"  {typed} ", "The name", 200) == typed


def test_accents_are_composed_so_that_the_same_name_is_the_same() -> None:
    assert text.line("Cafe\u0301", "The name", 200) == "Caf\u00e9"


@pytest.mark.parametrize("typed", ["a\x00b", "a\nBcc: x@example.com", "a\tb", "a\x7fb", "a\u2028b", "a\ud800b"])
def test_characters_that_would_break_a_line_are_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="The name contains a line break or an invisible control character"):
        text.line(typed, "The name", 200)


@pytest.mark.parametrize("typed", ["", "   ", "\u200b", "\u200d\u2060", "\u00a0"])
def test_an_invisible_name_counts_as_empty(typed: str) -> None:
    with pytest.raises(ValueError, match="The name cannot be empty"):
        text.line(typed, "The name", 200)


def test_the_error_names_the_limit_and_the_length() -> None:
    assert text.line("x" * 200, "The name", 200)
    with pytest.raises(ValueError, match=r"at most 200 characters; this has 201\."):
        text.line("x" * 201, "The name", 200)


def test_several_lines_keep_their_breaks_in_one_form() -> None:
    assert text.lines("one\r\ntwo\rthree\n", "The introduction", 100) == "one\ntwo\nthree"
    assert text.lines("", "The introduction", 100) == ""
    with pytest.raises(ValueError, match="invisible control character"):
        text.lines("one\x00two", "The introduction", 100)


def test_addresses_are_comma_separated_without_duplicates() -> None:
    assert text.addresses(" sales@example.com, Ada@Example.com,,sales@example.com , ") == [
        "sales@example.com",
        "Ada@example.com",
    ]
    assert text.addresses("") == []


@pytest.mark.parametrize(
    "typed",
    [
        "nonsense",
        "a@b",
        "a@example.com; b@example.com",
        "a@example.com\nBcc: b@example.com",
        "a@example.com\r\n\r\nbody",
        "Ada <ada@example.com>",
        "ünï@example.com",
        "a\x00@example.com",
        "a@example.com, nonsense",
        "a" * 300 + "@example.com",
    ],
)
def test_text_that_could_break_a_mail_header_is_not_an_address(typed: str) -> None:
    with pytest.raises(ValueError, match="is not an e-mail address"):
        text.addresses(typed)


def test_the_address_that_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match="“nonsense” is not an e-mail address"):
        text.addresses("a@example.com, nonsense, b@example.com")


def test_international_domains_become_ascii() -> None:
    assert text.addresses("post@bücher.example") == ["post@xn--bcher-kva.example"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://crm.example.com/leads", "https://crm.example.com/leads"),
        ("https://ada:secret@crm.example.com:8443/leads/?key=secret#secret", "https://crm.example.com:8443/leads/"),
        ("http://a@b@crm.example.com?key=secret", "http://crm.example.com"),
        ("https://[2001:db8::1]:8443/leads", "https://[2001:db8::1]:8443/leads"),
        ("https://crm.example.com/" + "x" * 300, "https://crm.example.com/" + "x" * 300),
    ],
)
def test_a_bare_url_has_scheme_host_and_path_and_no_secret(url: str, shown: str) -> None:
    assert text.bare_url(url) == shown


def test_a_list_has_at_most_twenty_addresses() -> None:
    with pytest.raises(ValueError, match="at most 20 addresses"):
        text.addresses(",".join(f"a{number}@example.com" for number in range(21)))
