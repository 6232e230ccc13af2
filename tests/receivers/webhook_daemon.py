"""python -m tests.receivers.webhook_daemon: the `webhook` daemon of Debian verifies signatures in hex.

It runs the program of the Debian package webhook on loopback, which is downloaded and unpacked in a temporary directory
if it is not installed. Leadhook's sender sends to it.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

from tests.receivers.vendors.cases import LEAD
from tests.support.receiver import free_port
from tests.support.waiting import wait_until
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.schemes import SCHEMES
from webapp.webhooks.authentications.signature_presets import PRESETS
from webapp.webhooks.sender import Limits, Sender

SECRET = "a+b % é: no secret of anyone"
# How it answers a signature that does not fit, and settings of the hook. 500 is tried again, 200 counts as a success.
MODES: tuple[tuple[tuple[int, str], dict[str, object]], ...] = (
    ((500, "Error occurred while evaluating hook rules."), {}),
    ((200, "Hook rules were not satisfied."), {"trigger-signature-soft-failures": True}),
    (
        (401, "Hook rules were not satisfied."),
        {"trigger-signature-soft-failures": True, "trigger-rule-mismatch-http-response-code": 401},
    ),
)
# What its rules can verify, each as a hook of its own: the rule's type, the header, and our settings.
HOOKS: dict[str, tuple[str, str, Mapping[str, str]]] = {
    "github": ("payload-hmac-sha256", "X-Hub-Signature-256", PRESETS["github"].options),
    "intercom": ("payload-hmac-sha1", "X-Hub-Signature", PRESETS["intercom"].options),
    "sha512": (
        "payload-hmac-sha512",
        "X-Signature",
        {"algorithm": "hmac-sha512", "content": "{body}", "headers": "X-Signature: {signature}"},
    ),
}


def program(folder: Path) -> str:
    """Where it is."""
    if found := shutil.which("webhook"):
        return found
    subprocess.run(["apt-get", "download", "-qq", "webhook"], cwd=folder, check=True, stderr=subprocess.DEVNULL)
    [package] = folder.glob("webhook_*.deb")
    subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True)
    return str(folder / "usr" / "bin" / "webhook")


# Only inside `or` a signature that does not fit can be something else than an error.
def hook(name: str, secret: str, more: Mapping[str, object]) -> dict[str, object]:
    kind, header, _ = HOOKS[name]
    match = {"type": kind, "secret": secret, "parameter": {"source": "header", "name": header}}
    shown = {"execute-command": "/bin/true", "response-message": "taken", "trigger-rule": {"or": [{"match": match}]}}
    return {"id": name, **shown, **more}


@contextmanager
def daemon(path: str, folder: Path, more: Mapping[str, object]) -> Iterator[str]:
    """The address of its hooks."""
    hooks = folder / "hooks.json"
    hooks.write_text(json.dumps([hook(name, SECRET, more) for name in HOOKS]))
    port, output = free_port(), (folder / "output").open("wb")
    command = [path, "-hooks", str(hooks), "-ip", "127.0.0.1", "-port", str(port), "-verbose"]
    process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_until(lambda: b"serving hooks" in (folder / "output").read_bytes(), "the daemon to listen")
        yield f"http://127.0.0.1:{port}/hooks"
    finally:
        process.terminate()
        process.wait()
        output.close()


def sent(sender: Sender, url: str, options: Mapping[str, str], secret: str, body: bytes) -> tuple[int, str]:
    now = time.time()
    message = Message("POST", url, {}, LEAD, "msg_1", int(now), int(now * 1000))
    message = SCHEMES["signature"].of(options, {"secret": secret}).add_to(message)
    outcome = sender.send(1, message.url, body, message.headers)
    return outcome.code, outcome.body


def main() -> None:
    wrong = False
    with tempfile.TemporaryDirectory() as folder:
        path = program(Path(folder))
        shown = subprocess.run([path, "-version"], check=True, capture_output=True, text=True)
        print((shown.stdout + shown.stderr).strip())
        sender = Sender(Limits(allowed_networks=(ip_network("127.0.0.0/8"),)))
        for refusal, more in MODES:
            print(more or "as it is")
            with daemon(path, Path(folder), more) as base:
                for name, (kind, _, options) in HOOKS.items():
                    url = f"{base}/{name}"
                    found = {
                        "right": sent(sender, url, options, SECRET, LEAD),
                        "changed body": sent(sender, url, options, SECRET, LEAD.replace(b"Contact", b"Kontact")),
                        "other secret": sent(sender, url, options, SECRET[1:], LEAD),
                    }
                    expected = {"right": (200, "taken")} | dict.fromkeys(("changed body", "other secret"), refusal)
                    wrong = wrong or found != expected
                    print(f"{kind}: {found}{'' if found == expected else ', not as expected'}")
        sender.close()
    sys.exit(wrong)


if __name__ == "__main__":
    main()
