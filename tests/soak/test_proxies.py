"""Leadhook behind nginx, Apache, HAProxy and Caddy of Debian: bodies that are refused, addresses, and /metrics."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from flask import Flask

from tests.conftest import METRICS_TOKEN
from tests.support.factories import ADA
from tests.support.receiver import free_port
from tests.support.site import Site
from tests.support.waiting import wait_until
from webapp.extensions import db
from webapp.models import Interface, Lead

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
NGINX = """
worker_processes 1; daemon off; pid nginx.pid; error_log error.log; user root;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{site}; {more} }} }}
}}
"""
NGINX_DOCUMENTED = "proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
APACHE = """
ServerName localhost
ServerRoot {directory}
PidFile apache.pid
ErrorLog error.log
Listen 127.0.0.1:{port}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
ProxyPass / http://127.0.0.1:{site}/
"""
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend all
  bind 127.0.0.1:{port}
  {more}
  default_backend leadhook
backend leadhook
  server one 127.0.0.1:{site}
"""
CADDY = """
{{
  admin off
  auto_https off
  storage file_system {directory}
}}
http://127.0.0.1:{port} {{
  reverse_proxy 127.0.0.1:{site}
}}
"""
# The program, its configuration, the option that names the file, whether it sends X-Forwarded-For.
PROXIES = {
    "nginx": (["nginx", "-p", "{directory}", "-c", "{file}"], NGINX, NGINX_DOCUMENTED, True),
    "bare nginx": (["nginx", "-p", "{directory}", "-c", "{file}"], NGINX, "", False),
    "apache": (["apache2", "-D", "FOREGROUND", "-f", "{file}"], APACHE, "", True),
    "haproxy": (["haproxy", "-f", "{file}"], HAPROXY, "option forwardfor", True),
    "bare haproxy": (["haproxy", "-f", "{file}"], HAPROXY, "", False),
    "caddy": (["caddy", "run", "--adapter", "caddyfile", "--config", "{file}"], CADDY, "", True),
}
Ask = Callable[..., tuple[int, str]]


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if not shutil.which(PROXIES[name][0][0]):
        pytest.skip(f"{PROXIES[name][0][0]} is not installed")
    return name


@pytest.fixture
def site(app: Flask) -> Iterator[Site]:
    site = Site({**app.config["ENVIRON"], "TRUSTED_PROXIES": "1"})
    site.start_web()
    yield site
    site.stop()


@pytest.fixture
def ask(proxy: str, site: Site, tmp_path: Path) -> Iterator[Ask]:
    """Sends a request through the proxy; returns the code and the body of the answer."""
    command, configuration, more, _ = PROXIES[proxy]
    port, file = free_port(), tmp_path / "configuration"
    file.write_text(configuration.format(port=port, site=site.port, directory=tmp_path, more=more))
    parts = [part.format(file=file, directory=tmp_path) for part in command]
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path), "APACHE_RUN_DIR": str(tmp_path)}
    process = subprocess.Popen(parts, cwd=tmp_path, env=environ)

    def send(method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def answers() -> bool:
        try:
            return send("GET", "/healthz")[0] == 200
        except OSError:
            return False

    wait_until(answers, proxy, timeout=30)
    yield send
    process.terminate()
    process.wait(timeout=30)


@pytest.mark.parametrize("size", [300 * 1024, 3 * 1024 * 1024])
def test_a_body_that_is_too_long_is_answered_with_413(proxy: str, ask: Ask, interface: Interface, size: int) -> None:
    form = f"/f/{interface.public_id}"
    db.session.rollback()
    for path, words in ((form, "256 KB"), ("/login", "256 KB"), ("/f/if_nothing", "256 KB")):
        code, text = ask("POST", path, b"message=" + b"x" * size, **FORM)
        assert code == 413, (path, text)
        # nginx refuses more than 1 MB itself.
        assert words in text or (size > 1024 * 1024 and "nginx" in proxy)


def test_a_lead_has_its_visitors_address(proxy: str, ask: Ask, interface: Interface) -> None:
    form = f"/f/{interface.public_id}"
    db.session.rollback()
    body = "&".join(f"{name}={value}" for name, value in ADA.items()).replace("+", "%2B").replace(" ", "+")
    code, text = ask("POST", form, body.encode(), **FORM, X_Forwarded_For="198.51.100.1:99")
    assert code == 201, text
    db.session.rollback()
    ip = db.session.query(Lead).one().source["ip"]
    assert ip == "127.0.0.1" if PROXIES[proxy][3] else ip in ("127.0.0.1", "198.51.100.1")


def test_metrics_are_not_open_to_the_world(proxy: str, ask: Ask) -> None:
    assert ask("GET", "/metrics")[0] == 404
    assert ask("GET", "/metrics", Authorization="Bearer wrong-wrong-wrong-wrong")[0] == 404
    code, text = ask("GET", "/metrics", Authorization=f"Bearer {METRICS_TOKEN}")
    assert code == 200
    assert "leadhook_database_writable 1.0" in text


def test_readiness_is_seen_through_it(proxy: str, ask: Ask) -> None:
    assert ask("GET", "/readyz")[0] == 200
