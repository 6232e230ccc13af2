"""The real code, led step by step: each actor of the model is a thread that waits at a gate before each step."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from webapp.delivery import lanes, ledger, rings
from webapp.delivery.rings import queues
from webapp.delivery.sending import Sending
from webapp.delivery.sweep import Sweep
from webapp.webhooks.outcome import NO_ANSWER, ErrorKind, Outcome

PATIENCE = 60  # seconds until a thread that reaches no gate is a failure
# By the model's answers: REFUSED, TAKEN, ASKS, LAST, STOPS.
OUTCOMES = (
    Outcome(500, "", False, (), ErrorKind.HTTP_5XX, 1, None),
    Outcome(200, "", False, (), None, 1, None),
    Outcome(429, "", False, (), ErrorKind.HTTP_4XX, 1, 600.0),
    Outcome(200, "", False, (), None, 1, 600.0),
    Outcome(410, "", False, (), ErrorKind.HTTP_4XX, 1, None),
)
UNANSWERED = Outcome(NO_ANSWER, "", False, (), ErrorKind.SENT_AGAIN, 1, None)


class Killed(BaseException):
    """What a thread is ended with, as SIGKILL would: nothing after it is done."""


class Player:
    """One thread. `gate` is the step before which it waits, "" once it has ended."""

    current = threading.local()

    def __init__(self, app: Flask, deed: Callable[[], object]) -> None:
        self.gate = "begin"
        self.sending = False  # whether it is between two sends of a batch
        self.batch = 0  # rows of it
        self.over: Callable[[], bool] = lambda: False  # says whether its turn is over
        self.answer = 1  # of the receiver to its next send
        self.requests = 1  # of its next try
        self.serves = False  # whether it is a serve job
        self.skips = False  # whether Redis does not answer to its next step
        self._killed = False
        self._go, self._came = threading.Semaphore(0), threading.Semaphore(0)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(app, deed), daemon=True)
        self._thread.start()

    def _run(self, app: Flask, deed: Callable[[], object]) -> None:
        Player.current.player = self
        self._go.acquire()
        try:
            with app.app_context():
                deed()
        except Killed:
            pass
        except BaseException as error:  # it is the test's, not the thread's
            self._error = error
        self.gate = ""
        self._came.release()

    def reach(self, gate: str) -> None:
        """Called by the thread: waits until it may go on."""
        if self._killed:
            raise Killed
        self.gate = gate
        self._came.release()
        self._go.acquire()
        if self._killed:
            raise Killed

    def step(self) -> None:
        """Lets it go through its gate, and waits until it stands at the next one, or has ended."""
        self._go.release()
        assert self._came.acquire(timeout=PATIENCE), f"nothing comes after {self.gate}"
        if self._error is not None:
            raise self._error

    def kill(self) -> None:
        self._killed = True
        self.step()


def _gated(gate: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def waiting(*arguments: Any, **named: Any) -> Any:
        player = getattr(Player.current, "player", None)
        if player is None or "mail" in arguments:
            return real(*arguments, **named)
        player.reach(gate)
        skips, player.skips = player.skips, False
        return None if skips else real(*arguments, **named)

    return waiting


class Receiver:
    """Stands where the process's Sender does; each player brings its answer."""

    def __init__(self) -> None:
        self.sends = 0

    def send(self, webhook_id: int, url: str, body: bytes, headers: Mapping[str, str], account: int) -> Outcome:
        player: Player = Player.current.player
        player.reach("send")
        self.sends += player.requests
        outcome = OUTCOMES[player.answer]
        return replace(outcome, first=UNANSWERED) if player.requests == 2 else outcome

    def close(self) -> None:
        """Nothing is open."""


def set_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate before each step that the model tells apart."""
    for module, name, gate in (
        (rings, "unmark", "clear"),
        (lanes, "_take", "take"),
        (lanes, "_select", "select"),
        (lanes, "_let_go", "give back"),
        (lanes, "_record", "fence"),
        (ledger, "last_look", "look"),
        (rings, "ring_unless_locked", "look"),
        (rings, "ring", "ring"),
        (rings, "enqueue", "enqueue"),
        (rings, "mark", "mark"),
        (Sweep, "_ring", "count"),
    ):
        monkeypatch.setattr(module, name, _gated(gate, getattr(module, name)))
    # Here a capture rings as all else does. rounds.py is the model of the rings of captures, which have no job each.
    monkeypatch.setattr(rings, "ring_lanes", lambda webhook_ids: [rings.ring_unless_locked(one) for one in webhook_ids])
    run = Sending.run

    def running(self: Sending) -> None:
        player = Player.current.player
        player.sending, player.batch = True, len(self.batch.rows)
        run(self)
        player.sending = False

    monkeypatch.setattr(Sending, "run", running)
    monkeypatch.setattr(ledger, "SLICE", 3600.0)  # whether a turn is over is for the model to say


def job(app: Flask, webhook_id: int) -> Player:
    """A drain of this lane, whose turns are over when its player says so."""

    def deed() -> None:
        rings.unmark(f"{webhook_id}-job", queues.redis)
        lanes.drain(webhook_id, stopping=lambda: player.over())

    player = Player(app, deed)
    return player
