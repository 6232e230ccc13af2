"""One event is one line in the log, with any text from outside."""

import io
import logging

import pytest
import structlog

from webapp import log

FORGED = "Ada\n2026-11-23 ERROR all is lost\r\x1b[2K\x1b]0;title\x07\x85\u2028\u2029\u202egnp\x00\x9b31m"


def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logging as in a fresh process: with pytest's handlers in place, Leadhook's would not be added."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    log.configure()


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    text = capsys.readouterr().err
    assert all(character.isprintable() or character == "\n" for character in text), ascii(text)
    return text.splitlines()


def test_a_structlog_event_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch)
    structlog.get_logger().error(f"odd {FORGED}", name=FORGED, more=[FORGED])
    [line] = lines_of(capsys)
    assert "all is lost" in line


def test_a_structlog_error_with_its_traceback_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(monkeypatch)
    try:
        raise ValueError(FORGED)
    except ValueError as error:
        structlog.get_logger().error("failed", exc_info=error)
        logging.getLogger("webapp.webhooks.failures").error("failed", exc_info=error)
    first, second = lines_of(capsys)
    assert "Traceback" in first
    assert "Traceback" in second


def test_a_librarys_warning_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch)
    logging.getLogger("some.library").warning("cannot read %s", FORGED)
    [line] = lines_of(capsys)
    assert line.endswith(r"\x9b31m")


def test_trouble_is_said_at_once_then_once_a_minute_and_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("webapp.log.time.monotonic", lambda: now[0])
    trouble = log.Trouble("it is away", "it is back")
    with structlog.testing.capture_logs() as logged:
        trouble.over()
        for reason in ("refused", "refused", "time-out", "time-out"):
            trouble.report(reason)
        now[0] += 61
        trouble.report("time-out")
        trouble.over()
        trouble.over()
        trouble.report("time-out")
    said = [(entry["event"], entry.get("reason")) for entry in logged]
    assert said == [
        ("it is away", "refused"),
        ("it is away", "time-out"),
        ("it is away", "time-out"),
        ("it is back", None),
        ("it is away", "time-out"),
    ]


def test_a_log_that_cannot_be_written_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "wb", buffering=0) as file:
        full = io.TextIOWrapper(file, write_through=True)
        monkeypatch.setattr("sys.stderr", full)
        configured(monkeypatch)
        structlog.get_logger().error("the disk is full")
        monkeypatch.undo()
        log.configure()
        full.detach()
