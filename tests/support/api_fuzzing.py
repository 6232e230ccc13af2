"""schemathesis asks the API of an app for all that its document allows and forbids, and judges each answer by it."""

from collections import Counter
from typing import Any, NamedTuple

import pytest
import schemathesis
from flask import Flask
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events
from schemathesis.transport.wsgi import WSGITransport

OF_SOCKETS = {"max_redirects", "verify", "cert", "proxies"}
DOCUMENT = "/api/v1/openapi.json"


class Fuzzed(NamedTuple):
    """What came of it: each failure in words; how many checks were made, by their names; how often each operation was
    asked; and by which links."""

    failures: list[str]
    checks: Counter[str]
    operations: Counter[str]
    linked: Counter[str]


def fuzz(app: Flask, secret: str, seconds: int, seed: int) -> Fuzzed:
    """Asks for so long, in this process, with this API Key; with the links from operation to operation, too."""
    config = SchemathesisConfig.from_dict(_settings(secret, seconds, seed))
    schema = schemathesis.openapi.from_wsgi(DOCUMENT, app, config=config)
    found = Fuzzed([], Counter(), Counter(), Counter())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WSGITransport, "send", _send)
        for event in engine.from_schema(schema).execute():
            if isinstance(event, events.ScenarioFinished):
                _note(event, found)
            elif isinstance(event, (events.NonFatalError, events.FatalError)):
                found.failures.append(_error(event))
    return found


_theirs = WSGITransport.send


def _send(transport: WSGITransport, case: Any, **more: Any) -> Any:
    """A check that repeats a request without its key hands the settings of sockets on, which werkzeug does not know."""
    return _theirs(transport, case, **{name: value for name, value in more.items() if name not in OF_SOCKETS})


# What a valid request may be answered, although no schema can say when. 422: what a value names does not exist, or the
# form does not take these answers. 413: it is longer than a body may be. 412: If-Match names another version. 304:
# If-None-Match names this one.
FOR_VALID = ["2xx", "304", "401", "403", "404", "409", "412", "413", "422"]
FOR_INVALID = ["400", "401", "403", "404", "405", "409", "412", "413", "415", "422"]  # theirs, and 412 and 413


def _settings(secret: str, seconds: int, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "max-time": seconds,
        "workers": 1,
        "continue-on-failure": True,
        "checks": {
            "positive_data_acceptance": {"expected-statuses": FOR_VALID},
            "negative_data_rejection": {"expected-statuses": FOR_INVALID},
        },
        "headers": {"Authorization": f"Bearer {secret}"},
    }


def _note(event: events.ScenarioFinished, found: Fuzzed) -> None:
    recorder = event.recorder
    for case_id, checks in recorder.checks.items():
        node, case = recorder.cases[case_id], recorder.cases[case_id].value
        found.operations[case.operation.label] += 1
        if node.is_transition_applied and node.transition:
            found.linked[str(node.transition.id)] += 1
        for check in checks:
            found.checks[check.name] += 1
            if check.failure_info is not None:
                found.failures.append(_told(check.name, case, recorder.interactions[case_id], check.failure_info))


def _told(name: str, case: Any, interaction: Any, info: Any) -> str:
    answer = interaction.response
    words = f"{answer.status_code} {answer.content[:300].decode('utf-8', 'replace')}" if answer else "no answer"
    failure = f"{info.failure.title}: {info.failure.message[:600]}"
    return f"{name}: {case.operation.label}: {failure}\n  {info.code_sample[:900]}\n  {words}"


def _error(event: Any) -> str:
    """Of the engine itself, such as a document that it cannot read."""
    said = getattr(event, "value", None) or getattr(event, "exception", "")
    return f"{type(event).__name__}: {getattr(event, 'label', '')}: {said!r:.1500}"
