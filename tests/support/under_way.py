"""A batch that is sent, and not recorded yet: what comes in between is the test's."""

from webapp.delivery import lanes
from webapp.delivery.sending import Sending
from webapp.extensions import db


class UnderWay:
    """Takes the webhook's lane, and sends what is due."""

    def __init__(self, webhook_id: int) -> None:
        db.session.rollback()  # a transaction of ours would lock it out on SQLite
        hold = lanes._take(webhook_id)
        assert hold
        batch = lanes._first_batch(hold)
        assert batch
        self.hold, self.batch, self.sent = hold, batch, Sending(batch, lambda: False)
        self.sent.run()

    def record(self, keeps: bool = False) -> None:
        """Records it, as often as it is called; `keeps`: the lane stays locked."""
        db.session.rollback()
        (lanes.record_part if keeps else lanes.record_last)(self.hold, self.batch, self.sent)
