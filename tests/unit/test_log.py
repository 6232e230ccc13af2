"""One event is one line in the log, with any text from outside."""

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
