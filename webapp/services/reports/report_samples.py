"""Made-up reports for /docs/error-reports, rendered from the same templates as real reports."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from webapp.config import REPORT_WINDOW, RETRY_SCHEDULE
from webapp.models import DeliveryState, ReportKind
from webapp.services.mail import mails
from webapp.services.reports import report_texts
from webapp.services.reports.report_words import Failures, ReportedLead
from webapp.webhooks.advice import with_step
from webapp.webhooks.outcome import NO_ANSWER

ADDRESS = "https://leads.brightwater.example"
TITLES = {
    ReportKind.FAILED: (
        "A webhook is failing",
        "Sent within seconds of the first failure. Later failures are collected and sent at the end of a window.",
    ),
    ReportKind.GAVE_UP: (
        "Leadhook gave up on leads",
        "Sent when all automatic attempts for leads have failed. They stay in Leadhook and can be retried by hand.",
    ),
    ReportKind.RECOVERED: (
        "A webhook has recovered",
        "Sent after a whole window in which the receiver accepted leads and no lead failed.",
    ),
    ReportKind.PAUSED: (
        "A webhook was paused",
        "Sent when the receiver answers 410 Gone, or when every attempt has failed for five days.",
    ),
}


@dataclass(frozen=True)
class Sample:
    """A report as its recipient sees it. `when` says when it is sent."""

    kind: ReportKind
    title: str
    when: str
    subject: str
    text: str
    html: str

    @property
    def name(self) -> str:
        """Its name in URLs: failed, gave-up, recovered, paused."""
        return self.kind.replace("_", "-")


def sample(kind: ReportKind) -> Sample:
    """The sample report of a kind."""
    title, when = TITLES[kind]
    return Sample(kind, title, when, *mails.render(report_texts.TEMPLATES[kind], ADDRESS, **_context(kind)))


def _context(kind: ReportKind) -> dict[str, Any]:
    about = {
        "interface_name": "Request a quote",
        "webhook": "",
        "webhook_id": "",
        "interface_id": "if_3Rb9nW7kLeQz",
        "account_name": "Brightwater Solar",
        "url": "https://hooks.brightwater.example/…",
        "others": False,
    }
    if kind == ReportKind.RECOVERED:
        return {**about, "since": "14:58 UTC on 23 November 2026", "left": 2}
    if kind == ReportKind.PAUSED:
        return {**about, "reason": "The receiver answered 410 Gone: it wants no more leads at this address."}
    schedule = tuple(map(float, RETRY_SCHEDULE.split(",")))
    failures = _gave_up() if kind == ReportKind.GAVE_UP else _failed()
    return report_texts.of_failures(failures, about, schedule, float(REPORT_WINDOW.split(",")[0]))


def _failed() -> Failures:
    at = datetime(2026, 11, 23, 13, 58, tzinfo=UTC)
    leads = (
        ("lead_01kyc5m2r7h9s4q8x0d3f6g1zt", 0, 503, "Service Unavailable: upstream is restarting"),
        ("lead_01kyc4v9w3n5k7p9t2v4x6z8qa", 7, 502, "Bad Gateway"),
        ("lead_01kyc4q16b2c4f8h0j3m5r7s9w", 14, NO_ANSWER, with_step("Timed out: no complete response within 15 s")),
    )
    return _failures(at, leads, DeliveryState.PENDING, at + timedelta(minutes=34))


def _gave_up() -> Failures:
    at = datetime(2026, 11, 23, 10, 23, tzinfo=UTC)
    leads = (
        ("lead_01ky8x3f5r9t1v4w6y8za2b4c6", 0, 422, '{"error": "postcode is required"}'),
        ("lead_01ky8w1d7g9j2k4m6n8p0q3s5t", 71, 422, '{"error": "phone is not valid"}'),
    )
    return _failures(at, leads, DeliveryState.FAILED, None)


def _failures(
    at: datetime, leads: tuple[tuple[str, int, int, str], ...], state: DeliveryState, next_at: datetime | None
) -> Failures:
    newest = [
        ReportedLead(lead, at - timedelta(minutes=minutes), code, response, state)
        for lead, minutes, code, response in leads
    ]
    return Failures(len(newest), newest[-1].at, newest[0].at, newest, {state: len(newest)}, next_at, newest[0].at)
