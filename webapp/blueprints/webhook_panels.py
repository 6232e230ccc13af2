"""What pages show of a webhook beside its settings: the verdict on its receiver, its queue, a shadow's comparison."""

from dataclasses import dataclass

from webapp.models import Webhook
from webapp.services.leads import examining
from webapp.services.webhooks import backlog, editing, shadowing
from webapp.services.webhooks.backlog import Backlog
from webapp.services.webhooks.shadowing import Comparison


@dataclass(frozen=True)
class Panels:
    """`examined`: the verdict, None if there is none. `comparison`, `first_waiting`: of a shadow; the second one is how
    many leads wait at the first webhook."""

    can_be_examined: bool
    warning: str
    examined: examining.Seen | None
    backlog: Backlog | None
    comparison: Comparison | None
    first_waiting: int


def of(webhook: Webhook) -> Panels:
    return Panels(
        examining.can_be_examined(webhook),
        examining.WARNING,
        examining.seen(webhook),
        backlog.of(webhook),
        shadowing.compare(webhook) if webhook.is_shadow else None,
        editing.waiting(webhook.interface.webhook) if webhook.is_shadow else 0,
    )
