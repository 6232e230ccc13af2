"""python -m tests.receivers.oauth: token servers of others give Leadhook tokens, with secrets of all kinds.

django-oauth-toolkit, oidc-provider and @node-oauth/oauth2-server, installed with pip and npm. Each is asked in all ways
of sending credentials, and one that works must be found. Two of them also take a lead, after its token has ended.
`--record` writes their answers to tests/webhooks/token_answers.json, which `make test` reads.
"""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

from tests.receivers.installing import FOLDER, node, npm, run
from tests.support.counterparts import running
from tests.support.receiver import free_port
from tests.support.tree import ROOT
from webapp.webhooks.authentications.credential_ways import find_the_way
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.oauth2 import CREDENTIALS, OAuth2
from webapp.webhooks.authentications.token_answers import NoToken, read_answer
from webapp.webhooks.authentications.tokens import TokenSource
from webapp.webhooks.outcome import Outcome
from webapp.webhooks.sender import Limits, Sender

HERE = Path(__file__).parent / "token_servers"
RECORDED = ROOT / "tests" / "webhooks" / "token_answers.json"
NPM = {"oidc-provider": "9.13.3", "@node-oauth/oauth2-server": "5.3.0"}
PIP = ("django-oauth-toolkit==3.4.1", "Django==5.2.19")
SECRETS = ["plain-secret", "a+b", "a%2Bb", "a b", "a:b", "a/b=c&d", "pässwörd€", "+ %:é and more"]
CLIENTS = [(f"client {number}", secret) for number, secret in enumerate(SECRETS)]


@dataclass
class Server:
    """`works`: for each way, the secrets with which a token is given. `refusal`: the code for an expired token."""

    name: str
    token_url: str
    works: dict[str, list[str]]
    origin: str = ""
    refusal: int = 0


def without(*signs: str) -> list[str]:
    return [secret for secret in SECRETS if not any(sign in secret for sign in signs)]


@contextmanager
def django_toolkit() -> Iterator[Server]:
    home = FOLDER / "django-oauth-toolkit"
    python = home / "venv" / "bin" / "python"
    stamp = home / "installed"
    if not stamp.exists() or stamp.read_text() != " ".join(PIP):
        print(f"Installing with pip: {' '.join(PIP)}", flush=True)
        run([sys.executable, "-m", "venv", "--clear", str(home / "venv")])
        run([str(python), "-m", "pip", "install", "--quiet", *PIP])
        stamp.write_text(" ".join(PIP))
    port, origin = free_port(), "http://127.0.0.1"
    with TemporaryDirectory() as folder:
        command = [str(python), str(HERE / "django_toolkit.py"), str(port), f"{folder}/db", json.dumps(CLIENTS)]
        works = {"basic": SECRETS, "raw": without("+", "%"), "body": SECRETS}
        with running(command, port):
            yield Server(f"{PIP[0]}", f"{origin}:{port}/o/token/", works, f"{origin}:{port}", 403)


@contextmanager
def of_node(script: str, package: str, works: dict[str, list[str]], refusal: int = 0) -> Iterator[Server]:
    home = npm("token-servers", NPM).parent
    (home / script).write_text((HERE / script).read_text())  # a link would look for packages where it leads
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    with running([node(18), str(home / script), str(port), json.dumps(CLIENTS)], port):
        yield Server(f"{package}@{NPM[package]}", f"{origin}/token", works, origin, refusal)


def servers(stack: ExitStack) -> list[Server]:
    ascii_only = without("ä", "é")
    oidc = {"basic": ascii_only, "raw": [each for each in without("+", "%") if each in ascii_only], "body": ascii_only}
    never_decodes = {"basic": [], "raw": ascii_only, "body": ascii_only}
    return [
        stack.enter_context(django_toolkit()),
        stack.enter_context(of_node("oidc_provider.mjs", "oidc-provider", oidc)),
        stack.enter_context(of_node("node_oauth.mjs", "@node-oauth/oauth2-server", never_decodes, 401)),
    ]


def options_of(server: Server, client: str, **more: str) -> dict[str, str]:
    return {"token_url": server.token_url, "client_id": client, **more}


def token_of(sender: Sender, oauth: OAuth2) -> bool:
    headers, body = oauth.token_request()
    outcome = sender.send(1, oauth.token_url, body, headers)
    try:
        return bool(read_answer(outcome, "server", oauth.hidden).value)
    except NoToken:
        return False


