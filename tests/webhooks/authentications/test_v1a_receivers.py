"""The sample receivers that verify v1a, run unchanged: Python and Node."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.tree import ROOT
from tests.webhooks.authentications.messages import MESSAGE
from webapp.clock import utcnow
from webapp.webhooks.authentications.keys import generate_private_key
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.v1a import V1a, published
from webapp.webhooks.sender import Sender

SAMPLES = ROOT / "webapp" / "templates" / "docs" / "receivers"
COMMANDS = {"python": [sys.executable, str(SAMPLES / "v1a.py")], "node": ["node", str(SAMPLES / "v1a.mjs")]}
KEY, NEXT, STRANGER = (generate_private_key() for _ in range(3))


@pytest.fixture(scope="module", params=list(COMMANDS))
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a receiver that knows what is published during a rotation."""
    known = " ".join(published("wh_1", {"private_key": NEXT, "previous": KEY})["public_keys"])
    environ = {"PATH": os.environ["PATH"], "LEADHOOK_PUBLIC_KEYS": known}
    output = (tmp_path_factory.mktemp("v1a") / "errors").open("wb")
    command = [*COMMANDS[request.param], "0"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=output, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().split()[-1]
        process.terminate()
    output.close()


def message(url: str, ago: float = 0, **secrets: str) -> Message:
    now = int(utcnow().timestamp() - ago)
    fresh = replace(MESSAGE, url=url, timestamp=now, timestamp_ms=now * 1000)
    return V1a.of({}, secrets).add_to(fresh)


def code(sender: Sender, sent: Message) -> int:
    return sender.send(1, sent.url, sent.body, sent.headers).code


def with_header(sent: Message, **headers: str) -> Message:
    return replace(sent, headers={**sent.headers, **{f"webhook-{name}": value for name, value in headers.items()}})


@pytest.mark.parametrize(
    "secrets",
    [
        {"private_key": KEY},
        {"private_key": NEXT},
        {"private_key": NEXT, "previous": KEY},
        {"private_key": STRANGER, "previous": KEY},
    ],
    ids=["before", "after", "during a rotation", "one key is known"],
)
def test_a_signed_lead_is_received(sender: Sender, base: str, secrets: dict[str, str]) -> None:
    assert code(sender, message(base, **secrets)) == 200


def test_a_signature_beside_one_of_another_version_is_found(sender: Sender, base: str) -> None:
    sent = message(base, private_key=KEY)
    signature = sent.headers["webhook-signature"]
    for both in (f"v1,{'A' * 43}= {signature}", f"{signature} v1,{'A' * 43}=", f"v1a,AAAA {signature}"):
        assert code(sender, with_header(sent, signature=both)) == 200


def test_what_is_not_signed_is_refused(sender: Sender, base: str) -> None:
    sent = message(base, private_key=KEY)
    signature = sent.headers["webhook-signature"]
    later = str(int(sent.headers["webhook-timestamp"]) + 1)
    refused = [
        message(base, private_key=STRANGER),
        message(base, ago=600, private_key=KEY),
        message(base, ago=-600, private_key=KEY),
        replace(sent, body=sent.body + b" "),
        with_header(sent, id="msg_2"),
        with_header(sent, timestamp=later),
        with_header(sent, timestamp=f"{later}.0"),
        with_header(sent, timestamp=""),
        with_header(sent, id=""),
        with_header(sent, signature=""),
        with_header(sent, signature="v1a,"),
        with_header(sent, signature=signature.replace("v1a,", "v1,")),
        with_header(sent, signature=signature.replace("v1a,", "")),
        with_header(sent, signature=f"v1a,{'A' * 86}=="),
        with_header(sent, signature=signature[:-8]),
        with_header(sent, signature="v1a,é*é"),
    ]
    assert [code(sender, one) for one in refused] == [401] * len(refused)
    assert code(sender, replace(sent, body=b"x" * (1024 * 1024 + 1))) == 413
    assert code(sender, sent) == 200


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_receiver_without_a_key_does_not_start(command: list[str]) -> None:
    for known in ("", " ", "whpk_"):
        environ = {"PATH": os.environ["PATH"], "LEADHOOK_PUBLIC_KEYS": known}
        done = subprocess.run([*command, "0"], env=environ, capture_output=True, timeout=20, check=False)
        assert done.returncode
