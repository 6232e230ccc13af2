"""python -m tests.receivers.signatures: vendors' own libraries verify what the presets of "Signature by template" send.

Leadhook's sender sends real payloads over HTTP to receivers in Python and in Node, which ask the vendors' pinned
packages (tests/receivers/vendors). Each package must take the right signature, and refuse it with a changed body and
with another secret. Where the preset has two signatures after a rotation, receivers with either secret must take them;
where it has one, this prints which packages would take two.

The packages are installed in a temporary directory, or kept in the one that `--folder` names. `--record` writes what
was accepted to tests/webhooks/authentications/vectors.json, which `make test` compares byte for byte with what the
presets make now.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from shutil import copy

from tests.receivers.vendors.cases import BODIES, NODE, PYTHON, TYPED, VERIFIERS, of_receiver, secrets_of
from webapp.webhooks.addresses import sent_url
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.signature import TemplateSignature
from webapp.webhooks.authentications.signature_presets import PRESETS
from webapp.webhooks.outcome import Outcome
from webapp.webhooks.sender import Limits, Sender

VENDORS = Path(__file__).parent / "vendors"
VECTORS = Path(__file__).parents[1] / "webhooks" / "authentications" / "vectors.json"
LOOPBACK = (ip_network("127.0.0.0/8"),)
QUIET = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--legacy-peer-deps")


class Check:
    """Sends to the receivers, and notes what was accepted and what was not as expected."""

    def __init__(self, ports: Mapping[str, int], of_previous: Mapping[str, int], sender: Sender) -> None:
        self._ports, self._of_previous, self._sender = ports, of_previous, sender
        self.accepted: list[dict[str, object]] = []
        self.faults: list[str] = []

    def run(self, name: str) -> None:
        """Asks one package."""
        preset, package = VERIFIERS[name]
        secret, other, previous = secrets_of(preset)
        options, kind = PRESETS[preset].options, name.split("-")[1]
        for body in BODIES:
            message = self._signed(name, options, {"secret": secret}, body)
            self._expect(200, name, "right", self._send(message))
            self._keep(name, preset, package, secret, message)
        self._expect(
            401, name, "changed body", self._send(replace(message, body=message.body.replace(b"lead", b"read", 1)))
        )
        self._expect(401, name, "other secret", self._send(self._signed(name, options, {"secret": other}, BODIES[0])))
        both = {"secret": secret, "previous": previous}
        if options["overlap"] == "no":
            self._ask_for_two(name, options, both, kind)
            return
        for port in (self._ports[kind], self._of_previous[kind]):
            message = self._signed(name, options, both, BODIES[1], port)
            self._expect(200, name, "two signatures", self._send(message))

    def _ask_for_two(self, name: str, options: Mapping[str, str], both: Mapping[str, str], kind: str) -> None:
        found = {}
        for separator in ("comma", "semicolon", "space"):
            two = {**options, "overlap": separator}
            codes = [
                self._send(self._signed(name, two, both, BODIES[1], port)).code
                for port in (self._ports[kind], self._of_previous[kind])
            ]
            found[separator] = "/".join("yes" if code == 200 else "no" for code in codes)
        print(f"  {name}: two signatures would be taken by a receiver with the new/the previous secret: {found}")

    def _signed(
        self, name: str, options: Mapping[str, str], secrets: Mapping[str, str], body: bytes, port: int = 0
    ) -> Message:
        address = f"http://127.0.0.1:{port or self._ports[name.split('-')[1]]}/{name}/{TYPED}"
        at, now = "2026", time.time()
        headers = {"webhook-id": f"msg_{at}", "webhook-timestamp": str(int(now))}
        message = Message("POST", sent_url(address), headers, body, f"msg_{at}", int(now), int(now * 1000))
        return TemplateSignature.of(options, secrets).add_to(message)

    def _send(self, message: Message) -> Outcome:
        return self._sender.send(1, message.url, message.body, message.headers)

    def _expect(self, code: int, name: str, what: str, outcome: Outcome) -> None:
        if outcome.code != code:
            self.faults.append(f"{name}, {what}: {outcome.code} {outcome.body}")

    def _keep(self, name: str, preset: str, package: str, secret: str, message: Message) -> None:
        version = (NODE if "-npm" in name else PYTHON)[package]
        self.accepted.append(
            {
                "accepted_by": f"{package} {version} ({'npm' if '-npm' in name else 'Python'})",
                "preset": preset,
                "secret": secret,
                "url": message.url,
                "body": message.body.decode(),
                "message_id": message.message_id,
                "timestamp": message.timestamp,
                "timestamp_ms": message.timestamp_ms,
                "headers": dict(message.headers),
            }
        )


def install(folder: Path) -> None:
    """Both kinds of packages, if they are not there."""
    if not (folder / "venv").exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        wanted = [f"{name}=={version}" for name, version in PYTHON.items()]
        subprocess.run([folder / "venv" / "bin" / "pip", "install", "--quiet", *wanted], check=True)
    if not (folder / "node_modules").exists():
        wanted = [f"{name}@{version}" for name, version in NODE.items()]
        subprocess.run(["npm", "install", *QUIET, *wanted], cwd=folder, check=True)
    copy(VENDORS / "verify.mjs", folder)  # Node looks for packages beside the file


@contextmanager
def receivers(folder: Path, place: int) -> Iterator[dict[str, int]]:
    """One receiver of each kind, all of whose packages have the secret at this place; returns their ports."""
    secrets = folder / f"secrets-{place}.json"
    known = {name: of_receiver(preset, secrets_of(preset)[place]) for name, (preset, _) in VERIFIERS.items()}
    secrets.write_text(json.dumps(known))
    commands = {
        "py": [str(folder / "venv" / "bin" / "python"), str(VENDORS / "verify.py")],
        "npm": ["node", str(folder / "verify.mjs")],
    }
    with ExitStack() as stack:
        ports = {}
        for kind, command in commands.items():
            process = subprocess.Popen([*command, str(secrets)], stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            assert process.stdout
            ports[kind] = int(process.stdout.readline())
        yield ports


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--folder", type=Path)
    asked.add_argument("--record", action="store_true")
    options = asked.parse_args()
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        install(folder)
        sender = Sender(Limits(allowed_networks=LOOPBACK))
        stack.callback(sender.close)
        ports = [stack.enter_context(receivers(folder, place)) for place in (0, 2)]
        check = Check(*ports, sender)
        for name in VERIFIERS:
            check.run(name)
    print(f"{len(check.accepted)} requests accepted by {len(VERIFIERS)} libraries")
    print("\n".join(check.faults))
    if options.record and not check.faults:
        VECTORS.write_text(json.dumps(check.accepted, indent=1, ensure_ascii=False) + "\n")
    sys.exit(bool(check.faults))


if __name__ == "__main__":
    main()