def check_ways(sender: Sender, server: Server) -> list[str]:
    faults = []
    for client, secret in CLIENTS:
        works = {}
        for way, _ in CREDENTIALS.choices:
            oauth = OAuth2.of(options_of(server, client, credentials=way), {"client_secret": secret})
            works[way] = token_of(sender, oauth)
        found = find_the_way(sender, 1, options_of(server, client), {"client_secret": secret}).works
        print(f"  {secret!r}: {', '.join(way for way, does in works.items() if does) or 'none'}; found: {found}")
        expected = {way: secret in secrets for way, secrets in server.works.items()}
        if works != expected or found != next((way for way, does in works.items() if does), None):
            faults.append(f"{server.name} and {secret!r}: {works} instead of {expected}, found {found}")
    return faults


def check_lead(sender: Sender, server: Server) -> list[str]:
    """A lead, and one more after the token has ended."""
    source, way = TokenSource(sender), "basic" if server.works["basic"] else "raw"
    client, secret = next(pair for pair in reversed(CLIENTS) if pair[1] in server.works[way])
    oauth = OAuth2.of(options_of(server, client, credentials=way, scope="leads"), {"client_secret": secret})
    message = Message("POST", f"{server.origin}/leads", {}, b'{"name":"Ada"}', "msg_1", 1, 1000)
    first = source.send(1, oauth, message)
    urlopen(f"{server.origin}/expire", data=b"").close()
    second = source.send(1, oauth, message)
    codes = [[each.code for each in (*outcome.before(), outcome)] for outcome in (first, second)]
    print(f"  two leads, the token ended between them: {codes}")
    return [] if codes == [[200], [server.refusal, 200]] else [f"{server.name}: codes {codes}"]


ASKED: dict[str, tuple[str, dict[str, str]]] = {
    "a token": ("", {}),
    "a token with a scope": ("", {"scope": "leads"}),
    "with a wrong secret": ("wrong", {}),
    "with a wrong secret in the body": ("wrong", {"credentials": "body"}),
    "for an unknown client": ("", {"client_id": "unknown"}),
    "an unknown scope": ("", {"scope": "everything"}),
    "an unknown resource": ("", {"resource": "https://crm.example/"}),
    "a resource that is no address": ("", {"resource": "crm"}),
}


def record(sender: Sender, server: Server) -> list[dict[str, Any]]:
    """What the server answers, with the tokens blotted out."""
    recorded = []
    client, plain = "client 0", SECRETS[0]
    way = "basic" if server.works["basic"] else "raw"
    for asked, (secret, options) in ASKED.items():
        given = {**options_of(server, client, credentials=way), **options}
        oauth = OAuth2.of(given, {"client_secret": secret or plain})
        headers, body = oauth.token_request()
        outcome = sender.send(1, oauth.token_url, body, headers)
        outcome = replace(outcome, body=re.sub(r"\b359\d\b", "3600", outcome.body))  # some say what is left
        lasts, said = _meaning(outcome)
        given_token = json.loads(outcome.body)["access_token"] if lasts is not None else ""
        blotted = outcome.body.replace(given_token, "x" * len(given_token)) if given_token else outcome.body
        kept = [(name, value.replace(server.origin, "http://server")) for name, value in outcome.headers]
        shown = [list(pair) for pair in kept if pair[0].lower() in ("content-type", "www-authenticate")]
        answer = {"server": server.name, "asked": asked, "code": outcome.code, "headers": shown, "body": blotted}
        recorded.append({**answer, "lasts": lasts, "said": said})
    return recorded


def _meaning(outcome: Outcome) -> tuple[float | None, str]:
    try:
        return read_answer(outcome, "HOST").lasts, ""
    except NoToken as problem:
        return None, problem.words.removeprefix("The token server HOST ")


def main() -> None:
    faults, recorded = [], []
    sender = Sender(Limits(allowed_networks=(ip_network("127.0.0.0/8"),)))
    with ExitStack() as stack:
        for server in servers(stack):
            print(server.name)
            faults += check_ways(sender, server)
            if server.refusal:
                faults += check_lead(sender, server)
            recorded += record(sender, server)
    sender.close()
    if "--record" in sys.argv:
        RECORDED.write_text(json.dumps({"answers": recorded}, indent=2, ensure_ascii=False) + "\n")
    elif json.loads(RECORDED.read_text())["answers"] != recorded:
        faults.append("The answers are not those that were recorded: run it with --record, and read the difference.")
    for fault in faults:
        print(f"not as expected: {fault}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
