# pip install standardwebhooks
import os
from typing import Any

from standardwebhooks import Webhook

webhook = Webhook(os.environ["LEADHOOK_SHARED_TOKEN"])


def lead_of(body: bytes, headers: dict[str, str]) -> Any:
    """The lead of a request, given its raw body and its headers.

    Raises WebhookVerificationError for what Leadhook did not send just now: answer 401.
    """
    return webhook.verify(body, headers)["data"]["lead"]
