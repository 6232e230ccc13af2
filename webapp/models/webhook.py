"""Where an interface's leads are sent, and the lane that orders its deliveries."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, String, false, true
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.clock import moment, utcnow
from webapp.ids import webhook_id
from webapp.models.account import Account
from webapp.models.api_key import ApiKey
from webapp.models.base import Base, BigId, enum_column, partial_index

if TYPE_CHECKING:
    from webapp.models.interface import Interface


UNNAMED = "Lead Webhook"  # the label of a webhook without a name


class WebhookState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"


class Authentication(StrEnum):
    """All but the first two are names of webhooks/authentications/schemes.py: their settings are in `connection`."""

    NONE = "none"
    SHARED_TOKEN = "shared_token"
    V1A = "v1a"
    METALOCATOR = "metalocator"
    SIGNATURE = "signature"
    BEARER = "bearer"
    BASIC = "basic"
    HEADER = "header"
    QUERY = "query"
    OAUTH2 = "oauth2"


class Webhook(Base):
    """URL, authentication, payload, retries, state. Without a URL it gets no leads.

    The first webhook of an interface is made with it and stays. A webhook without an interface gets the account's
    events: services/webhooks/operational.py.
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        partial_index("ix_webhooks_report_due", "report_due_at", where="report_due_at IS NOT NULL"),
        CheckConstraint("parallel_requests BETWEEN 1 AND 16", name="parallel_requests"),
        partial_index("ix_webhooks_more", "account_id", where="NOT is_first"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True, default=webhook_id)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id))
    interface_id: Mapped[int] = mapped_column(ForeignKey("interfaces.id"), index=True, nullable=True)
    is_first: Mapped[bool] = mapped_column(default=True, server_default=true())  # of its interface
    name: Mapped[str | None] = mapped_column(String(100))
    url: Mapped[str | None] = mapped_column(String(2048))
    authentication: Mapped[Authentication] = enum_column(Authentication, default=Authentication.NONE)
    shared_token_id: Mapped[int | None] = mapped_column(ForeignKey(ApiKey.id), index=True)
    automatic_retries: Mapped[bool] = mapped_column(default=True)
    parallel_requests: Mapped[int] = mapped_column(default=1)
    automatic_parallel: Mapped[bool] = mapped_column(default=True, server_default=false())  # if parallel_requests is 1
    rate: Mapped[int | None]  # requests a second at most; None: no limit
    # What else was set, or None for an ordinary webhook: the keys are those of services/webhooks/connections.py.
    connection: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    secrets_encrypted: Mapped[bytes | None]  # JSON, the secrets of `connection` by their names
    certificate_until: Mapped[datetime | None]  # the end of its client certificate
    certificate_warned_at: Mapped[datetime | None]  # when the account's owner got a mail about that end
    is_shadow: Mapped[bool] = mapped_column(default=False, server_default=false())  # tried beside the others
    maintenance_from: Mapped[float | None]  # epoch seconds: leads are held from then on, and released at the end
    maintenance_until: Mapped[float | None]
    examination: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # what its receiver verifies
    removed_at: Mapped[datetime | None]
    state: Mapped[WebhookState] = enum_column(WebhookState, default=WebhookState.ACTIVE)
    state_reason: Mapped[str] = mapped_column(String(500), default="")  # in words, shown next to Paused
    state_changed_at: Mapped[datetime] = mapped_column(default=utcnow)
    # Error reports: while a window is open, failures wait until it ends (report_due_at, epoch seconds).
    # report_step selects the length of the next window.
    report_due_at: Mapped[float | None]
    report_window_opened_at: Mapped[float | None]
    report_step: Mapped[int] = mapped_column(default=0)

    @property
    def is_automatic(self) -> bool:
        """Whether *Parallel requests* is Automatic. A previous version that serves meanwhile reads it as 1."""
        return self.automatic_parallel and self.parallel_requests == 1

    @property
    def label(self) -> str:
        """Its name for people. The first one needs none."""
        return self.name or UNNAMED

    @property
    def is_verified(self) -> bool:
        """Whether its receiver was seen to verify signatures, with this URL and this secret."""
        return bool(self.url and self.examination and self.examination.get("verified"))

    @property
    def is_quiet(self) -> bool:
        """Whether no report is written about it: a shadow, or the account's own for its events."""
        return self.is_shadow or self.interface_id is None

    interface: Mapped["Interface"] = relationship(back_populates="webhooks")
    shared_token: Mapped[ApiKey | None] = relationship()
    lane: Mapped["Lane"] = relationship(back_populates="webhook")


class Lane(Base):
    """The due deliveries of one webhook, and the lease on them: only the holder of `token` may send them.

    This row is updated with every batch. None of these columns is indexed, so that PostgreSQL can update it in place.
    `lease_until` is epoch seconds by the database's clock, 0 after a release.
    """

    __tablename__ = "lanes"

    webhook_id: Mapped[int] = mapped_column(ForeignKey(Webhook.id), primary_key=True)
    token: Mapped[str | None] = mapped_column(String(40))
    lease_until: Mapped[float] = mapped_column(default=0.0)
    abandoned: Mapped[bool] = mapped_column(default=False)  # the previous holder never released it
    slow_since: Mapped[float | None]  # a send timed out: its jobs go to `slow` until one succeeds
    unended_since: Mapped[float | None]  # its answers stop without an end; None once one ends well
    failures: Mapped[int] = mapped_column(default=0)  # failed automatic tries: delivery/pausing.py
    failing_since: Mapped[float | None]
    failed_at: Mapped[float | None]  # the last of them
    succeeded_at: Mapped[float | None]
    rests_until: Mapped[float | None]  # the end of the last rest that the receiver asked for: delivery/rests.py
    # The rest is not over, or no lead was tried after it.
    tries_first: Mapped[bool] = mapped_column(default=False, server_default=false())

    webhook: Mapped[Webhook] = relationship(back_populates="lane")

    @property
    def resting_until(self) -> datetime | None:
        """The end of the rest that the receiver asked for, for pages, by this host's clock; None if it is over."""
        until = moment(self.rests_until) if self.tries_first and self.rests_until else None
        return until if until and until > utcnow() else None
