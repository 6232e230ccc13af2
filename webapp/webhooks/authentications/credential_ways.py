"""Finds out how a token server wants the client's credentials: by trying, when a person asks for it."""

from collections.abc import Mapping
from time import monotonic
from typing import NamedTuple

from webapp.webhooks.authentications.oauth2 import CREDENTIALS, OAuth2
from webapp.webhooks.authentications.token_answers import NoToken
from webapp.webhooks.authentications.tokens import Asking, fetch
from webapp.webhooks.identities import ClientCertificate
from webapp.webhooks.lookups import NoTurn
from webapp.webhooks.sender import Sender
from webapp.webhooks.settings import WrongSetting

NO_TURN = "The token server could not be asked: too many look-ups of names do not end at the moment. Try again later."


class TriedWay(NamedTuple):
    """`way`: the stored value of the setting `credentials`. `sentence`: why it gave no token; "" if it gave one."""

    way: str
    sentence: str


class Ways(NamedTuple):
    """`works`: the way to store, None if none is right. `tried`: all that were tried, in order.

    Where `works` has a sentence in `tried`, the server knows the client, but refuses another setting.
    """

    works: str | None
    tried: tuple[TriedWay, ...]


def find_the_way(
    sender: Sender,
    webhook_id: int,
    options: Mapping[str, str],
    secrets: Mapping[str, str],
    account: int = 0,
    identity: ClientCertificate | None = None,
) -> Ways:
    """Asks for a token in each way, until one works or the fault is another; within the sender's deadline together.

    WrongSetting if the settings cannot be used at all. No token is kept.
    """
    expires, tried, requests = monotonic() + sender.deadline, [], []
    OAuth2.of({**options, CREDENTIALS.name: "basic"}, secrets)
    for way, _ in CREDENTIALS.choices:
        try:
            scheme = OAuth2.of({**options, CREDENTIALS.name: way}, secrets)
        except WrongSetting as problem:
            tried.append(TriedWay(way, str(problem)))
            continue
        if scheme.token_request() in requests:
            continue  # nothing in these credentials needs encoding
        requests.append(scheme.token_request())
        asking = Asking(webhook_id, scheme, expires, account, identity)
        try:
            fetch(sender, asking, max(expires - monotonic(), 0.05))
        except NoToken as problem:
            tried.append(TriedWay(way, problem.sentence))
            if problem.knows_the_client or not problem.may_be_the_way:
                return Ways(way if problem.knows_the_client else None, tuple(tried))
        except NoTurn:
            return Ways(None, (*tried, TriedWay(way, NO_TURN)))
        else:
            return Ways(way, (*tried, TriedWay(way, "")))
    return Ways(None, tuple(tried))
