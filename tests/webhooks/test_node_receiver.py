"""A real Node receiver that drops requests, answers out of step, and does not end its answers."""

import json
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.receiver import free_port
from tests.support.waiting import wait_until
from webapp.webhooks import connections
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.sender import Limits, Sender

LEADS = 20
SCRIPT = """
const http = require("node:http");
const seen = {};
http.createServer((request, response) => {
  const name = request.url.slice(1);
  if (name === "seen") return response.end(JSON.stringify(seen));
  request.resume().on("end", () => {
    seen[name] = (seen[name] || 0) + 1;
    const every = (number) => seen[name] % number === 0;
    if (name === "destroys" && every(5)) return request.socket.destroy();
    if (name === "resets" && every(5)) return request.socket.resetAndDestroy();
    if (name === "late") {
      response.writeHead(204).end();
      return request.socket.write('{"received":true}');
    }
    if (name === "identity") {
      response.writeHead(200, {"Transfer-Encoding": "identity", "Content-Length": 2});
      return response.end("ok");
    }
    if (name === "unfinished") {
      response.writeHead(200);
      return response.write("ok");
    }
    response.end("ok");
  });
}).listen(Number(process.argv[2]), "127.0.0.1");
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    script: Path = tmp_path_factory.mktemp("node") / "receiver.js"
    script.write_text(SCRIPT)
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(["node", str(script), str(port)])
    wait_until(lambda: answers(origin), "Node to listen")
    yield origin
    process.kill()
    process.wait()


def answers(origin: str) -> bool:
    try:
        seen(origin, "")
    except OSError:
        return False
    return True


def seen(origin: str, name: str) -> int:
    with urlopen(f"{origin}/seen", timeout=10) as answer:
        return int(json.load(answer).get(name, 0))


@pytest.fixture
def sender() -> Iterator[Sender]:
    sender = Sender(Limits(allowed_networks=(ip_network("127.0.0.0/8"),)))
    yield sender
    sender.close()


def post(sender: Sender, origin: str, name: str) -> Outcome:
    return sender.send(1, f"{origin}/{name}", b"{}", {"webhook-id": "msg_1"})


@pytest.mark.parametrize("name", ["destroys", "resets"])
def test_every_request_that_node_read_has_an_outcome(sender: Sender, node: str, name: str) -> None:
    outcomes = [post(sender, node, name) for _ in range(LEADS)]
    assert all(outcome.delivered for outcome in outcomes)
    firsts = [outcome.first for outcome in outcomes if outcome.first]
    assert seen(node, name) == LEADS + len(firsts)
    assert len(firsts) == (LEADS + len(firsts)) // 5
    assert {first.error for first in firsts} == {ErrorKind.SENT_AGAIN}


def test_a_body_after_a_204_fails_no_lead(sender: Sender, node: str) -> None:
    outcomes = [post(sender, node, "late") for _ in range(LEADS)]
    assert {outcome.code for outcome in outcomes} == {204}
    repeats = sum(outcome.first is not None for outcome in outcomes)
    assert seen(node, "late") == LEADS + repeats
    assert repeats <= 1


@pytest.mark.parametrize("name", ["identity", "unfinished"])
def test_an_answer_without_an_end_is_cut_after_the_silence(
    sender: Sender, node: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SILENCE", 0.3)
    outcome = post(sender, node, name)
    assert (outcome.code, outcome.body, outcome.truncated, outcome.unended) == (200, "ok", True, True)
    assert outcome.duration_ms < 2000


def test_an_answer_of_node_as_ever_is_not_cut_and_keeps_its_connection(sender: Sender, node: str) -> None:
    for _ in range(3):
        outcome = post(sender, node, "fine")
        assert (outcome.code, outcome.body, outcome.truncated, outcome.first) == (200, "ok", False, None)
    [idle] = sender._idle._order
    assert not sender._idle._distrusted
    assert idle.key[0] == 1
