"""The sentences of error reports, and the part of an answer that they may quote."""

from datetime import UTC, datetime

import pytest
from flask import Flask

from webapp.models import DeliveryState, ReportKind
from webapp.services.reports import report_words, reports
from webapp.services.reports.report_words import Failures, ReportedLead, excerpt, webhook_name, what_next


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("Bad\r\n\tGateway\0", "Bad Gateway"),
        ("<html><head><style>b{}</style></head><body><h1>502 Bad&nbsp;Gateway</h1></body></html>", "502 Bad Gateway"),
        ("x" * 500, "x" * 159 + "…"),
        ("no mail for ada@example.com today", "no mail for ••• today"),
        ("Dear Ada Lovelace", "Dear •••"),
        ("hello Ada!", "hello •••!"),
        ("name=Ada+Lovelace&x=1", "name=•••&x=1"),
        (r'{"name": "Zo\u00eb"}', '{"name": "•••"}'),
        ("message too long: I would like to…", "message too long: •••…"),
        ("call 15550100 back", "call ••• back"),
    ],
)
def test_an_excerpt_is_one_line_without_markup_and_visitors_data(response: str, expected: str) -> None:
    visitor = ["Ada Lovelace", "Zoë", "I would like to know more", "+1 555 0100", None, ""]
    assert excerpt(response, visitor) == expected


def at(hour: int, minute: int, day: int = 23) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (at(13, 44), at(13, 44), "at 13:44 UTC on 23 November 2026"),
        (at(13, 44), at(13, 58), "between 13:44 and 13:58 UTC on 23 November 2026"),
        (at(23, 50, 22), at(0, 10), "between 23:50 UTC on 22 November 2026 and 00:10 UTC on 23 November 2026"),
    ],
)
def test_a_period_names_its_day_once(first: datetime, last: datetime, expected: str) -> None:
    assert report_words.period(first, last) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(600, "10 minutes"), (3600, "hour"), (21600, "6 hours"), (86400, "24 hours"), (2, "2 seconds"), (0.5, "second")],
)
def test_a_duration_can_follow_the_words_the_next(seconds: float, expected: str) -> None:
    assert report_words.duration(seconds) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://ada:secret@crm.example.com/leads?key=secret", "https://crm.example.com/…"),
        ("https://hooks.zapier.com/hooks/catch/123/abc/", "https://hooks.zapier.com/…"),
        ("https://crm.example.com:8443/", "https://crm.example.com:8443"),
        ("", "its Lead Webhook URL"),
        (None, "its Lead Webhook URL"),
    ],
)
def test_a_webhook_is_named_by_its_url_without_secrets(url: str | None, expected: str) -> None:
    assert webhook_name(url) == expected


def test_the_samples_are_one_of_each_kind_and_contain_no_visitors_data(app: Flask) -> None:
    samples = reports.sample_reports()
    assert [sample.kind for sample in samples] == list(ReportKind)
    assert samples[0].subject == "Webhook failing: Request a quote, 3 leads"
    assert "with at most 8 attempts in about 28 hours" in samples[0].text.replace("\n", " ")
    for sample in samples:
        assert "https://leads.brightwater.example/" in sample.text
        assert "https://leads.brightwater.example/" in sample.html
        assert "@" not in sample.text


def failures_of(next_at: datetime | None = None, **states: int) -> Failures:
    numbers = {DeliveryState(state): number for state, number in states.items()}
    lead = ReportedLead("lead_1", at(13, 58), 503, "", DeliveryState.PENDING)
    return Failures(sum(states.values()), at(13, 44), at(13, 58), [lead], numbers, next_at, at(14, 0))


@pytest.mark.parametrize(
    ("failures", "retries", "expected"),
    [
        (
            failures_of(at(14, 32), pending=3),
            True,
            "Each lead is retried automatically, next at 14:32 UTC, with at most 3",
        ),
        (
            failures_of(at(14, 0), pending=1),
            True,
            "The lead is retried automatically, next within a minute",
        ),
        (failures_of(at(2, 0, 24), pending=2), True, "next at 02:00 UTC on 24 November 2026"),
        (
            failures_of(pending=2, delivered=1),
            True,
            "1 lead has been delivered since. 2 leads are retried automatically",
        ),
        (
            failures_of(failed=2),
            True,
            "None of them is retried automatically. Once the receiver works again, press",
        ),
        (failures_of(failed=1), True, "The lead is not retried automatically."),
        (
            failures_of(failed=1),
            False,
            "Automatic retries are off for this webhook, so Leadhook does not retry.",
        ),
        (failures_of(held=2), True, "All of them are held until the webhook is repaired or resumed."),
        (failures_of(delivered=2), True, "All of them have been delivered since. There is nothing left to do."),
    ],
)
def test_it_says_what_happens_next(failures: Failures, retries: bool, expected: str) -> None:
    assert expected in what_next(failures, (5, 300) if retries else ())
