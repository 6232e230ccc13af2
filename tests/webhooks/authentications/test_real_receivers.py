"""nginx, Flask and Node as receivers: they let in what the schemes send, and nothing else."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha1
from pathlib import Path
from threading import Thread

import pytest
from flask import Flask, request
from standardwebhooks import Webhook, WebhookVerificationError
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.counterparts import nginx
from tests.webhooks.authentications.messages import MESSAGE
from webapp.clock import utcnow
from webapp.webhooks.authentications.schemes import SCHEMES
from webapp.webhooks.authentications.signature_presets import PRESETS
from webapp.webhooks.outcome import Outcome
from webapp.webhooks.sender import Sender

AWKWARD = "a+b%20c: d"
SERVER = """server { listen 127.0.0.1:{port};
  location /basic { auth_basic "leads"; auth_basic_user_file users; try_files /none @in; }
  location /bearer { if ($http_authorization != "Bearer a+b%20c: d") { return 401; } return 204; }
  location /header { if ($http_x_tenant_key != "a+b%20c: d") { return 401; } return 204; }
  location /query { if ($arg_api_key != "a%2Bb%2520c%3A%20d") { return 401; } return 204; }
  location @in { return 204; }
}"""
PASSWORDS = {"ada": AWKWARD, "é+% ü": "pässwörd €:"}


def sent(sender: Sender, scheme: str, url: str, options: dict[str, str], secrets: dict[str, str]) -> Outcome:
    now = int(utcnow().timestamp())
    headers = {**MESSAGE.headers, "webhook-timestamp": str(now)}
    message = replace(MESSAGE, url=url, headers=headers, timestamp=now, timestamp_ms=now * 1000)
    message = SCHEMES[scheme].of(options, secrets).add_to(message)
    return sender.send(1, message.url, message.body, message.headers)


def test_nginx_lets_in_who_has_the_password_the_token_or_the_key(sender: Sender, tmp_path: Path) -> None:
    digests = {user: base64.b64encode(sha1(word.encode()).digest()).decode() for user, word in PASSWORDS.items()}
    (tmp_path / "users").write_text("".join(f"{user}:{{SHA}}{digest}\n" for user, digest in digests.items()))
    with nginx(tmp_path, SERVER) as port:
        base = f"http://127.0.0.1:{port}"
        for user, word in PASSWORDS.items():
            for password, code in ((word, 204), (word + "x", 401), ("", 401)):
                assert sent(sender, "basic", f"{base}/basic", {"user": user}, {"password": password}).code == code
        for scheme, options, secret in (
            ("bearer", {}, "token"),
            ("header", {"name": "X-Tenant-Key"}, "value"),
            ("query", {}, "value"),
        ):
            for value, code in ((AWKWARD, 204), (AWKWARD.replace("+", " "), 401)):
                assert sent(sender, scheme, f"{base}/{scheme}", options, {secret: value}).code == code


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *arguments: object) -> None:
        """Nothing."""


@contextmanager
def flask_app(secret: str, key: str) -> Iterator[str]:
    """As its documents say: signatures by `standardwebhooks`, keys from a header and from the query."""
    app = Flask("receiver")

    @app.post("/signed")
    def signed() -> tuple[str, int]:
        try:
            Webhook(secret).verify(request.get_data(), dict(request.headers.items()))
        except WebhookVerificationError:
            return "no", 401
        return "yes", 200

    @app.post("/key")
    def keyed() -> tuple[str, int]:
        found = request.headers.get("X-Api-Key") or request.args.get("api_key")
        return ("yes", 200) if found == key and request.args.get("a") == "1" else ("no", 401)

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_flask_app_with_the_library_of_standard_webhooks_verifies_the_preset(sender: Sender) -> None:
    secret, options = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", PRESETS["standard_webhooks"].options
    with flask_app(secret, "") as base:
        assert sent(sender, "signature", f"{base}/signed", options, {"secret": secret}).code == 200
        during = {"secret": "whsec_" + "a" * 32, "previous": secret}
        assert sent(sender, "signature", f"{base}/signed", options, during).code == 200
        assert sent(sender, "signature", f"{base}/signed", options, {"secret": "whsec_" + "a" * 32}).code == 401


@pytest.mark.parametrize("key", [AWKWARD, "é ü+%:&#?", "ÿ"])
def test_a_flask_app_reads_the_key_in_the_header_and_in_the_query(sender: Sender, key: str) -> None:
    with flask_app("whsec_", key) as base:
        for scheme in ("header", "query"):
            assert sent(sender, scheme, f"{base}/key?a=1", {}, {"value": key}).code == 200
            assert sent(sender, scheme, f"{base}/key?a=1&api_key=old", {}, {"value": f"{key}x"}).code == 401
