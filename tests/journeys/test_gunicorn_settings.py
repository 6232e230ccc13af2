"""What gunicorn.conf.py says when a web server is started on a socket file."""

from pathlib import Path

import pytest
from flask import Flask

from tests.support.forked import forking
from tests.support.tree import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.once
WARNING = "On a unix socket visitors have no address and share one rate limit: set TRUSTED_PROXIES."


@pytest.mark.parametrize(
    ("address", "proxies", "warns"),
    [
        ("unix:{folder}/web.sock", "0", True),
        ("unix:{folder}/web.sock", "1", False),
        ("unix:{folder}/web.sock", "2", False),
        ("127.0.0.1:0", "0", False),
        ("127.0.0.1:0", "1", False),
    ],
)
def test_it_warns_on_a_socket_file_without_proxies(
    app: Flask, tmp_path: Path, address: str, proxies: str, warns: bool
) -> None:
    environ = {**app.config["ENVIRON"], "TRUSTED_PROXIES": proxies}
    bind = address.format(folder=tmp_path)
    command = ["-m", "gunicorn", "--bind", bind, "--workers", "1", "--log-level", "info"]
    with (tmp_path / "said").open("wb") as said:
        server = forking().start([*command, "webapp:create_app()"], ROOT, environ, stderr=said.fileno())
    try:
        wait_until(lambda: "Booting worker" in (tmp_path / "said").read_text(), "gunicorn", timeout=60)
    finally:
        server.terminate()
        server.wait(timeout=30)
    assert (WARNING in (tmp_path / "said").read_text()) is warns
