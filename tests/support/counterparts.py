"""Other people's servers as receivers: OpenSSL's s_server, nginx and Node, each on a loopback port of its own."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.receiver import free_port
from tests.support.waiting import wait_until

SBIN = "/usr/sbin:/usr/bin:/sbin:/bin"
NGINX = """
worker_processes 1; daemon off; pid nginx.pid; error_log error.log; {user}
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  {servers}
}}
"""
NODE_HTTP2 = """
const http2 = require("http2"), fs = require("fs"), [port, pem] = process.argv.slice(1)
const tls = pem && { key: fs.readFileSync(pem), cert: fs.readFileSync(pem), allowHTTP1: false }
const server = tls ? http2.createSecureServer(tls) : http2.createServer()
server.on("stream", (stream) => { stream.respond({ ":status": 200 }); stream.end("ok") })
server.on("sessionError", () => {})
server.listen(Number(port), "127.0.0.1")
"""


def program(name: str) -> str:
    """Where it is. `make test` installs it as root, and leaves the test out where it cannot; not in CI."""
    found = shutil.which(name) or shutil.which(name, path=SBIN)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def openssl(*arguments: object) -> str:
    """Runs it; returns what it prints."""
    done = subprocess.run([program("openssl"), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def self_made_authority(directory: Path, name: str) -> tuple[Path, Path]:
    """Certificate and key of an authority as most companies make theirs: `openssl req -x509`."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30")
    openssl("req", *kind, "-subj", f"/CN={name}", "-keyout", key, "-out", certificate)
    return certificate, key


def issued(directory: Path, name: str, by: tuple[Path, Path], *extensions: str) -> tuple[Path, Path]:
    """Certificate and key that an authority has issued; `extensions` as lines of OpenSSL's configuration."""
    certificate, key, request = (directory / f"{name}.{end}" for end in ("pem", "key", "csr"))
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", *kind, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
    lines = directory / f"{name}.cnf"
    lines.write_text("\n".join(extensions))
    signed = ("-CA", by[0], "-CAkey", by[1], "-CAcreateserial", "-days", "20", "-extfile", lines)
    openssl("x509", "-req", "-in", request, *signed, "-out", certificate)
    return certificate, key


@contextmanager
def s_server(certificate: Path, *options: object, key: Path | None = None) -> Iterator[int]:
    """OpenSSL's server with these options; its port. It ends TLS and answers no POST."""
    port = free_port()
    command = ["s_server", "-accept", f"127.0.0.1:{port}", "-cert", certificate, "-key", key or certificate, "-www"]
    with running([program("openssl"), *map(str, command), *map(str, options)], port):
        yield port


@contextmanager
def nginx(directory: Path, servers: str) -> Iterator[int]:
    """nginx with these `server` blocks, in which {port} stands for its port; that port."""
    port, file = free_port(), directory / "nginx.conf"
    user = "user root;" if Path("/proc/self").stat().st_uid == 0 else ""
    file.write_text(NGINX.format(servers=servers.replace("{port}", str(port)), user=user))
    with running([program("nginx"), "-p", str(directory), "-c", str(file)], port):
        yield port


def nginx_version() -> tuple[int, int]:
    """As in (1, 22)."""
    done = subprocess.run([program("nginx"), "-v"], capture_output=True, text=True, check=True)
    major, minor = done.stderr.partition("nginx/")[2].split(".")[:2]
    return int(major), int(minor)


@contextmanager
def node_http2(certificate: Path | None = None) -> Iterator[int]:
    """Node's HTTP/2 server, with TLS if there is a file with certificate and key; its port."""
    port = free_port()
    more = [str(certificate)] if certificate else []
    with running([program("node"), "-e", NODE_HTTP2, str(port), *more], port):
        yield port


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is not None or _answers(port), f"{command[0]} to listen")
        assert process.poll() is None, f"{' '.join(command)} ended with {process.returncode}"
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.communicate()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
