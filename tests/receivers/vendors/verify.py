"""python verify.py SECRETS.json: asks vendors' own Python libraries whether a request's signature is right.

Each library answers at the path /<name>; 200 is yes. Prints its port. Runs in an environment of its own, made by
tests/receivers/signatures.py, and gets requests from Leadhook's sender.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import discord_interactions
import standardwebhooks
import stripe
import svix
from hubspot.utils.signature import Signature
from linebot.v3 import SignatureValidator
from paddle_billing.Notifications import Secret, Verifier
from sendgrid.helpers.eventwebhook import EventWebhook
from slack_sdk.signature import SignatureVerifier
from square.utils.webhooks_helper import verify_signature
from twilio.request_validator import RequestValidator

SECRETS = json.loads(Path(sys.argv[1]).read_text())


def asked_stripe(body, headers, url, secret):
    stripe.Webhook.construct_event(body, headers["stripe-signature"], secret)
    return True


def asked_slack(body, headers, url, secret):
    return SignatureVerifier(secret).is_valid_request(body, dict(headers.items()))


def asked_hubspot(body, headers, url, secret):
    return Signature.is_valid(
        signature=headers["x-hubspot-signature-v3"],
        client_secret=secret,
        request_body=body.decode(),
        http_uri=url,
        signature_version="v3",
        timestamp=headers["x-hubspot-request-timestamp"],
    )


def asked_twilio(body, headers, url, secret):
    return RequestValidator(secret).validate(url, body.decode(), headers["x-twilio-signature"])


def asked_square(body, headers, url, secret):
    return verify_signature(
        request_body=body.decode(),
        signature_header=headers["x-square-hmacsha256-signature"],
        signature_key=secret,
        notification_url=url,
    )


def asked_standardwebhooks(body, headers, url, secret):
    standardwebhooks.Webhook(secret).verify(body, dict(headers.items()))
    return True


def asked_svix(body, headers, url, secret):
    svix.Webhook(secret).verify(body, {name.lower(): value for name, value in headers.items()})
    return True


def asked_paddle(body, headers, url, secret):
    request = SimpleNamespace(headers={"Paddle-Signature": headers["paddle-signature"]}, body=body)
    return Verifier().verify(request, Secret(secret))


def asked_line(body, headers, url, secret):
    return SignatureValidator(secret).validate(body.decode(), headers["x-line-signature"])


def asked_sendgrid(body, headers, url, secret):
    name = "x-twilio-email-event-webhook"
    return EventWebhook(secret).verify_signature(
        body.decode(), headers[f"{name}-signature"], headers[f"{name}-timestamp"]
    )


def asked_discord(body, headers, url, secret):
    signature, timestamp = headers["x-signature-ed25519"], headers["x-signature-timestamp"]
    return discord_interactions.verify_key(body, signature, timestamp, secret)


VERIFIERS = {
    "stripe-py": asked_stripe,
    "slack-py": asked_slack,
    "hubspot-py": asked_hubspot,
    "twilio-py": asked_twilio,
    "square-py": asked_square,
    "standardwebhooks-py": asked_standardwebhooks,
    "svix-py": asked_svix,
    "svix-py-names": asked_svix,
    "paddle-py": asked_paddle,
    "line-py": asked_line,
    "sendgrid-py": asked_sendgrid,
    "discord-py": asked_discord,
}


class Verify(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = urlsplit(self.path).path.split("/")[1]
        url = f"http://{self.headers['Host']}{self.path}"
        try:
            code, words = (200, "yes") if VERIFIERS[name](body, self.headers, url, SECRETS[name]) else (401, "no")
        except Exception as error:
            code, words = 401, repr(error)
        answer = words.encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments):
        """Nothing."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Verify)
print(server.server_port, flush=True)
server.serve_forever()
